/**
 * Bytes of one flow that the host has not taken: in-order bytes it refused, and bytes that came out of order.
 *
 *     hostNxt ─────────► rcvNxt ···gap··· [left0,right0) ··· [left1,right1)
 *     └ in order, refused ┘                └──────── out of order ────────┘
 *
 * A ring of pages indexed by sequence number, so a byte is copied once, to the place where it will be read from. A page is
 * lent to the flow's VM when the first byte for it comes, and goes back when the host has taken what was in it: one byte
 * costs one page, wherever in the window it lies. All pages are of one size, so that those of many flows come and go
 * without breaking the arena to pieces (see buddies.ts).
 */
import type { Arena } from '../../runtime/arena.ts';
import type { Port } from '../../link/port.ts';
import type { Spans } from '../../host/endpoint.ts';
import { OutOfOrder } from './out-of-order.ts';

const PAGE_BITS = 14;
const PAGE = 1 << PAGE_BITS;
/** Page numbers wrap as sequence numbers do. */
const NUMBERS = 2 ** (32 - PAGE_BITS);

export class ReceiveBuffer {
  readonly outOfOrder: OutOfOrder = new OutOfOrder();
  readonly #arena: Arena;
  /** The VM whose share it is. */
  readonly #owner: Port;
  /** Arena offset of page number n at n modulo the length; 0 for none. */
  readonly #pages: Int32Array;
  /** Number of the first page that may still be there. */
  #first: number;

  private constructor(arena: Arena, owner: Port, window: number, hostNxt: number) {
    this.#arena = arena;
    this.#owner = owner;
    // A window touches one page more than it fills when it begins within one.
    let count = 2;
    while (count * PAGE < window + PAGE) count *= 2;
    this.#pages = new Int32Array(count);
    this.#first = hostNxt >>> PAGE_BITS;
  }

  /**
   * A buffer for bytes of the `window` behind `hostNxt`, `sequence` the first of them. Null when `owner` gets no more memory.
   */
  static create(arena: Arena, owner: Port, window: number, hostNxt: number, sequence: number): ReceiveBuffer | null {
    // Before anything else is made: this is asked for each segment that comes while there is no memory.
    const page = arena.lend(owner, PAGE);
    if (page < 0) return null;
    const buffer = new ReceiveBuffer(arena, owner, window, hostNxt);
    buffer.#pages[(sequence >>> PAGE_BITS) & (buffer.#pages.length - 1)] = page;
    return buffer;
  }

  /**
   * Copies arena bytes to the place of sequence number `sequence`, which lies in the window. Returns how many, counted
   * from the first, found room.
   */
  store(sequence: number, from: number, length: number): number {
    for (let stored = 0; stored < length;) {
      const place = (sequence + stored) & (PAGE - 1);
      const page = this.#page((sequence + stored) >>> PAGE_BITS);
      if (page < 0) return stored;
      const count = Math.min(length - stored, PAGE - place);
      this.#arena.bytes.copyWithin(page + place, from + stored, from + stored + count);
      stored += count;
    }
    return length;
  }

  /** Offset of page `number`, lent if need be; -1 when the owner gets no more. */
  #page(number: number): number {
    const index = number & (this.#pages.length - 1);
    const page = this.#pages[index]!;
    if (page !== 0) return page;
    const lent = this.#arena.lend(this.#owner, PAGE);
    if (lent >= 0) this.#pages[index] = lent;
    return lent;
  }

  /** Adds the stored bytes of [from, to) to `spans`. */
  span(spans: Spans, from: number, to: number): void {
    const length = (to - from) | 0;
    for (let at = 0; at < length;) {
      const place = (from + at) & (PAGE - 1);
      const count = Math.min(length - at, PAGE - place);
      spans.add(this.#pages[((from + at) >>> PAGE_BITS) & (this.#pages.length - 1)]! + place, count);
      at += count;
    }
  }

  /** The host has everything up to `hostNxt`: pages that lie before it go back. */
  discard(hostNxt: number): void {
    const end = hostNxt >>> PAGE_BITS;
    for (; this.#first !== end; this.#first = (this.#first + 1) % NUMBERS) this.#giveBack(this.#first & (this.#pages.length - 1));
  }

  free(): void {
    for (let index = 0; index < this.#pages.length; index++) this.#giveBack(index);
  }

  #giveBack(index: number): void {
    const page = this.#pages[index]!;
    if (page === 0) return;
    this.#arena.takeBack(this.#owner, page, PAGE);
    this.#pages[index] = 0;
  }
}
