/** The host's network through the kernel's sockets. */
import {
  AF_INET,
  AF_INET6,
  IP_PKTINFO,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPV6_RECVPKTINFO,
  IPV6_V6ONLY,
  SO_PEEK_OFF,
  SO_RCVBUF,
  SO_REUSEADDR,
  SO_SNDBUF,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_RAW,
  SOCK_STREAM,
  SOL_SOCKET,
} from '../system/constants.ts';
import { EADDRNOTAVAIL, EAFNOSUPPORT, EINPROGRESS, ENETUNREACH, EPERM } from '../system/errno.ts';
import { check, SystemError } from '../system/error.ts';
import { readSockaddr, writeSockaddr } from '../system/memory.ts';
import { addressOf, bindSocket, close, connect, getsockname, listen, setsockopt, socket } from '../system/syscalls.ts';
import { listenUnix } from '../system/unix-listener.ts';
import { IpAddress } from '../packet/address.ts';
import type { Arena } from '../runtime/arena.ts';
import type { TurnLoop } from '../runtime/turn-loop.ts';
import type {
  DatagramEndpoint,
  DatagramListener,
  EndpointHandler,
  HostListeners,
  HostNetwork,
  PingEndpoint,
  StreamAccepted,
  StreamEndpoint,
  StreamListener,
} from './endpoint.ts';
import type { HostCounters } from './counters.ts';
import { DatagramMessages } from './datagram-messages.ts';
import { ErrorQueue } from './error-queue.ts';
import { KernelDatagram } from './kernel-datagram.ts';
import { KernelDatagramListener } from './kernel-datagram-listener.ts';
import { KernelListener } from './kernel-listener.ts';
import { KernelMemory } from './kernel-memory.ts';
import { KernelPing } from './kernel-ping.ts';
import { attachReplyFilter } from './ping-filter.ts';
import { KernelStream } from './kernel-stream.ts';
import { keepUrgentInOrder, SpareSocket } from './spare-socket.ts';

const FLAGS = SOCK_NONBLOCK | SOCK_CLOEXEC;
const BACKLOG = 4096;
/** Ports below want privilege; a guest's own choice among them is not kept. */
const UNPRIVILEGED = 1024;
/** UDP ports of the host that guests may have by their own choice at once; beyond, the kernel chooses. */
const KEPT_PORTS = 1024;
const PING_BUFFER = 65_536;
/** Bytes that wait in the socket of a UDP forward, in either direction. */
const DATAGRAM_BUFFER = 1 << 20;
/** The unspecified address of IPv6: a socket bound to it takes IPv4 as well. */
const EVERY: IpAddress = new IpAddress(0, 0, 0, 0);
const NOBODY: EndpointHandler = { onReady: () => {} };

export class KernelNetwork implements HostNetwork, HostListeners {
  readonly #loop: TurnLoop;
  readonly #arena: Arena;
  readonly #memory: KernelMemory;
  readonly #errors: ErrorQueue;
  readonly #hasIpv6: boolean;
  readonly #spare4: SpareSocket;
  readonly #spare6: SpareSocket;
  #keptPorts = 0;
  #messages: DatagramMessages | null = null;
  #pingBuffer = -1;
  #pingIdentifier = process.pid & 0xffff;

  /**
   * `seeks`: whether this kernel's TCP sockets can be peeked at from an offset; `hasIpv6`: whether it knows IPv6. Both are asked
   * of the kernel when left out.
   */
  constructor(loop: TurnLoop, arena: Arena, seeks?: boolean, hasIpv6?: boolean) {
    this.#loop = loop;
    this.#arena = arena;
    this.#hasIpv6 = hasIpv6 ?? kernelHasIpv6();
    this.#memory = new KernelMemory(arena, seeks ?? kernelSeeks(arena));
    this.#errors = new ErrorQueue(this.#memory);
    this.#spare4 = new SpareSocket(AF_INET, loop, this.#memory);
    this.#spare6 = new SpareSocket(AF_INET6, loop, this.#memory);
  }

  get counters(): HostCounters {
    return this.#memory.counters;
  }

  connectStream(address: IpAddress, port: number, handler: EndpointHandler): StreamEndpoint | number {
    const fd = (address.isIpv4 ? this.#spare4 : this.#spare6).take();
    if (fd < 0) return unrouted(fd);
    const status = this.#connect(fd, address, port);
    if (status < 0 && status !== -EINPROGRESS) {
      close(fd);
      return status === -EADDRNOTAVAIL ? this.#whyNotAvailable(address) : status;
    }
    return this.#stream(fd, status < 0, handler);
  }

  #stream(fd: number, connecting: boolean, handler: EndpointHandler, unix = false): StreamEndpoint | number {
    try {
      return new KernelStream(fd, connecting, this.#loop, this.#memory, handler, unix);
    } catch (error) {
      // The kernel has no room for another watch.
      if (!(error instanceof SystemError)) throw error;
      close(fd);
      return -error.errno;
    }
  }

  #connect(fd: number, address: IpAddress, port: number): number {
    const { base, value } = this.#memory;
    const size = writeSockaddr(this.#arena.bytes, value, address.w0, address.w1, address.w2, address.w3, port);
    return connect(fd, base + value, size);
  }

  /** Why a stream has found no address of its own: there is none, or its ports are taken, which datagrams don't know. */
  #whyNotAvailable(address: IpAddress): number {
    const fd = socket(address.isIpv4 ? AF_INET : AF_INET6, SOCK_DGRAM | FLAGS, 0);
    if (fd < 0) return -EADDRNOTAVAIL;
    const status = this.#connect(fd, address, 1);
    close(fd);
    return status === -EADDRNOTAVAIL ? -ENETUNREACH : -EADDRNOTAVAIL;
  }

  openDatagram(address: IpAddress, port: number, localPort: number, handler: EndpointHandler): DatagramEndpoint | number {
    const fd = socket(address.isIpv4 ? AF_INET : AF_INET6, SOCK_DGRAM | FLAGS, 0);
    if (fd < 0) return unrouted(fd);
    const keeps = localPort >= UNPRIVILEGED && this.#keptPorts < KEPT_PORTS && this.#bindAny(fd, address.isIpv4, localPort);
    this.#errors.enable(fd, address.isIpv4);
    const status = this.#connect(fd, address, port);
    if (status < 0) {
      close(fd);
      return unrouted(status);
    }
    if (!keeps) return new KernelDatagram(fd, address.isIpv4, this.#loop, this.#memory, this.#errors, handler);
    this.#keptPorts++;
    return new KernelDatagram(fd, address.isIpv4, this.#loop, this.#memory, this.#errors, handler, () => this.#keptPorts--);
  }

  /** Best effort: where the port is taken the kernel picks another when the socket is connected. */
  #bindAny(fd: number, v4: boolean, port: number): boolean {
    const { base, value } = this.#memory;
    const size = writeSockaddr(this.#arena.bytes, value, 0, 0, v4 ? 0xffff : 0, 0, port);
    return bindSocket(fd, base + value, size) === 0;
  }

  openPing(address: IpAddress, handler: EndpointHandler): PingEndpoint | number {
    const { isIpv4 } = address;
    const [family, protocol] = isIpv4 ? [AF_INET, IPPROTO_ICMP] : [AF_INET6, IPPROTO_ICMPV6];
    let raw = false;
    let fd = socket(family, SOCK_DGRAM | FLAGS, protocol);
    if (fd < 0) {
      const refused = fd;
      raw = true;
      fd = socket(family, SOCK_RAW | FLAGS, protocol);
      if (fd < 0) return unrouted(fd === -EPERM ? refused : fd);
    }
    const identifier = (this.#pingIdentifier = (this.#pingIdentifier + 1) & 0xffff);
    const status = (raw && attachReplyFilter(fd, isIpv4, identifier, this.#memory)) || this.#connect(fd, address, 0);
    if (status < 0) {
      close(fd);
      return unrouted(status);
    }
    if (this.#pingBuffer < 0) this.#pingBuffer = this.#arena.allocate(PING_BUFFER);
    return new KernelPing(fd, isIpv4, raw, identifier, this.#pingBuffer, this.#loop, this.#memory, handler);
  }

  listenStream(address: IpAddress, port: number, accept: StreamAccepted): StreamListener {
    // Every address, on a kernel without IPv6: those of IPv4.
    if (!this.#hasIpv6 && address.equals(EVERY)) return this.listenStream(IpAddress.v4(0), port, accept);
    const context = { address: address.toString(), port };
    const fd = check(socket(address.isIpv4 ? AF_INET : AF_INET6, SOCK_STREAM | FLAGS, 0), 'socket', context);
    try {
      setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, this.#memory.int(1), 4);
      if (address.equals(EVERY)) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, this.#memory.int(0), 4);
      const { base, value } = this.#memory;
      const size = writeSockaddr(this.#arena.bytes, value, address.w0, address.w1, address.w2, address.w3, port);
      check(bindSocket(fd, base + value, size), 'bind', context);
      check(listen(fd, BACKLOG), 'listen', context);
    } catch (error) {
      close(fd);
      throw error;
    }
    const listener = new KernelListener(fd, this.#loop, this.#memory, (accepted, peer) => this.#accepted(accepted, peer, accept));
    return { port: this.#localPort(fd), close: () => listener.close() };
  }

  listenUnix(path: string, accept: StreamAccepted): StreamListener {
    const listening = listenUnix(path, BACKLOG, { replaceDead: true });
    const listener = new KernelListener(listening.fd, this.#loop, this.#memory, (accepted) =>
      this.#accepted(accepted, undefined, accept, true),
    );
    const close = (): void => {
      listener.close();
      listening.remove();
    };
    return { port: 0, close };
  }

  listenDatagram(address: IpAddress, port: number, handler: EndpointHandler): DatagramListener {
    if (!this.#hasIpv6 && address.equals(EVERY)) return this.listenDatagram(IpAddress.v4(0), port, handler);
    const context = { address: address.toString(), port, transport: 'udp' };
    const fd = check(socket(address.isIpv4 ? AF_INET : AF_INET6, SOCK_DGRAM | FLAGS, 0), 'socket', context);
    try {
      const { base, value } = this.#memory;
      // Of all clients together; the kernel gives what it allows.
      setsockopt(fd, SOL_SOCKET, SO_RCVBUF, this.#memory.int(DATAGRAM_BUFFER), 4);
      setsockopt(fd, SOL_SOCKET, SO_SNDBUF, this.#memory.int(DATAGRAM_BUFFER), 4);
      if (address.isIpv4 && address.w3 === 0) setsockopt(fd, IPPROTO_IP, IP_PKTINFO, this.#memory.int(1), 4);
      if (address.equals(EVERY)) {
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, this.#memory.int(0), 4);
        setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, this.#memory.int(1), 4);
      }
      const size = writeSockaddr(this.#arena.bytes, value, address.w0, address.w1, address.w2, address.w3, port);
      check(bindSocket(fd, base + value, size), 'bind', context);
      const bound = this.#localPort(fd);
      this.#messages ??= new DatagramMessages(this.#arena, base);
      return new KernelDatagramListener(fd, bound, this.#loop, this.#messages, handler);
    } catch (error) {
      close(fd);
      throw error;
    }
  }

  #accepted(fd: number, peer: ReturnType<typeof readSockaddr>, accept: StreamAccepted, unix = false): void {
    const words = peer?.words ?? [0, 0, 0, 0];
    keepUrgentInOrder(fd, this.#memory);
    const endpoint = this.#stream(fd, false, NOBODY, unix);
    if (typeof endpoint === 'object') accept(endpoint, new IpAddress(...words), peer?.port ?? 0);
  }

  /** Closes what is leaving and what was opened beforehand; what is in use belongs to its users. */
  close(): void {
    this.#spare4.close();
    this.#spare6.close();
    this.#memory.leaving.close();
  }

  #localPort(fd: number): number {
    const { arena, base, value } = this.#memory;
    arena.words[(value + 128) >> 2] = 128;
    check(getsockname(fd, base + value, base + value + 128), 'getsockname');
    return readSockaddr(arena.bytes, value)?.port ?? 0;
  }
}

/** A kernel that doesn't know IPv6, or has no address of it, reaches nobody by it: guests are told as of a network without a route. */
function unrouted(status: number): number {
  return status === -EAFNOSUPPORT || status === -EADDRNOTAVAIL ? -ENETUNREACH : status;
}

function kernelHasIpv6(): boolean {
  const fd = socket(AF_INET6, SOCK_STREAM | FLAGS, 0);
  if (fd >= 0) close(fd);
  return fd !== -EAFNOSUPPORT;
}

/** SO_PEEK_OFF on TCP: Linux 6.9. */
function kernelSeeks(arena: Arena): boolean {
  const fd = socket(AF_INET, SOCK_STREAM | FLAGS, 0);
  if (fd < 0) return false;
  const value = arena.allocate(4);
  arena.words[value >> 2] = 0;
  const status = setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, addressOf(arena.memory.buffer) + value, 4);
  arena.free(value, 4);
  close(fd);
  return status === 0;
}
