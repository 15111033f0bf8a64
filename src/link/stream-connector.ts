/** A stream socket that we connect to, because the VM's side listens (QEMU's `socket,listen=`): tried again until it is there, and whenever it has gone. */
import { lookup } from 'node:dns/promises';
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  EPOLLOUT,
  SO_ERROR,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
} from '../system/constants.ts';
import { EINPROGRESS, EINVAL, errnoText, ETIMEDOUT } from '../system/errno.ts';
import { SystemError } from '../system/error.ts';
import { parseListenUrl } from '../system/listen-url.ts';
import { writeSockaddr, writeUnixSockaddr } from '../system/memory.ts';
import { scratchAddress, scratchBytes, scratchLength, scratchWords } from '../system/scratch.ts';
import { close, connect, getsockopt, socket } from '../system/syscalls.ts';
import { IpAddress } from '../packet/address.ts';
import { Timer } from '../runtime/timer-wheel.ts';
import type { Watcher } from '../runtime/turn-loop.ts';
import type { Link, LinkEnvironment } from './link.ts';
import { PortNames } from './port-names.ts';
import { ReceiveRegion } from './receive-region.ts';
import type { Receive, Reception } from './stream-listener.ts';
import { StreamPorts } from './stream-ports.ts';

/** Bytes read from the VM at a time. */
const RECEIVE_REGION = 1 << 20;
/** Milliseconds between attempts: the first wait, doubled each time up to the longest. */
const FIRST_PAUSE = 100;
const LONGEST_PAUSE = 5000;
/** Milliseconds that an attempt may take. */
const CONNECT_TIMEOUT = 10_000;

interface Place {
  readonly family: number;
  /** As Go prints the other end. */
  readonly peer: string;
  /** Writes the address to `scratchBytes`; its size. */
  readonly write: () => number;
}

export class StreamConnector implements Link, Watcher {
  readonly address: string;
  readonly #place: Place;
  readonly #environment: LinkEnvironment;
  readonly #ports: StreamPorts;
  readonly #reception: Reception;
  readonly #again: Timer = new Timer(() => this.#attempt());
  readonly #late: Timer = new Timer(() => this.#gaveUp(ETIMEDOUT));
  /** Of the attempt under way. */
  #fd = -1;
  #token = -1;
  #pause = FIRST_PAUSE;
  /** The owner has heard that nobody is there. */
  #told = false;
  #closed = false;

  private constructor(address: string, place: Place, environment: LinkEnvironment, receive: Receive, name?: string) {
    this.address = address;
    this.#place = place;
    this.#environment = environment;
    const { events } = environment;
    const disconnected = (...gone: Parameters<typeof events.disconnected>): void => {
      events.disconnected(...gone);
      this.#pause = FIRST_PAUSE;
      this.#later();
    };
    const own = { ...environment, events: { ...events, disconnected } };
    this.#ports = new StreamPorts(new ReceiveRegion(environment.arena, RECEIVE_REGION), own, new PortNames(name));
    this.#reception = receive(this.#ports, own);
    this.#attempt();
  }

  get refused(): number {
    return this.#ports.refused;
  }

  /** `url`: `unix://PATH` or `tcp://HOST:PORT`; HOST is resolved once. Rejects with TypeError for another, RangeError when the arena is full, or the resolver's error. */
  static async open(url: string, environment: LinkEnvironment, receive: Receive, name?: string): Promise<StreamConnector> {
    return new StreamConnector(url, await placeOf(url), environment, receive, name);
  }

  #attempt(): void {
    const fd = socket(this.#place.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return this.#failed(-fd);
    const result = connect(fd, scratchAddress(), this.#place.write());
    if (result === 0) return this.#connected(fd);
    if (result !== -EINPROGRESS) {
      close(fd);
      return this.#failed(-result);
    }
    const { loop } = this.#environment;
    this.#fd = fd;
    this.#token = loop.watch(fd, EPOLLOUT, this);
    loop.timers.arm(this.#late, CONNECT_TIMEOUT);
  }

  ready(): void {
    getsockopt(this.#fd, SOL_SOCKET, SO_ERROR, scratchAddress(), scratchLength(4));
    const errno = scratchWords[0]!;
    if (errno !== 0) return this.#gaveUp(errno);
    const fd = this.#fd;
    this.#unwatch();
    this.#connected(fd);
  }

  #unwatch(): void {
    this.#environment.loop.timers.cancel(this.#late);
    this.#environment.loop.unwatch(this.#token, this.#fd);
    this.#fd = -1;
  }

  #gaveUp(errno: number): void {
    const fd = this.#fd;
    this.#unwatch();
    close(fd);
    this.#failed(errno);
  }

  #connected(fd: number): void {
    this.#told = false;
    if (this.#reception.accept(fd, this.#place.peer)) return;
    close(fd);
    this.#later();
  }

  #failed(errno: number): void {
    if (!this.#told) this.#environment.events.refused?.(`cannot connect to ${this.address}: ${errnoText(errno)} (it is tried again)`);
    this.#told = true;
    this.#later();
  }

  #later(): void {
    if (this.#closed) return;
    this.#environment.loop.timers.arm(this.#again, this.#pause);
    this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#environment.loop.timers.cancel(this.#again);
    if (this.#fd >= 0) {
      const fd = this.#fd;
      this.#unwatch();
      close(fd);
    }
    this.#reception.close?.();
    this.#ports.close('the link is closed');
    this.#environment.events.closed?.(this);
  }
}

async function placeOf(url: string): Promise<Place> {
  const place = parseListenUrl(url);
  if (place.path !== undefined) {
    const { path } = place;
    const context = { address: path, advice: 'a unix socket path has 1 to 107 bytes' };
    if (writeUnixSockaddr(scratchBytes, 0, path) < 0) throw new SystemError('connect', EINVAL, context);
    return { family: AF_UNIX, peer: path, write: () => writeUnixSockaddr(scratchBytes, 0, path) };
  }
  const { host, port } = place;
  if (host === '' || port === 0)
    throw new SystemError('connect', EINVAL, { address: host, port, advice: 'want the host and port of who listens' });
  const { w0, w1, w2, w3, isIpv4 } = IpAddress.parse(host) ?? IpAddress.parse((await lookup(host, { verbatim: false })).address)!;
  const write = (): number => writeSockaddr(scratchBytes, 0, w0, w1, w2, w3, port);
  return { family: isIpv4 ? AF_INET : AF_INET6, peer: `${host.includes(':') ? `[${host}]` : host}:${port}`, write };
}
