/**
 * The host's network of a fuzzed world, in memory: nothing leaves the machine, and steps decide what hosts do.
 *
 * Every byte that a host sends has 0xe in its upper half: a byte in a guest's frame that has not came from somewhere else.
 * What guests send is judged by `onWritten`.
 */
import { IpAddress } from '../../src/packet/address.ts';
import type { Arena } from '../../src/runtime/arena.ts';
import {
  type DatagramEndpoint,
  type DatagramReport,
  type EndpointHandler,
  HANGUP,
  type HostNetwork,
  type PingEndpoint,
  READABLE,
  type Spans,
  type StreamAccepted,
  type StreamEndpoint,
  type StreamListener,
  WRITABLE,
} from '../../src/host/endpoint.ts';
import { EAGAIN, EINPROGRESS } from '../../src/system/errno.ts';

/** Upper half of every byte that hosts send. */
export const HOST_TAG = 0xe0;
const QUEUE_LIMIT = 4 << 20;

/** Sees what a guest's flow hands to the host. */
export type Written = (handler: EndpointHandler, bytes: Uint8Array, at: number, length: number) => void;

abstract class MemoryEndpoint {
  handler: EndpointHandler;
  protected readonly host: MemoryHost;
  protected errno = 0;
  isClosed = false;

  constructor(host: MemoryHost, handler: EndpointHandler) {
    this.host = host;
    this.handler = handler;
  }

  protected checkOpen(): void {
    if (this.isClosed) throw new Error('an endpoint was used after it was closed');
  }

  protected judge(spans: Spans): void {
    for (let i = 0; i < spans.count; i++) {
      const at = spans.offset[i]!;
      const length = spans.length[i]!;
      if (at <= 0 || length < 0 || at + length > this.host.arena.size) throw new Error(`a span of ${length} bytes at ${at}`);
      this.host.onWritten(this.handler, this.host.arena.bytes, at, length);
    }
  }

  /** What the host has to report, once. */
  protected error(): number {
    const { errno } = this;
    this.errno = 0;
    return -errno;
  }

  protected leave(): void {
    this.checkOpen();
    this.isClosed = true;
    this.host.gone(this);
  }
}

class MemoryStream extends MemoryEndpoint implements StreamEndpoint {
  #status: number;
  #queued = 0;
  #sent = 0;
  #ended = false;
  #room = Infinity;
  #shut = false;

  constructor(host: MemoryHost, handler: EndpointHandler, status: number) {
    super(host, handler);
    this.#status = status;
  }

  finish(errno: number): void {
    if (this.#status !== -EINPROGRESS) return;
    this.#status = -errno;
    this.handler.onReady(errno === 0 ? WRITABLE : HANGUP);
  }

  put(bytes: number): void {
    if (this.#ended || this.#queued + bytes > QUEUE_LIMIT) return;
    this.#queued += bytes;
    this.handler.onReady(READABLE);
  }

  end(): void {
    this.#ended = true;
    this.handler.onReady(READABLE | HANGUP);
  }

  fail(errno: number): void {
    this.errno = errno;
    this.#status = -errno;
    this.handler.onReady(READABLE | HANGUP);
  }

  /** Takes `bytes` more and then no more. */
  limit(bytes: number): void {
    this.#room = bytes;
    this.handler.onReady(WRITABLE);
  }

  spurious(events: number): void {
    this.handler.onReady(events);
  }

  connectStatus(): number {
    this.checkOpen();
    return this.#status;
  }

  peek(skip: number, at: number, size: number, stride: number, count: number): number {
    this.checkOpen();
    if (skip < 0 || skip > this.#queued || size <= 0 || count <= 0) throw new Error(`peek(${skip}, ${size}, ${count}) of ${this.#queued}`);
    if (this.errno !== 0) return -this.errno;
    const available = Math.min(this.#queued - skip, size * count);
    if (available === 0) return this.#ended ? 0 : -EAGAIN;
    for (let slot = 0, done = 0; done < available; slot++) {
      const length = Math.min(size, available - done);
      const place = at + slot * stride;
      this.host.arena.bytes.fill(HOST_TAG | ((this.#sent + skip + done) & 15), place, place + length);
      done += length;
    }
    return available;
  }

  discard(count: number): void {
    this.checkOpen();
    if (count < 0 || count > this.#queued) throw new Error(`discarded ${count} of ${this.#queued} bytes`);
    this.#queued -= count;
    this.#sent += count;
  }

  write(spans: Spans): number {
    this.checkOpen();
    if (this.#shut) throw new Error('written to after the end of the stream');
    if (this.#status === -EINPROGRESS) throw new Error('written to before it was connected');
    this.judge(spans);
    if (this.errno !== 0) return -this.errno;
    let offered = 0;
    for (let i = 0; i < spans.count; i++) offered += spans.length[i]!;
    const taken = Math.min(offered, this.#room);
    this.#room -= taken;
    return taken === 0 && offered > 0 ? -EAGAIN : taken;
  }

  shutdownWrite(): void {
    this.checkOpen();
    this.#shut = true;
  }

  keepAlive(): void {
    this.checkOpen();
  }

  abandon(): void {
    if (!this.#shut) throw new Error('abandoned before the end of the stream');
    this.leave();
  }

  close(): void {
    this.leave();
  }

  reset(): void {
    this.leave();
  }
}

/** Types of errors: of none but the socket, and three that routers send. */
const ERRORS = [-1, 3, 11, 12];
const ERRORS6 = [2, 1, 3, 4];

class MemoryDatagrams extends MemoryEndpoint implements DatagramEndpoint {
  readonly #isIpv4: boolean;
  readonly #queue: number[] = [];
  readonly #reports: { errno: number; extra: number }[] = [];

  constructor(host: MemoryHost, handler: EndpointHandler, isIpv4: boolean) {
    super(host, handler);
    this.#isIpv4 = isIpv4;
  }

  /** A datagram of `length` bytes comes from the host's server. */
  put(length: number): void {
    if (this.#queue.length < 256) this.#queue.push(Math.min(length, 65_507));
    this.handler.onReady(READABLE);
  }

  /** The socket fails, and its error queue has something to say; `extra` chooses what. */
  fail(errno: number, extra = 0): void {
    this.errno = errno;
    if (extra > 0 && this.#reports.length < 64) this.#reports.push({ errno, extra });
    this.handler.onReady(READABLE | HANGUP);
  }

  nextReport(report: DatagramReport, at: number, size: number): boolean {
    this.checkOpen();
    if (at <= 0 || size < 0 || at + size > this.host.arena.size) throw new Error(`room for ${size} bytes of a report at ${at}`);
    const next = this.#reports.shift();
    if (next === undefined) return false;
    const { errno, extra } = next;
    report.errno = errno;
    report.type = (this.#isIpv4 ? ERRORS : ERRORS6)[extra & 3]!;
    report.code = (extra >> 2) & 15;
    report.mtu = [0, 68, 576, 1400, 65_535, 1, 0xffffffff, 1 << 30][(extra >> 6) & 7]!;
    const router = this.#isIpv4 ? IpAddress.v4(0x7f000000 | extra) : new IpAddress(extra & 32 ? 0x20010db8 : 0, 0, 0, extra);
    report.offender = extra & 16 ? router : null;
    report.length = Math.min(size, extra & 63);
    this.host.arena.bytes.fill(HOST_TAG, at, at + report.length);
    return true;
  }

  dontFragment(_on: boolean): void {
    this.checkOpen();
  }

  limitHops(hops: number): void {
    this.checkOpen();
    if (hops < 1 || hops > 255) throw new Error(`${hops} hops`);
  }

  send(spans: Spans): number {
    this.checkOpen();
    this.judge(spans);
    return this.errno !== 0 ? this.error() : spans.count;
  }

  receive(at: number, size: number, stride: number, count: number, lengths: Int32Array): number {
    this.checkOpen();
    if (this.errno !== 0) return this.error();
    if (this.#queue.length === 0) return -EAGAIN;
    const taken = this.#queue.splice(0, count);
    for (const [i, length] of taken.entries()) {
      lengths[i] = Math.min(length, size);
      this.host.arena.bytes.fill(HOST_TAG | (length & 15), at + i * stride, at + i * stride + lengths[i]!);
    }
    return taken.length;
  }

  close(): void {
    this.leave();
  }
}

class MemoryPing extends MemoryEndpoint implements PingEndpoint {
  sequence = 0;
  readonly #replies: number[] = [];

  put(length: number): void {
    if (this.#replies.length < 256) this.#replies.push(Math.min(length, 65_507));
    this.handler.onReady(READABLE);
  }

  fail(errno: number, _extra = 0): void {
    this.errno = errno;
    this.handler.onReady(READABLE | HANGUP);
  }

  send(sequence: number, offset: number, length: number): number {
    this.checkOpen();
    if (sequence < 0 || sequence > 65_535 || length < 0 || offset + length > this.host.arena.size) throw new Error('a ping out of bounds');
    return this.error();
  }

  receive(at: number, size: number): number {
    this.checkOpen();
    if (this.errno !== 0) return this.error();
    const length = this.#replies.shift();
    if (length === undefined) return -EAGAIN;
    this.sequence = length & 0xffff;
    this.host.arena.bytes.fill(HOST_TAG, at, at + Math.min(length, size));
    return Math.min(length, size);
  }

  close(): void {
    this.leave();
  }
}

export class MemoryHost implements HostNetwork {
  readonly arena: Arena;
  readonly streams: MemoryStream[] = [];
  readonly datagrams: MemoryDatagrams[] = [];
  readonly pings: MemoryPing[] = [];
  readonly listeners: StreamAccepted[] = [];
  onWritten: Written = () => {};
  /** What is answered to those who open an endpoint: 0, -EINPROGRESS or another negative errno. */
  answer = 0;

  constructor(arena: Arena) {
    this.arena = arena;
  }

  get open(): number {
    return this.streams.length + this.datagrams.length + this.pings.length;
  }

  connectStream(_address: IpAddress, _port: number, handler: EndpointHandler): StreamEndpoint | number {
    if (this.answer !== 0 && this.answer !== -EINPROGRESS) return this.answer;
    const stream = new MemoryStream(this, handler, this.answer);
    this.streams.push(stream);
    return stream;
  }

  openDatagram(address: IpAddress, _port: number, _localPort: number, handler: EndpointHandler): DatagramEndpoint | number {
    if (this.answer !== 0 && this.answer !== -EINPROGRESS) return this.answer;
    const endpoint = new MemoryDatagrams(this, handler, address.isIpv4);
    this.datagrams.push(endpoint);
    return endpoint;
  }

  openPing(_address: IpAddress, handler: EndpointHandler): PingEndpoint | number {
    if (this.answer !== 0 && this.answer !== -EINPROGRESS) return this.answer;
    const endpoint = new MemoryPing(this, handler);
    this.pings.push(endpoint);
    return endpoint;
  }

  listenStream(_address: IpAddress, port: number, accept: StreamAccepted): StreamListener {
    this.listeners.push(accept);
    return { port, close: () => void this.listeners.splice(this.listeners.indexOf(accept), 1) };
  }

  /** Somebody on the host connects to a forwarded port. */
  accept(listener: number, from: IpAddress): void {
    const stream = new MemoryStream(this, { onReady: () => {} }, 0);
    this.streams.push(stream);
    this.listeners[listener % this.listeners.length]!(stream, from, 40_000);
  }

  gone(endpoint: MemoryEndpoint): void {
    for (const list of [this.streams, this.datagrams, this.pings] as MemoryEndpoint[][]) {
      const index = list.indexOf(endpoint);
      if (index >= 0) list.splice(index, 1);
    }
  }
}
