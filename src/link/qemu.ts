/** QEMU's `-netdev stream` and `-netdev socket,connect=`: a listening socket, a port for each VM that connects. */
import {
  AF_INET,
  AF_INET6,
  EPOLLIN,
  IPPROTO_TCP,
  SO_RCVBUF,
  SO_SNDBUF,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOL_SOCKET,
  TCP_NODELAY,
} from '../system/constants.ts';
import { EAGAIN, ECONNABORTED, EINTR } from '../system/errno.ts';
import { readSockaddr } from '../system/memory.ts';
import { accept4, addressOf, close, setsockopt } from '../system/syscalls.ts';
import { formatAddress } from '../packet/address.ts';
import type { Arena } from '../runtime/arena.ts';
import { Timer } from '../runtime/timer-wheel.ts';
import type { TurnLoop, Watcher } from '../runtime/turn-loop.ts';
import type { LinkEvents } from './events.ts';
import { QEMU_FRAMING } from './framing.ts';
import { type ListenSocket, openListenSocket } from './listen-socket.ts';
import type { FrameReceiver } from './port.ts';
import { ReceiveRegion } from './receive-region.ts';
import { StreamMemory, StreamPort, type StreamPortOwner } from './stream-port.ts';

/** Bytes read from a VM at a time, shared by all VMs of the listener. */
const RECEIVE_REGION = 1 << 20;
/** Bytes that wait for one VM before its flows are held back. */
const TRANSMIT_BUFFER = 1 << 20;
/** Asked of the kernel for the link's socket; it grants what its limits allow. */
const SOCKET_BUFFER = 4 << 20;
/** VMs on one listener. */
export const MAXIMUM_PORTS = 64;
const ACCEPT_PAUSE = 100;

export class QemuListener implements Watcher, StreamPortOwner {
  readonly address: string;
  /** Connections closed at once because MAXIMUM_PORTS VMs were there, or the arena was full. */
  refused = 0;
  /** Times that there was no descriptor or memory for a connection, which then waited in the queue. */
  acceptsPutOff = 0;
  readonly #socket: ListenSocket;
  readonly #loop: TurnLoop;
  readonly #arena: Arena;
  readonly #region: ReceiveRegion;
  readonly #receiver: FrameReceiver;
  readonly #events: LinkEvents;
  readonly #nextId: () => number;
  readonly #token: number;
  /** 256 bytes for an address, its length and options. */
  readonly #scratch: number;
  readonly #retry: Timer;
  readonly #ports: Set<StreamPort> = new Set();
  /** Ports with frames to write; used up to `#dirtyCount`: an array that is emptied is grown again in each round. */
  readonly #dirty: StreamPort[] = [];
  #dirtyCount = 0;
  #closed = false;

  private constructor(
    socket: ListenSocket,
    loop: TurnLoop,
    region: ReceiveRegion,
    receiver: FrameReceiver,
    events: LinkEvents,
    nextId: () => number,
  ) {
    this.address = socket.address;
    this.#socket = socket;
    this.#loop = loop;
    this.#arena = region.arena;
    this.#receiver = receiver;
    this.#events = events;
    this.#nextId = nextId;
    this.#region = region;
    // A VM that is being accepted is not being read from.
    this.#scratch = region.at;
    this.#token = loop.watch(socket.fd, EPOLLIN, this);
    this.#retry = new Timer(() => loop.modify(this.#token, socket.fd, EPOLLIN));
    loop.phase(() => this.#flush());
  }

  /** `nextId` numbers the ports. Throws SystemError; RangeError when the arena is full. */
  static async open(
    url: string,
    loop: TurnLoop,
    arena: Arena,
    receiver: FrameReceiver,
    events: LinkEvents,
    nextId: () => number,
  ): Promise<QemuListener> {
    const region = new ReceiveRegion(arena, RECEIVE_REGION);
    let socket: ListenSocket | undefined;
    try {
      socket = await openListenSocket(url, arena);
      return new QemuListener(socket, loop, region, receiver, events, nextId);
    } catch (error) {
      socket?.close();
      region.free();
      throw error;
    }
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
    const name = this.#peerName();
    const memory = this.#ports.size < MAXIMUM_PORTS ? StreamMemory.create(this.#region, QEMU_FRAMING, TRANSMIT_BUFFER) : null;
    if (memory === null) {
      this.refused++;
      close(fd);
      return;
    }
    this.#prepare(fd);
    const port = new StreamPort(this.#nextId(), name, fd, this.#loop, memory, this.#receiver, this);
    this.#ports.add(port);
    this.#receiver.attached(port);
    this.#events.connected(port);
  }

  /** Unix peers are unnamed: Go prints them as `@`. */
  #peerName(): string {
    const family = this.#arena.bytes[this.#scratch];
    const peer = family === AF_INET || family === AF_INET6 ? readSockaddr(this.#arena.bytes, this.#scratch) : undefined;
    return peer === undefined ? '@' : `${formatAddress(...peer.words)}:${peer.port}`;
  }

  #prepare(fd: number): void {
    const { words, memory } = this.#arena;
    const address = addressOf(memory.buffer) + this.#scratch;
    words[this.#scratch >> 2] = SOCKET_BUFFER;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, address, 4);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, address, 4);
    words[this.#scratch >> 2] = 1;
    // Fails on a unix socket, which has no such delay.
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, address, 4);
  }

  dirty(port: StreamPort): void {
    this.#dirty[this.#dirtyCount++] = port;
    this.#loop.runSoon();
  }

  /** True when flows that waited for room can go on. */
  #flush(): boolean {
    if (this.#dirtyCount === 0) return false;
    let drained = false;
    for (let i = 0; i < this.#dirtyCount; i++) if (this.#dirty[i]!.flush()) drained = true;
    this.#dirtyCount = 0;
    return drained;
  }

  closed(port: StreamPort, reason: string): void {
    this.#ports.delete(port);
    this.#events.disconnected(port, reason);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#loop.timers.cancel(this.#retry);
    this.#loop.unwatch(this.#token, this.#socket.fd);
    this.#socket.close();
    this.#flush();
    for (const port of [...this.#ports]) port.close('listener closed');
    this.#region.free();
  }
}
