/**
 * Receiving half of the reference guest's TCP: what has arrived, what is acknowledged and when, which window is offered.
 *
 * Positions count the stream's bytes from 0 and never wrap; a FIN takes the position behind the last byte. Payload is
 * compared with the pattern where it comes in and not kept.
 */
import { Fault } from '../end.ts';
import type { Pattern } from '../pattern.ts';

interface Range {
  from: number;
  to: number;
}

/** Segments acknowledged at once when a connection begins, as Linux does (quickack). */
const QUICK_ACKS = 8;

export interface ReceiverOptions {
  /** Bytes. */
  readonly buffer: number;
  /** The window's right edge may move left when the application stops reading (RFC 9293 §3.8.6 warns of such guests). */
  readonly shrinks: boolean;
  readonly mss: number;
}

export const NO_ACK = 0;
export const DELAYED_ACK = 1;
export const ACK_NOW = 2;

export class Receiver {
  /** Everything before this has arrived, the FIN included. */
  next = 0;
  ended = false;
  /** The largest right edge that was ever promised. */
  edge = 0;
  /** As the last segment said. */
  #offeredEdge = 0;
  readonly #ranges: Range[] = [];
  /** The range that grew last, and a duplicate to be reported first (RFC 2883). */
  #latest: Range | null = null;
  #duplicate: Range | null = null;
  #finAt = -1;
  #consumed = 0;
  #allowed = Infinity;
  #unacknowledged = 0;
  #quick = QUICK_ACKS;
  readonly #options: ReceiverOptions;
  readonly #pattern: Pattern;
  readonly #name: string;

  constructor(name: string, options: ReceiverOptions, pattern: Pattern) {
    this.#name = name;
    this.#options = options;
    this.#pattern = pattern;
  }

  /** Data bytes that arrived in order. */
  get received(): number {
    return this.ended ? this.next - 1 : this.next;
  }

  /** A segment's text. Says when it must be acknowledged. */
  take(position: number, bytes: Uint8Array, at: number, length: number, fin: boolean): number {
    if (length === 0 && !fin) return NO_ACK;
    if (!this.#pattern.matches(bytes, at, position, length)) throw new Fault(`${this.#name}: wrong bytes at ${position}`);
    const end = position + length;
    if (end > this.edge && end > this.next) throw new Fault(`${this.#name}: was sent ${end - this.edge} bytes beyond its window`);
    if (length > this.#options.mss) throw new Fault(`${this.#name}: was sent ${length} bytes, more than its MSS`);
    if (fin) this.#takeFin(end);
    if (this.#finAt >= 0 && end > this.#finAt) throw new Fault(`${this.#name}: was sent bytes behind the end`);
    const last = fin ? end + 1 : end;
    if (last <= this.next) {
      this.#duplicate = { from: position, to: end };
      return ACK_NOW;
    }
    // A shrunk window: what lies beyond has no place any more.
    if (this.#options.shrinks && end > Math.max(this.#offeredEdge, this.next)) return ACK_NOW;
    const gaps = this.#ranges.length > 0;
    this.#add(Math.max(position, this.next), last);
    const advanced = this.#advance();
    if (!advanced || gaps || this.ended) return ACK_NOW;
    return this.#when(length);
  }

  #takeFin(at: number): void {
    if (this.#finAt >= 0 && this.#finAt !== at) throw new Fault(`${this.#name}: the stream ends at ${this.#finAt} and at ${at}`);
    this.#finAt = at;
  }

  #when(length: number): number {
    this.#unacknowledged += length;
    if (this.#quick > 0) {
      this.#quick--;
      return ACK_NOW;
    }
    return this.#unacknowledged > this.#options.mss ? ACK_NOW : DELAYED_ACK;
  }

  #add(from: number, to: number): void {
    const ranges = this.#ranges;
    let index = 0;
    while (index < ranges.length && ranges[index]!.to < from) index++;
    let last = index;
    while (last < ranges.length && ranges[last]!.from <= to) last++;
    const merged = { from, to };
    if (last > index) {
      merged.from = Math.min(from, ranges[index]!.from);
      merged.to = Math.max(to, ranges[last - 1]!.to);
    }
    ranges.splice(index, last - index, merged);
    this.#latest = merged;
  }

  #advance(): boolean {
    const first = this.#ranges[0]!;
    if (first.from > this.next) return false;
    this.#ranges.shift();
    this.next = first.to;
    if (this.#latest === first) this.#latest = null;
    this.ended = this.#finAt >= 0 && this.next > this.#finAt;
    this.#consume();
    return true;
  }

  #consume(): void {
    const count = Math.min(this.received - this.#consumed, this.#allowed);
    this.#consumed += count;
    this.#allowed -= count;
  }

  /** The application takes `count` more bytes; Infinity: all. True when the sender must hear of the room. */
  read(count: number): boolean {
    this.#allowed = count === Infinity ? Infinity : (this.#allowed === Infinity ? 0 : this.#allowed) + count;
    this.#consume();
    return (
      !this.ended &&
      this.#window() - Math.max(this.#offeredEdge - this.next, 0) >= Math.min(2 * this.#options.mss, this.#options.buffer / 2)
    );
  }

  #window(): number {
    const room = Math.max(this.#options.buffer - (this.received - this.#consumed), 0);
    // RFC 9293 §3.8.6.2.2: no silly windows.
    return room < Math.min(this.#options.mss, this.#options.buffer / 2) ? 0 : room;
  }

  /** The window field for the segment that is being sent now, which acknowledges everything. */
  advertise(scale: number): number {
    const promised = this.#options.shrinks ? 0 : Math.max(this.edge - this.next, 0);
    const unit = 1 << scale;
    // Rounded up where a promise would be broken otherwise, as Linux does.
    const wanted = Math.max(this.#window() & ~(unit - 1), (promised + unit - 1) & ~(unit - 1));
    const field = Math.min(wanted >>> scale, 0xffff);
    this.#offeredEdge = this.next + (field << scale);
    this.edge = Math.max(this.edge, this.#offeredEdge);
    this.#unacknowledged = 0;
    return field;
  }

  /** Up to `limit` blocks (left, right), the most recent news first (RFC 2018 §4); a duplicate is reported once. */
  blocks(limit: number): Range[] {
    const blocks: Range[] = [];
    if (this.#duplicate !== null) blocks.push(this.#duplicate);
    this.#duplicate = null;
    if (this.#latest !== null && this.#ranges.includes(this.#latest)) blocks.push(this.#latest);
    for (const range of this.#ranges) if (range !== this.#latest) blocks.push(range);
    return blocks.slice(0, limit);
  }
}
