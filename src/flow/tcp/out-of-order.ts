/**
 * What has come out of order, and in which order to report it (RFC 2018 §4): the range with the newest segment first, then
 * those reported most recently, so that each is told several times and no lost ACK hides it; then any others.
 */
import { SequenceRanges } from './sequence-ranges.ts';

/** Most blocks that fit a segment without other options. */
export const SACK_BLOCKS = 4;

export class OutOfOrder extends SequenceRanges {
  /** A sequence number in each of the ranges that grew last, newest first; one may meanwhile have been joined or taken. */
  readonly #newest: Int32Array = new Int32Array(SACK_BLOCKS);
  #newestCount = 0;

  override add(from: number, to: number): boolean {
    const told = super.add(from, to);
    const range = this.indexOf(from);
    if (range >= 0) this.#remember(from, range);
    return told;
  }

  /** Fills in what to report, in its order; both arrays have room for SACK_BLOCKS. Returns how many. */
  blocks(left: Int32Array, right: Int32Array): number {
    let count = 0;
    for (let i = 0; i < this.#newestCount; i++) {
      const index = this.indexOf(this.#newest[i]!);
      if (index < 0) continue;
      left[count] = this.left[index]!;
      right[count++] = this.right[index]!;
    }
    const newest = count;
    for (let index = 0; index < this.count && count < SACK_BLOCKS; index++) {
      let named = false;
      for (let i = 0; i < newest; i++) if (left[i] === this.left[index]) named = true;
      if (named) continue;
      left[count] = this.left[index]!;
      right[count++] = this.right[index]!;
    }
    return count;
  }

  /** Puts `sequence` of the range `range` in front, and forgets what lies in the same range or in none. */
  #remember(sequence: number, range: number): void {
    const newest = this.#newest;
    let kept = 0;
    for (let i = 0; i < this.#newestCount; i++) {
      const index = this.indexOf(newest[i]!);
      if (index >= 0 && index !== range) newest[kept++] = newest[i]!;
    }
    if (kept === SACK_BLOCKS) kept--;
    newest.copyWithin(1, 0, kept);
    newest[0] = sequence;
    this.#newestCount = kept + 1;
  }
}
