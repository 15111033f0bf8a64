/**
 * A VM behind a stream socket with length-prefixed frames.
 *
 *     readable ─► read (once a round) ─► frames ─► receiver        claim/commit ─► transmit buffer ─► one write a turn
 */
import { EPOLLIN, EPOLLOUT, EPOLLRDHUP } from '../system/constants.ts';
import { EAGAIN, EINTR, errnoText } from '../system/errno.ts';
import { addressOf, close, read, write } from '../system/syscalls.ts';
import type { TurnLoop, Watcher } from '../runtime/turn-loop.ts';
import type { Framing } from './framing.ts';
import { type FrameReceiver, type FrameTap, type Port, portCounters, type PortCounters } from './port.ts';
import { Deframer, type ReceiveRegion } from './receive-region.ts';
import { TransmitBuffer } from './transmit-buffer.ts';

/** What the listener that made the port hears of it. */
export interface StreamPortOwner {
  /** Has frames to write before the turn ends. */
  dirty(port: StreamPort): void;
  /** Is closed; `reason` is text for the log. */
  closed(port: StreamPort, reason: string): void;
}

export class StreamPort implements Port, Watcher {
  readonly id: number;
  readonly name: string;
  readonly headroom: number;
  readonly counters: PortCounters = portCounters();
  tap: FrameTap | null = null;
  isDirty = false;
  readonly #fd: number;
  readonly #base: number;
  readonly #bytes: Uint8Array;
  readonly #loop: TurnLoop;
  readonly #receiver: FrameReceiver;
  readonly #owner: StreamPortOwner;
  readonly #deframer: Deframer;
  readonly #transmit: TransmitBuffer;
  readonly #token: number;
  #waitsForRoom = false;
  #closed = false;

  /** Takes over `fd`: connected, nonblocking. */
  constructor(
    id: number,
    name: string,
    fd: number,
    loop: TurnLoop,
    region: ReceiveRegion,
    framing: Framing,
    transmit: TransmitBuffer,
    receiver: FrameReceiver,
    owner: StreamPortOwner,
  ) {
    this.id = id;
    this.name = name;
    this.headroom = framing.prefix;
    this.#fd = fd;
    this.#base = addressOf(region.arena.memory.buffer);
    this.#bytes = region.arena.bytes;
    this.#loop = loop;
    this.#receiver = receiver;
    this.#owner = owner;
    this.#transmit = transmit;
    this.#deframer = new Deframer(region, framing, (at, length) => this.#received(at, length));
    this.#token = loop.watch(fd, EPOLLIN | EPOLLRDHUP, this);
  }

  ready(events: number): void {
    if (events & EPOLLOUT) this.flush();
    if (events & ~EPOLLOUT) this.#read();
  }

  #read(): void {
    if (this.#closed) return;
    const at = this.#deframer.begin();
    const got = read(this.#fd, this.#base + at, this.#deframer.room);
    if (got === -EAGAIN || got === -EINTR) return;
    if (got <= 0) return this.close(`cannot read size from socket: ${got === 0 ? 'EOF' : errnoText(-got)}`);
    const good = this.#deframer.consume(got);
    this.#receiver.endOfBatch();
    if (good) return;
    const { invalid } = this.#deframer;
    this.close(invalid > 0 ? `invalid packet size: ${invalid} is negative or exceeds maximum 131072` : 'out of memory for frames');
  }

  #received(at: number, length: number): void {
    this.tap?.fromGuest(this.#bytes, at, length);
    this.#receiver.frame(this, at, length);
  }

  claim(bytes: number): number {
    return this.#closed ? -1 : this.#transmit.claim(bytes);
  }

  commit(at: number, length: number): void {
    this.#transmit.commit(at, length);
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
      const count = write(this.#fd, this.#base + transmit.head, transmit.pending);
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
    this.#loop.modify(this.#token, this.#fd, EPOLLIN | EPOLLRDHUP | (wait ? EPOLLOUT : 0));
  }

  close(reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#loop.unwatch(this.#token, this.#fd);
    close(this.#fd);
    this.#deframer.free();
    this.#transmit.free();
    this.#receiver.detached(this);
    this.#owner.closed(this, reason);
  }
}
