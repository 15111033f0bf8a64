/** A listening stream socket that VMs connect to. What becomes of a connection is its `Reception`'s: a port at once, or after a handshake. */
import { AF_INET, AF_INET6, AF_VSOCK, EPOLLIN, SOCK_CLOEXEC, SOCK_NONBLOCK } from '../system/constants.ts';
import { EAGAIN, ECONNABORTED, EINTR } from '../system/errno.ts';
import { SOCKADDR_VM } from '../system/layout.ts';
import { readSockaddr } from '../system/memory.ts';
import { accept4, addressOf, close } from '../system/syscalls.ts';
import { vsockName } from '../system/vsock.ts';
import { formatAddress } from '../packet/address.ts';
import type { Arena } from '../runtime/arena.ts';
import { Timer } from '../runtime/timer-wheel.ts';
import type { TurnLoop, Watcher } from '../runtime/turn-loop.ts';
import type { LinkEvents } from './events.ts';
import type { Link, LinkEnvironment } from './link.ts';
import { type ListenSocket, openListenSocket } from './listen-socket.ts';
import { PortNames } from './port-names.ts';
import { ReceiveRegion } from './receive-region.ts';
import { StreamPorts } from './stream-ports.ts';

/** Bytes read from a VM at a time, shared by all VMs of the listener. */
const RECEIVE_REGION = 1 << 20;
/** Milliseconds until another attempt to accept a connection for which there was no descriptor. */
const ACCEPT_PAUSE = 100;

export interface Reception {
  /** Takes over `fd` (nonblocking), unless there is no room: then false, and `fd` is the listener's to close. `peer` is an address. */
  accept(fd: number, peer: string): boolean;
  /** Before the ports close. */
  close?(): void;
}

/** Makes the reception of a link whose VMs are to be among `ports`. */
export type Receive = (ports: StreamPorts, environment: LinkEnvironment) => Reception;

export class StreamListener implements Link, Watcher {
  readonly address: string;
  /** Times that there was no descriptor or memory for a connection, which then waited in the queue. */
  acceptsPutOff = 0;
  readonly #socket: ListenSocket;
  readonly #loop: TurnLoop;
  readonly #arena: Arena;
  readonly #ports: StreamPorts;
  readonly #reception: Reception;
  readonly #events: LinkEvents;
  readonly #token: number;
  /** 256 bytes for an address, its length and options. */
  readonly #scratch: number;
  readonly #retry: Timer;
  #closed = false;

  private constructor(socket: ListenSocket, region: ReceiveRegion, environment: LinkEnvironment, receive: Receive, name?: string) {
    const { loop, events } = environment;
    this.address = socket.address;
    this.#socket = socket;
    this.#loop = loop;
    this.#arena = region.arena;
    // A VM that is being accepted is not being read from.
    this.#scratch = region.at;
    this.#token = loop.watch(socket.fd, EPOLLIN, this);
    this.#retry = new Timer(() => loop.modify(this.#token, socket.fd, EPOLLIN));
    this.#events = events;
    this.#ports = new StreamPorts(region, environment, new PortNames(name));
    this.#reception = receive(this.#ports, environment);
  }

  /** Connections closed at once because there was no room for another VM. */
  get refused(): number {
    return this.#ports.refused;
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

  ready(): void {
    const base = addressOf(this.#arena.memory.buffer);
    while (!this.#closed) {
      this.#arena.words[(this.#scratch + 128) >> 2] = 128;
      const fd = accept4(this.#socket.fd, base + this.#scratch, base + this.#scratch + 128, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd >= 0) this.#accept(fd);
      else if (fd === -EAGAIN) return;
      else if (fd !== -ECONNABORTED && fd !== -EINTR) {
        this.acceptsPutOff++;
        this.#loop.modify(this.#token, this.#socket.fd, 0);
        this.#loop.timers.arm(this.#retry, ACCEPT_PAUSE);
        return;
      }
    }
  }

  #accept(fd: number): void {
    if (!this.#reception.accept(fd, this.#peerName())) close(fd);
  }

  /** Unix peers are unnamed: Go prints them as `@`. */
  #peerName(): string {
    const family = this.#arena.bytes[this.#scratch];
    if (family === AF_VSOCK) {
      const words = this.#arena.words;
      return vsockName({ cid: words[(this.#scratch + SOCKADDR_VM.cid) >> 2]!, port: words[(this.#scratch + SOCKADDR_VM.port) >> 2]! });
    }
    const peer = family === AF_INET || family === AF_INET6 ? readSockaddr(this.#arena.bytes, this.#scratch) : undefined;
    return peer === undefined ? '@' : `${formatAddress(...peer.words)}:${peer.port}`;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#loop.timers.cancel(this.#retry);
    this.#loop.unwatch(this.#token, this.#socket.fd);
    this.#socket.close();
    this.#reception.close?.();
    this.#ports.close('listener closed');
    this.#events.closed?.(this);
  }
}
