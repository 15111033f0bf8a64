/**
 * Retransmissions that are believed to be on the wire, in the order in which they were sent (RFC 8985 §5.1). Those at the front
 * are the first to be found lost in turn.
 */
import type { Scoreboard } from './scoreboard.ts';

/** As many as the scoreboard can tell holes apart. */
const ENTRIES = 64;
const MASK = ENTRIES - 1;

export class Retransmissions {
  readonly #left: Int32Array = new Int32Array(ENTRIES);
  readonly #right: Int32Array = new Int32Array(ENTRIES);
  readonly #time: Float64Array = new Float64Array(ENTRIES);
  #first = 0;
  count = 0;

  get full(): boolean {
    return this.count === ENTRIES;
  }

  clear(): void {
    this.count = 0;
  }

  push(left: number, right: number, now: number): void {
    const at = (this.#first + this.count) & MASK;
    this.#left[at] = left;
    this.#right[at] = right;
    this.#time[at] = now;
    this.count++;
  }

  /** Of the oldest. */
  get left(): number {
    return this.#left[this.#first]!;
  }

  get right(): number {
    return this.#right[this.#first]!;
  }

  get time(): number {
    return this.#time[this.#first]!;
  }

  /** The oldest again, from `left` on. */
  shorten(left: number): void {
    this.#left[this.#first] = left;
  }

  /** The oldest counts as lost, and of it no more than the first `bytes` where there is room to tell them apart. */
  doubt(bytes: number): void {
    const { left, right } = this;
    if (((right - left) | 0) > bytes && !this.full) {
      this.shorten((left + bytes) | 0);
      this.#first = (this.#first - 1) & MASK;
      this.count++;
      this.#left[this.#first] = left;
      this.#right[this.#first] = (left + bytes) | 0;
    }
    this.#time[this.#first] = -Infinity;
  }

  drop(): void {
    this.#first = (this.#first + 1) & MASK;
    this.count--;
  }

  /** Drops from the front what has arrived meanwhile, and from the oldest of the rest its beginning. */
  settle(una: number, board: Scoreboard): void {
    while (this.count > 0) {
      const left = board.holeStart(((this.left - una) | 0) > 0 ? this.left : una);
      if (((this.right - left) | 0) > 0) {
        this.shorten(left);
        return;
      }
      this.drop();
    }
  }

  /** When the newest that has arrived was sent; -1 when none has. It is told once. */
  newestArrived(una: number, board: Scoreboard): number {
    for (let i = this.count - 1; i >= 0; i--) {
      const at = (this.#first + i) & MASK;
      const [left, right] = [this.#left[at]!, this.#right[at]!];
      if (left === right || (((right - una) | 0) > 0 && ((board.holeStart(left) - right) | 0) < 0)) continue;
      this.#left[at] = right;
      return this.#time[at]!;
    }
    return -1;
  }

  /** Bytes of those sent before `time` that have not arrived. */
  bytesBefore(time: number, una: number, board: Scoreboard): number {
    let bytes = 0;
    for (let i = 0; i < this.count; i++) {
      const at = (this.#first + i) & MASK;
      if (this.#time[at]! >= time) break;
      let left = this.#left[at]!;
      const right = this.#right[at]!;
      left = board.holeStart(((left - una) | 0) > 0 ? left : una);
      while (((right - left) | 0) > 0) {
        const end = board.holeEnd(left, right);
        const until = ((end - right) | 0) < 0 ? end : right;
        bytes += (until - left) | 0;
        left = board.holeStart(until);
      }
    }
    return bytes;
  }
}
