/** A listening stream socket that VMs connect to. What becomes of a connection is its `Reception`'s: a port at once, or after a handshake. */
import { AF_INET, AF_INET6, AF_VSOCK } from '../system/constants.ts';
import { SOCKADDR_VM } from '../system/layout.ts';
import { readSockaddr } from '../system/memory.ts';
import { scratchBytes, scratchWords } from '../system/scratch.ts';
import { close } from '../system/syscalls.ts';
import { vsockName } from '../system/vsock.ts';
import { formatAddress } from '../packet/address.ts';
import { Acceptor } from './acceptor.ts';
import type { LinkEvents } from './events.ts';
import type { Link, LinkEnvironment } from './link.ts';
import { type ListenSocket, openListenSocket } from './listen-socket.ts';
import { PortNames } from './port-names.ts';
import { ReceiveRegion } from './receive-region.ts';
import { StreamPorts } from './stream-ports.ts';

/** Bytes read from a VM at a time, shared by all VMs of the listener. */
const RECEIVE_REGION = 1 << 20;

export interface Reception {
  /** Takes over `fd` (nonblocking), unless there is no room: then false, and `fd` is the listener's to close. `peer` is an address. */
  accept(fd: number, peer: string): boolean;
  /** Before the ports close. */
  close?(): void;
}

/** Makes the reception of a link whose VMs are to be among `ports`. */
export type Receive = (ports: StreamPorts, environment: LinkEnvironment) => Reception;

export class StreamListener implements Link {
  readonly address: string;
  readonly #socket: ListenSocket;
  readonly #acceptor: Acceptor;
  readonly #ports: StreamPorts;
  readonly #reception: Reception;
  readonly #events: LinkEvents;
  #closed = false;

  private constructor(socket: ListenSocket, region: ReceiveRegion, environment: LinkEnvironment, receive: Receive, name?: string) {
    this.address = socket.address;
    this.#socket = socket;
    this.#acceptor = new Acceptor(socket.fd, environment.loop, (fd) => this.#accept(fd));
    this.#events = environment.events;
    this.#ports = new StreamPorts(region, environment, new PortNames(name));
    this.#reception = receive(this.#ports, environment);
  }

  /** Connections closed at once because there was no room for another VM. */
  get refused(): number {
    return this.#ports.refused;
  }

  get acceptsPutOff(): number {
    return this.#acceptor.putOff;
  }

  /** Takes over `socket`; it is closed when this throws: SystemError, RangeError when the arena is full. `name`: see PortNames. */
  static on(socket: ListenSocket, environment: LinkEnvironment, receive: Receive, name?: string): StreamListener {
    let region: ReceiveRegion | undefined;
    try {
      region = new ReceiveRegion(environment.arena, RECEIVE_REGION);
      return new StreamListener(socket, region, environment, receive, name);
    } catch (error) {
      socket.close();
      region?.free();
      throw error;
    }
  }

  /** Listens on `url`: see openListenSocket, whose errors it rejects with besides those of `on`. */
  static async open(url: string, environment: LinkEnvironment, receive: Receive, name?: string): Promise<StreamListener> {
    return StreamListener.on(await openListenSocket(url, environment.arena), environment, receive, name);
  }

  #accept(fd: number): void {
    if (!this.#reception.accept(fd, peerName())) close(fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#acceptor.close();
    this.#socket.close();
    this.#reception.close?.();
    this.#ports.close('listener closed');
    this.#events.closed?.(this);
  }
}

/** Of the connection accepted last. Unix peers are unnamed: Go prints them as `@`. */
function peerName(): string {
  const family = scratchBytes[0];
  if (family === AF_VSOCK) return vsockName({ cid: scratchWords[SOCKADDR_VM.cid >> 2]!, port: scratchWords[SOCKADDR_VM.port >> 2]! });
  const peer = family === AF_INET || family === AF_INET6 ? readSockaddr(scratchBytes, 0) : undefined;
  return peer === undefined ? '@' : `${formatAddress(...peer.words)}:${peer.port}`;
}
