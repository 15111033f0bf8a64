/**
 * A VM behind a stream socket with length-prefixed frames.
 *
 *     readable ─► read (once a round) ─► frames ─► receiver        claim/commit ─► transmit buffer ─► one write a turn
 */
import { EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP } from '../system/constants.ts';
import { EAGAIN, EINTR, EPIPE, errnoText } from '../system/errno.ts';
import { addressOf, close, read, write } from '../system/syscalls.ts';
import { isPossible, VNET_HEADER } from '../packet/vnet-header.ts';
import type { Arena } from '../runtime/arena.ts';
import type { TurnLoop, Watcher } from '../runtime/turn-loop.ts';
import type { Framing } from './framing.ts';
import { type FrameReceiver, type FrameTap, LARGEST_FRAME, type Port, portCounters, type PortCounters } from './port.ts';
import { Deframer, type Deliver, type ReceiveRegion } from './receive-region.ts';
import { TransmitBuffer } from './transmit-buffer.ts';

/** Where frames come from and go to: one socket, or two pipes. */
export interface StreamEnds {
  readonly in: number;
  readonly out: number;
}

/** What the listener that made the port hears of it. */
export interface StreamPortOwner {
  /** Has frames to write before the turn ends. */
  dirty(port: StreamPort): void;
  /** Is closed; `reason` is text for the log. */
  closed(port: StreamPort, reason: string): void;
}

/** What a VM needs as long as it is attached: taken at once, so that what others do can't cost it its link later. */
export class StreamMemory {
  readonly arena: Arena;
  readonly framing: Framing;
  readonly deframer: Deframer;
  readonly transmit: TransmitBuffer;

  private constructor(arena: Arena, framing: Framing, deframer: Deframer, transmit: TransmitBuffer) {
    this.arena = arena;
    this.framing = framing;
    this.deframer = deframer;
    this.transmit = transmit;
  }

  /** `waiting` bytes may wait for the VM. Null when the arena is full. */
  static create(region: ReceiveRegion, framing: Framing, waiting: number): StreamMemory | null {
    const deframer = Deframer.create(region, framing);
    const transmit = TransmitBuffer.create(region.arena, framing, waiting);
    if (deframer !== null && transmit !== null) return new StreamMemory(region.arena, framing, deframer, transmit);
    deframer?.free();
    transmit?.free();
    return null;
  }

  free(): void {
    this.deframer.free();
    this.transmit.free();
  }
}

export class StreamPort implements Port, Watcher {
  readonly id: number;
  readonly name: string;
  readonly headroom: number;
  readonly offload: boolean;
  readonly largestFrame: number;
  readonly counters: PortCounters = portCounters();
  tap: FrameTap | null = null;
  isDirty = false;
  readonly #fd: number;
  readonly #out: number;
  readonly #base: number;
  readonly #bytes: Uint8Array;
  readonly #loop: TurnLoop;
  readonly #receiver: FrameReceiver;
  readonly #owner: StreamPortOwner;
  readonly #memory: StreamMemory;
  readonly #deframer: Deframer;
  readonly #transmit: TransmitBuffer;
  readonly #deliver: Deliver = (at, length) => this.#received(at, length);
  readonly #limit: number;
  readonly #token: number;
  /** Of `#out`; the same as the other where that is one descriptor. */
  readonly #outToken: number;
  #waitsForRoom = false;
  #closed = false;

  /** Takes over `ends` (connected, nonblocking) and `memory`. Throws SystemError for what can't be watched; then both are the caller's. */
  constructor(
    id: number,
    name: string,
    ends: StreamEnds,
    loop: TurnLoop,
    memory: StreamMemory,
    receiver: FrameReceiver,
    owner: StreamPortOwner,
  ) {
    this.id = id;
    this.name = name;
    const { prefix, vnet, limit } = memory.framing;
    this.#limit = limit - vnet;
    this.headroom = prefix + vnet;
    this.offload = vnet > 0;
    this.largestFrame = this.offload ? LARGEST_FRAME : 0;
    this.#fd = ends.in;
    this.#out = ends.out;
    this.#base = addressOf(memory.arena.memory.buffer);
    this.#bytes = memory.arena.bytes;
    this.#loop = loop;
    this.#receiver = receiver;
    this.#owner = owner;
    this.#memory = memory;
    this.#deframer = memory.deframer;
    this.#transmit = memory.transmit;
    this.#token = loop.watch(ends.in, EPOLLIN | EPOLLRDHUP, this);
    this.#outToken = this.#token;
    if (ends.out === ends.in) return;
    try {
      this.#outToken = loop.watch(ends.out, 0, { ready: (events) => this.#outReady(events) });
    } catch (error) {
      loop.unwatch(this.#token, ends.in);
      throw error;
    }
  }

  ready(events: number): void {
    if (events & EPOLLOUT) this.flush();
    if (events & ~EPOLLOUT) this.#read();
  }

  #outReady(events: number): void {
    if (events & (EPOLLERR | EPOLLHUP)) this.close(`cannot write packet to socket: ${errnoText(EPIPE)}`);
    else this.flush();
  }

  #read(): void {
    if (this.#closed) return;
    const at = this.#deframer.begin();
    const got = read(this.#fd, this.#base + at, this.#deframer.room);
    if (got === -EAGAIN || got === -EINTR) return;
    if (got <= 0) return this.close(`cannot read size from socket: ${got === 0 ? 'EOF' : errnoText(-got)}`);
    this.#loop.received(got);
    this.#take(got);
  }

  /** What was read from the socket before it became a port. */
  feed(bytes: Uint8Array): void {
    for (let from = 0; from < bytes.length && !this.#closed;) {
      const at = this.#deframer.begin();
      const count = Math.min(bytes.length - from, this.#deframer.room);
      this.#bytes.set(bytes.subarray(from, from + count), at);
      from += count;
      this.#take(count);
    }
  }

  #take(got: number): void {
    const good = this.#deframer.consume(got, this.#deliver);
    this.#receiver.endOfBatch();
    if (!good) this.close(`invalid packet size: ${this.#deframer.invalid} is negative or exceeds maximum 131072`);
  }

  #received(place: number, bytes: number): void {
    let at = place;
    let length = bytes;
    if (this.offload) {
      at += VNET_HEADER;
      length -= VNET_HEADER;
      if (length < 0 || !isPossible(this.#bytes, place, length)) {
        this.counters.rxDropped++;
        return;
      }
    }
    this.tap?.fromGuest(this.#bytes, at, length);
    this.#receiver.frame(this, at, length);
  }

  claim(bytes: number): number {
    return this.#closed ? -1 : this.#transmit.claim(bytes);
  }

  commit(at: number, length: number, described = false): void {
    // Of another VM, whose link has a longer length field.
    if (length > this.#limit) {
      this.counters.txDropped++;
      return;
    }
    this.#transmit.commit(at, length, described);
    this.tap?.toGuest(this.#bytes, at, length);
    this.counters.txFrames++;
    this.counters.txBytes += length;
    if (this.isDirty) return;
    this.isDirty = true;
    this.#owner.dirty(this);
  }

  /** Writes what there is: one call, more only while the socket takes less than all of it at a time. True when a failed claim may be repeated. */
  flush(): boolean {
    this.isDirty = false;
    const transmit = this.#transmit;
    while (transmit.pending > 0 && !this.#closed) {
      const count = write(this.#out, this.#base + transmit.head, transmit.pending);
      if (count === -EINTR) continue;
      if (count === -EAGAIN) {
        this.#waitForRoom(true);
        break;
      }
      if (count < 0) {
        this.close(`cannot write packet to socket: ${errnoText(-count)}`);
        return false;
      }
      transmit.wrote(count);
    }
    if (this.#closed) return false;
    if (transmit.pending === 0) this.#waitForRoom(false);
    if (!transmit.starved || !transmit.roomy) return false;
    transmit.starved = false;
    this.#receiver.drained(this);
    return true;
  }

  #waitForRoom(wait: boolean): void {
    if (wait === this.#waitsForRoom) return;
    this.#waitsForRoom = wait;
    const input = this.#out === this.#fd ? EPOLLIN | EPOLLRDHUP : 0;
    this.#loop.modify(this.#outToken, this.#out, input | (wait ? EPOLLOUT : 0));
  }

  close(reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#loop.unwatch(this.#token, this.#fd);
    close(this.#fd);
    if (this.#out !== this.#fd) {
      this.#loop.unwatch(this.#outToken, this.#out);
      close(this.#out);
    }
    this.#memory.free();
    this.#receiver.detached(this);
    this.#owner.closed(this, reason);
  }
}
