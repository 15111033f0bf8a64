/**
 * A TAP device joined to a stream of frames: gvforwarder's two directions (contract §15.1), without copying.
 *
 *     TAP ── read into ──► the stream's transmit buffer ── one write a turn ──► stream
 *     TAP ◄── write from ── the receive region ◄────────── read, once a round ── stream
 *
 * A frame is read to where the stream sends it from, behind its length and, with a virtio-net header, with the header that the
 * kernel puts in front. While the stream has no room the device is not read: its queue fills, which holds back the guest's TCP.
 */
import { EPOLLERR, EPOLLIN, IPPROTO_TCP, SO_RCVBUF, SO_SNDBUF, SOL_SOCKET, TCP_NODELAY } from '../system/constants.ts';
import { EAGAIN, EBADFD, EINTR, errnoText, ENODEV } from '../system/errno.ts';
import { addressOf, read, setsockopt, write } from '../system/syscalls.ts';
import { HEADER as ETHERNET_HEADER } from '../packet/ethernet.ts';
import type { Arena } from '../runtime/arena.ts';
import type { TurnLoop, Watcher } from '../runtime/turn-loop.ts';
import type { Framing } from '../link/framing.ts';
import { type FrameReceiver, LARGEST_FRAME } from '../link/port.ts';
import { ReceiveRegion } from '../link/receive-region.ts';
import { StreamMemory, StreamPort, type StreamPortOwner } from '../link/stream-port.ts';

/** Bytes read from the stream at a time. */
const RECEIVE_REGION = 1 << 20;
/** Bytes that wait for the stream before the device is read no further. */
const TRANSMIT_BUFFER = 1 << 20;
/** Asked of the kernel for the stream's socket; it grants what its limits allow. */
const SOCKET_BUFFER = 4 << 20;
/** Frames read from the device in one round. */
const FRAMES_A_ROUND = 64;
/** One more than passes: a frame that fills it was cut off. */
const FRAME_ROOM = LARGEST_FRAME + 1;

export interface WireEvents {
  /** One side has failed or ended; both are unwatched, the stream is closed, the device is the caller's. `reason` is for the log. */
  ended(reason: string): void;
  /** A frame from the stream; true: it is not for the device. It lies in `bytes` during the call only. */
  intercept(bytes: Uint8Array, at: number, length: number): boolean;
}

export interface WireCounters {
  framesToStream: number;
  framesToTap: number;
  /** Frames that the device or the kernel would not take, or that no link can carry. */
  dropped: number;
}

export class TapWire implements Watcher, FrameReceiver, StreamPortOwner {
  readonly counters: WireCounters = { framesToStream: 0, framesToTap: 0, dropped: 0 };
  readonly #loop: TurnLoop;
  readonly #bytes: Uint8Array;
  readonly #base: number;
  readonly #tap: number;
  readonly #vnet: number;
  /** Length that the framing can say, of a frame. */
  readonly #limit: number;
  readonly #events: WireEvents;
  readonly #region: ReceiveRegion;
  readonly #port: StreamPort;
  readonly #token: number;
  readonly #endPhase: () => void;
  #reading = true;
  #closed = false;

  /**
   * Takes over `stream` (connected, nonblocking), not `tap` (nonblocking, with the header that `framing` says). Throws RangeError when the arena is full, SystemError when a descriptor can't be watched.
   */
  constructor(tap: number, stream: number, framing: Framing, loop: TurnLoop, arena: Arena, events: WireEvents) {
    this.#loop = loop;
    this.#bytes = arena.bytes;
    this.#base = addressOf(arena.memory.buffer);
    this.#tap = tap;
    this.#vnet = framing.vnet;
    this.#limit = Math.min(framing.limit - framing.vnet, LARGEST_FRAME);
    this.#events = events;
    this.#region = new ReceiveRegion(arena, RECEIVE_REGION);
    const memory = StreamMemory.create(this.#region, framing, TRANSMIT_BUFFER);
    if (memory === null) throw new RangeError('the arena has no room for a stream');
    this.#prepare(stream, arena);
    this.#token = loop.watch(tap, EPOLLIN, this);
    this.#port = new StreamPort(0, 'stream', stream, loop, memory, this, this);
    this.#endPhase = loop.phase(() => this.#port.isDirty && this.#port.flush());
  }

  #prepare(stream: number, arena: Arena): void {
    // Nothing is being read now.
    const scratch = this.#region.at;
    arena.words[scratch >> 2] = SOCKET_BUFFER;
    setsockopt(stream, SOL_SOCKET, SO_SNDBUF, this.#base + scratch, 4);
    setsockopt(stream, SOL_SOCKET, SO_RCVBUF, this.#base + scratch, 4);
    arena.words[scratch >> 2] = 1;
    setsockopt(stream, IPPROTO_TCP, TCP_NODELAY, this.#base + scratch, 4);
  }

  /** The device has frames, or is gone. */
  ready(events: number): void {
    if (events & EPOLLERR) return this.#end(`cannot read packet from tap: ${errnoText(EBADFD)}`);
    const { headroom } = this.#port;
    let bytes = 0;
    for (let i = 0; i < FRAMES_A_ROUND && !this.#closed; i++) {
      const at = this.#port.claim(headroom + FRAME_ROOM);
      if (at < 0) {
        this.#read(false);
        break;
      }
      const got = read(this.#tap, this.#base + at + headroom - this.#vnet, this.#vnet + FRAME_ROOM);
      if (got === -EAGAIN) break;
      if (got === -EINTR) continue;
      if (got <= 0) return this.#end(`cannot read packet from tap: ${got === 0 ? 'EOF' : errnoText(-got)}`);
      const length = got - this.#vnet;
      if (length < ETHERNET_HEADER || length > this.#limit) {
        this.counters.dropped++;
        continue;
      }
      this.#port.commit(at + headroom, length, this.#vnet > 0);
      this.counters.framesToStream++;
      bytes += length;
    }
    if (bytes > 0) this.#loop.received(bytes);
  }

  #read(on: boolean): void {
    if (on === this.#reading || this.#closed) return;
    this.#reading = on;
    this.#loop.modify(this.#token, this.#tap, on ? EPOLLIN : 0);
  }

  /** A frame of our own for the stream, as if the device had sent it. False while the stream has no room. */
  send(frame: Uint8Array): boolean {
    const { headroom } = this.#port;
    const at = this.#port.claim(headroom + frame.length);
    if (at < 0) {
      this.#read(false);
      return false;
    }
    this.#bytes.set(frame, at + headroom);
    this.#port.commit(at + headroom, frame.length);
    return true;
  }

  frame(_port: StreamPort, at: number, length: number): void {
    if (this.#closed) return;
    if (length < ETHERNET_HEADER) {
      this.counters.dropped++;
      return;
    }
    if (this.#events.intercept(this.#bytes, at, length)) return;
    const size = length + this.#vnet;
    let wrote = write(this.#tap, this.#base + at - this.#vnet, size);
    while (wrote === -EINTR) wrote = write(this.#tap, this.#base + at - this.#vnet, size);
    if (wrote >= 0) this.counters.framesToTap++;
    else if (wrote === -EBADFD || wrote === -ENODEV) this.#end(`cannot write packet to tap: ${errnoText(-wrote)}`);
    // The interface is down, or the kernel has no memory for it, or thinks nothing of its header: as on any wire.
    else this.counters.dropped++;
  }

  endOfBatch(): void {}

  drained(): void {
    this.#read(true);
  }

  dirty(): void {
    this.#loop.runSoon();
  }

  attached(): void {}

  detached(): void {}

  closed(_port: StreamPort, reason: string): void {
    this.#release(reason.replace('cannot write packet', 'cannot write size and packet'));
  }

  #end(reason: string): void {
    this.close(reason);
  }

  /** Ends both directions; `reason` is what `ended` hears. Closing twice is closing once. */
  close(reason: string): void {
    if (!this.#closed) this.#port.close(reason);
  }

  #release(reason: string): void {
    this.#closed = true;
    this.#endPhase();
    this.#loop.unwatch(this.#token, this.#tap);
    this.#region.free();
    this.#events.ended(reason);
  }
}
