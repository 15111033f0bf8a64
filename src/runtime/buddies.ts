/**
 * Which parts of a row of units are in use: a buddy allocator (Knuth, TAOCP 1, §2.5).
 *
 * A block is 2^order units at a multiple of its own length. A larger one is split when no smaller one is free; freed, it
 * merges with its buddy, the other half of the block it was split from, as long as that is free.
 *
 *     order 2  [       8..11       ]
 *     order 1  [ 8..9  ][ 10..11 ]        buddy of block b: b ^ 2^order
 *     order 0  [ 8][ 9]
 *
 * The smallest block that will do is always taken first: blocks of one size fill what is broken already before they break more.
 */

/** State of the first unit of a block in use; without it, of a free one. Units inside a block have state 0. */
const USED = 0x80;

export class Buddies {
  readonly #units: number;
  /** Of the first unit of each block: order + 1, plus USED. */
  readonly #state: Uint8Array;
  /** Free blocks of each order: the first, and links. Unit 0 is never free, so that 0 means none. */
  readonly #first: Int32Array = new Int32Array(32);
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  /** Bit n: there are free blocks of order n. */
  #orders = 0;

  /** All of `units` is free, except the first, which never is handed out. */
  constructor(units: number) {
    this.#units = units;
    this.#state = new Uint8Array(units);
    this.#next = new Int32Array(units);
    this.#previous = new Int32Array(units);
    for (let at = 1; at < units;) {
      // The longest block that may begin here and still ends inside.
      const order = Math.min(lowestBit(at), 31 - Math.clz32(units - at));
      this.#insert(at, order);
      at += 2 ** order;
    }
  }

  /** First unit of a free block of 2^order units, which is in use from now on; 0 when there is none. */
  take(order: number): number {
    const fitting = order < 32 ? (this.#orders >>> order) << order : 0;
    if (fitting === 0) return 0;
    let at = lowestBit(fitting);
    const found = this.#first[at]!;
    this.#remove(found, at);
    while (at > order) {
      at--;
      this.#insert(found + 2 ** at, at);
    }
    this.#state[found] = USED | (order + 1);
    return found;
  }

  /** Gives back what `take(order)` returned. False, and nothing has changed, when no such block is in use. */
  give(unit: number, order: number): boolean {
    if (this.#state[unit] !== (USED | (order + 1))) return false;
    this.#state[unit] = 0;
    let at = unit;
    let size = order;
    for (;;) {
      const buddy = (at ^ (1 << size)) >>> 0;
      if (buddy >= this.#units || this.#state[buddy] !== size + 1) break;
      this.#remove(buddy, size);
      at = Math.min(at, buddy);
      size++;
    }
    this.#insert(at, size);
    return true;
  }

  #insert(unit: number, order: number): void {
    const next = this.#first[order]!;
    this.#state[unit] = order + 1;
    this.#next[unit] = next;
    this.#previous[unit] = 0;
    if (next !== 0) this.#previous[next] = unit;
    this.#first[order] = unit;
    this.#orders |= 1 << order;
  }

  #remove(unit: number, order: number): void {
    const next = this.#next[unit]!;
    const previous = this.#previous[unit]!;
    this.#state[unit] = 0;
    if (next !== 0) this.#previous[next] = previous;
    if (previous !== 0) this.#next[previous] = next;
    else this.#first[order] = next;
    if (this.#first[order] === 0) this.#orders &= ~(1 << order);
  }
}

/** Number of the lowest bit that is set. */
function lowestBit(word: number): number {
  return 31 - Math.clz32(word & -word);
}
