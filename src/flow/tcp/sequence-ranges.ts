/** Disjoint ranges of sequence numbers in ascending order, bounded in number; what doesn't fit is not remembered. */

const LIMIT = 64;
const EMPTY: Int32Array = new Int32Array(0);

export class SequenceRanges {
  count = 0;
  left: Int32Array = EMPTY;
  right: Int32Array = EMPTY;

  clear(): void {
    this.count = 0;
  }

  /** Index of the range that `sequence` lies in; -1 when there is none. */
  indexOf(sequence: number): number {
    for (let i = 0; i < this.count; i++) {
      if (((this.left[i]! - sequence) | 0) > 0) return -1;
      if (((this.right[i]! - sequence) | 0) > 0) return i;
    }
    return -1;
  }

  /** Adds [from, to), joining what it touches. True when it told something new and there was room to note it. */
  add(from: number, to: number): boolean {
    const { left, right } = this.#arrays();
    let first = 0;
    while (first < this.count && ((right[first]! - from) | 0) < 0) first++;
    let last = first;
    while (last < this.count && ((left[last]! - to) | 0) <= 0) last++;
    if (last === first) return this.#insert(first, from, to);
    const covered = ((left[first]! - from) | 0) <= 0 && ((to - right[first]!) | 0) <= 0;
    if (covered) return false;
    const end = right[last - 1]!;
    if (((left[first]! - from) | 0) > 0) left[first] = from;
    right[first] = ((end - to) | 0) > 0 ? end : to;
    this.#close(first + 1, last);
    return true;
  }

  /** Drops the ranges up to `sequence` and those that connect to it; returns where the last of them ends, or `sequence`. */
  advance(sequence: number): number {
    let taken = 0;
    while (taken < this.count && ((this.left[taken]! - sequence) | 0) <= 0) {
      if (((this.right[taken]! - sequence) | 0) > 0) sequence = this.right[taken]!;
      taken++;
    }
    if (taken > 0) this.#close(0, taken);
    return sequence;
  }

  #insert(index: number, from: number, to: number): boolean {
    if (this.count === LIMIT) return false;
    this.left.copyWithin(index + 1, index, this.count);
    this.right.copyWithin(index + 1, index, this.count);
    this.left[index] = from;
    this.right[index] = to;
    this.count++;
    return true;
  }

  #close(from: number, to: number): void {
    this.left.copyWithin(from, to, this.count);
    this.right.copyWithin(from, to, this.count);
    this.count -= to - from;
  }

  /** Most flows never lose a segment and never need the arrays. */
  #arrays(): { left: Int32Array; right: Int32Array } {
    if (this.left === EMPTY) {
      this.left = new Int32Array(LIMIT);
      this.right = new Int32Array(LIMIT);
    }
    return this;
  }
}
