/** The stream ports that one listener, or one API, has attached: what they read to, how many they may be, who has frames to write. */
import {
  AF_VSOCK,
  IPPROTO_TCP,
  SO_RCVBUF,
  SO_SNDBUF,
  SO_VM_SOCKETS_BUFFER_MAX_SIZE,
  SO_VM_SOCKETS_BUFFER_SIZE,
  SOL_SOCKET,
  TCP_NODELAY,
} from '../system/constants.ts';
import { addressOf, setsockopt } from '../system/syscalls.ts';
import type { TurnLoop } from '../runtime/turn-loop.ts';
import type { LinkEvents } from './events.ts';
import type { Framing } from './framing.ts';
import type { LinkEnvironment } from './link.ts';
import type { FrameReceiver } from './port.ts';
import { PortNames } from './port-names.ts';
import type { ReceiveRegion } from './receive-region.ts';
import { StreamMemory, StreamPort, type StreamPortOwner } from './stream-port.ts';
import { WaitingPorts } from './waiting-ports.ts';

/** Bytes that wait for one VM before its flows are held back. */
const TRANSMIT_BUFFER = 1 << 20;
/** Asked of the kernel for the link's socket; it grants what its limits allow. */
const SOCKET_BUFFER = 4 << 20;
/** VMs on one listener. */
export const MAXIMUM_PORTS = 64;

export class StreamPorts implements StreamPortOwner {
  /** Connections that found no place: MAXIMUM_PORTS VMs were there, or the arena was full. */
  refused = 0;
  readonly #region: ReceiveRegion;
  readonly #loop: TurnLoop;
  readonly #receiver: FrameReceiver;
  readonly #events: LinkEvents;
  readonly #nextId: () => number;
  readonly #names: PortNames;
  readonly #ports: Set<StreamPort> = new Set();
  readonly #waiting: WaitingPorts;

  /** Takes over `region`. */
  constructor(region: ReceiveRegion, { loop, receiver, events, nextId }: LinkEnvironment, names: PortNames = new PortNames()) {
    this.#region = region;
    this.#loop = loop;
    this.#receiver = receiver;
    this.#events = events;
    this.#nextId = nextId;
    this.#names = names;
    this.#waiting = new WaitingPorts(loop);
  }

  /** Places that are left. */
  get free(): number {
    return MAXIMUM_PORTS - this.#ports.size;
  }

  /**
   * Takes over `fd` (a connected stream, nonblocking), unless there is no room: then null, and `fd` is the caller's. `peer`: the
   * other end's address. `out`: where frames to the VM go, when that is another descriptor. Throws SystemError for one that can't be watched.
   */
  attach(fd: number, framing: Framing, peer: string, out = fd): StreamPort | null {
    const memory = this.free > 0 ? StreamMemory.create(this.#region, framing, TRANSMIT_BUFFER) : null;
    if (memory === null) {
      this.refused++;
      return null;
    }
    this.#prepare(fd);
    if (out !== fd) this.#prepare(out);
    const id = this.#nextId();
    const name = this.#names.take(peer, id);
    let port: StreamPort;
    try {
      port = new StreamPort(id, name, { in: fd, out }, this.#loop, memory, this.#receiver, this);
    } catch (error) {
      memory.free();
      this.#names.giveBack(name);
      throw error;
    }
    this.#ports.add(port);
    this.#receiver.attached(port);
    this.#events.connected(port);
    return port;
  }

  #prepare(fd: number): void {
    const { words, memory } = this.#region.arena;
    // Nothing is being read from a VM now.
    const scratch = this.#region.at;
    const address = addressOf(memory.buffer) + scratch;
    words[scratch >> 2] = SOCKET_BUFFER;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, address, 4);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, address, 4);
    // vsock has its own, of 64 bits, and the most that it may be comes first. Other families don't know them.
    words[(scratch + 4) >> 2] = 0;
    setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_BUFFER_MAX_SIZE, address, 8);
    setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_BUFFER_SIZE, address, 8);
    words[scratch >> 2] = 1;
    // Fails on a unix socket, which has no such delay.
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, address, 4);
  }

  dirty(port: StreamPort): void {
    this.#waiting.add(port);
  }

  closed(port: StreamPort, reason: string): void {
    this.#ports.delete(port);
    this.#names.giveBack(port.name);
    this.#events.disconnected(port, reason);
  }

  /** Writes what there is, detaches every VM, and gives the region back. */
  close(reason: string): void {
    this.#waiting.flush();
    for (const port of [...this.#ports]) port.close(reason);
    this.#waiting.close();
    this.#region.free();
  }
}
