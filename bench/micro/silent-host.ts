/** A host that takes everything, has as much to say as it is told to, and allocates nothing: what is left is the gateway's own. */
import type {
  DatagramEndpoint,
  DatagramListener,
  DatagramSenders,
  EndpointHandler,
  HostNetwork,
  Spans,
  StreamEndpoint,
} from '../../src/host/endpoint.ts';
import { READABLE } from '../../src/host/endpoint.ts';
import { EAGAIN } from '../../src/host/errno.ts';
import type { IpAddress } from '../../src/packet/address.ts';

export class SilentStream implements StreamEndpoint {
  handler: EndpointHandler;
  /** Bytes taken from the guest. */
  taken = 0;
  /** Bytes for the guest that it has not acknowledged. */
  queued = 0;

  constructor(handler: EndpointHandler) {
    this.handler = handler;
  }

  /** The host's server sends `bytes`. What is in them is not looked at, and not copied. */
  supply(bytes: number): void {
    this.queued += bytes;
    this.handler.onReady(READABLE);
  }

  connectStatus(): number {
    return 0;
  }

  peek(skip: number, _at: number, size: number, _stride: number, count: number): number {
    const available = Math.min(this.queued - skip, size * count);
    return available > 0 ? available : -EAGAIN;
  }

  discard(count: number): void {
    this.queued -= count;
  }

  write(spans: Spans): number {
    let total = 0;
    for (let i = 0; i < spans.count; i++) total += spans.length[i]!;
    this.taken += total;
    return total;
  }

  shutdownWrite(): void {}
  keepAlive(): void {}
  abandon(): void {}
  close(): void {}
  reset(): void {}
}

export class SilentDatagrams implements DatagramEndpoint {
  handler: EndpointHandler;
  taken = 0;
  /** Datagrams for the guest, all of one length. */
  queued = 0;
  readonly #length: number;

  constructor(handler: EndpointHandler, length: number) {
    this.handler = handler;
    this.#length = length;
  }

  supply(count: number): void {
    this.queued += count;
    this.handler.onReady(READABLE);
  }

  send(spans: Spans): number {
    this.taken += spans.count;
    return spans.count;
  }

  receive(_at: number, _size: number, _stride: number, count: number, lengths: Int32Array): number {
    const got = Math.min(this.queued, count);
    if (got === 0) return -EAGAIN;
    for (let i = 0; i < got; i++) lengths[i] = this.#length;
    this.queued -= got;
    return got;
  }

  nextReport(): boolean {
    return false;
  }

  dontFragment(): void {}
  limitHops(): void {}
  close(): void {}
}

/** A forwarded port with one client. */
export class SilentListener implements DatagramListener {
  handler: EndpointHandler;
  readonly port = 5000;
  taken = 0;
  /** Datagrams of the client, all of one length. */
  queued = 0;
  readonly #client: IpAddress;
  readonly #clientPort: number;
  readonly #length: number;

  constructor(handler: EndpointHandler, client: IpAddress, clientPort: number, length: number) {
    this.handler = handler;
    this.#client = client;
    this.#clientPort = clientPort;
    this.#length = length;
  }

  supply(count: number): void {
    this.queued += count;
    this.handler.onReady(READABLE);
  }

  send(spans: Spans): number {
    this.taken += spans.count;
    return spans.count;
  }

  receive(_at: number, _size: number, _stride: number, count: number, lengths: Int32Array, senders: DatagramSenders): number {
    const got = Math.min(this.queued, count);
    if (got === 0) return -EAGAIN;
    const { w0, w1, w2, w3 } = this.#client;
    for (let i = 0; i < got; i++) {
      lengths[i] = this.#length;
      senders.address[i * 4] = w0;
      senders.address[i * 4 + 1] = w1;
      senders.address[i * 4 + 2] = w2;
      senders.address[i * 4 + 3] = w3;
      senders.port[i] = this.#clientPort;
    }
    this.queued -= got;
    return got;
  }

  close(): void {}
}

/** Every address leads to an endpoint of this host. */
export class SilentHost {
  readonly streams: SilentStream[] = [];
  readonly datagrams: SilentDatagrams[] = [];

  /** As the engines want it. Datagrams for the guest have `length` bytes. */
  network(length: number): HostNetwork {
    const refuse = (): never => {
      throw new Error('the silent host has TCP and UDP only');
    };
    return {
      connectStream: (_address, _port, handler) => this.#keep(this.streams, new SilentStream(handler)),
      openDatagram: (_address, _port, _localPort, handler) => this.#keep(this.datagrams, new SilentDatagrams(handler, length)),
      openPing: refuse,
      listenStream: refuse,
    };
  }

  #keep<E>(list: E[], endpoint: E): E {
    list.push(endpoint);
    return endpoint;
  }
}
