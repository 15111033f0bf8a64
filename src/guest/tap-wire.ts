/**
 * A TAP device joined to a stream of frames: gvforwarder's two directions (contract §15.1), without copying.
 *
 *     TAP ── read into ──► the stream's transmit buffer ── one write a turn ──► stream
 *     TAP ◄── write from ── the receive region ◄────────── read, once a round ── stream
 *
 * A frame is read to where the stream sends it from, behind its length and, with a virtio-net header, with the header that the
 * kernel puts in front. While the stream has no room the device is not read: its queue fills, which holds back the guest's TCP.
 */
import { EPOLLERR, EPOLLIN } from '../system/constants.ts';
import { EAGAIN, EBADFD, EINTR, errnoText, ENODEV } from '../system/errno.ts';
import { addressOf, close, read, write } from '../system/syscalls.ts';
import { HEADER as ETHERNET_HEADER } from '../packet/ethernet.ts';
import type { Arena } from '../runtime/arena.ts';
import type { TurnLoop, Watcher } from '../runtime/turn-loop.ts';
import type { Framing } from '../link/framing.ts';
import { type FrameReceiver, LARGEST_FRAME, type Port } from '../link/port.ts';
import { ReceiveRegion } from '../link/receive-region.ts';
import type { StreamPort } from '../link/stream-port.ts';
import { StreamPorts } from '../link/stream-ports.ts';

/** Bytes read from the stream at a time. */
const RECEIVE_REGION = 1 << 20;
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

export class TapWire implements Watcher, FrameReceiver {
  readonly counters: WireCounters = { framesToStream: 0, framesToTap: 0, dropped: 0 };
  readonly #loop: TurnLoop;
  readonly #bytes: Uint8Array;
  readonly #base: number;
  readonly #tap: number;
  readonly #vnet: number;
  /** Length that the framing can say, of a frame. */
  readonly #limit: number;
  readonly #events: WireEvents;
  /** Of the one port. */
  readonly #ports: StreamPorts;
  readonly #port: StreamPort;
  readonly #token: number;
  #reading = true;
  #closed = true;

  /**
   * Takes over `stream` (connected, nonblocking), not `tap` (nonblocking, with the header that `framing` says). Throws RangeError when
   * the arena is full, SystemError when a descriptor can't be watched.
   */
  constructor(tap: number, stream: number, framing: Framing, loop: TurnLoop, arena: Arena, events: WireEvents) {
    this.#loop = loop;
    this.#bytes = arena.bytes;
    this.#base = addressOf(arena.memory.buffer);
    this.#tap = tap;
    this.#vnet = framing.vnet;
    this.#limit = Math.min(framing.limit - framing.vnet, LARGEST_FRAME);
    this.#events = events;
    const link = { connected: () => {}, disconnected: (_port: Port, reason: string) => this.#release(reason) };
    let ports: StreamPorts | null = null;
    let port: StreamPort | null = null;
    try {
      const region = new ReceiveRegion(arena, RECEIVE_REGION);
      ports = new StreamPorts(region, { loop, arena, receiver: this, events: link, nextId: () => 0 });
      port = ports.attach(stream, framing, 'stream');
      if (port === null) throw new RangeError('the arena has no room for a stream');
      this.#token = loop.watch(tap, EPOLLIN, this);
    } catch (error) {
      if (port === null) close(stream);
      ports?.close('it could not be joined');
      throw error;
    }
    this.#ports = ports;
    this.#port = port;
    this.#closed = false;
  }

  /** The device has frames, or is gone. */
  ready(events: number): void {
    if (events & EPOLLERR) return this.close(`cannot read packet from tap: ${errnoText(EBADFD)}`);
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
      if (got <= 0) return this.close(`cannot read packet from tap: ${got === 0 ? 'EOF' : errnoText(-got)}`);
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

  frame(_port: Port, at: number, length: number): void {
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
    else if (wrote === -EBADFD || wrote === -ENODEV) this.close(`cannot write packet to tap: ${errnoText(-wrote)}`);
    // The interface is down, or the kernel has no memory for it, or thinks nothing of its header: as on any wire.
    else this.counters.dropped++;
  }

  endOfBatch(): void {}

  drained(): void {
    this.#read(true);
  }

  attached(): void {}

  detached(): void {}

  /** Ends both directions; `reason` is what `ended` hears. Closing twice is closing once. */
  close(reason: string): void {
    if (!this.#closed) this.#port.close(reason);
  }

  #release(reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#loop.unwatch(this.#token, this.#tap);
    this.#ports.close(reason);
    this.#events.ended(reason.replace('cannot write packet', 'cannot write size and packet'));
  }
}
