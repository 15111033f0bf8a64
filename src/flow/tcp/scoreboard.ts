/**
 * What the guest has selectively acknowledged (RFC 2018, RFC 6675 §3): ranges above SND.UNA, and the holes between them.
 *
 * A guest that reports more ranges than fit has the rest ignored, which only costs it retransmissions.
 */
import { SequenceRanges } from './sequence-ranges.ts';

export class Scoreboard extends SequenceRanges {
  /** Bytes covered. */
  get sacked(): number {
    let total = 0;
    for (let i = 0; i < this.count; i++) total += (this.right[i]! - this.left[i]!) | 0;
    return total;
  }

  /** End of the highest range; meaningless while count is 0. */
  get highest(): number {
    return this.right[this.count - 1]!;
  }

  /** First sequence number at or after `from` that was not selectively acknowledged. */
  holeStart(from: number): number {
    for (let i = 0; i < this.count; i++) {
      if (((this.left[i]! - from) | 0) > 0) return from;
      if (((this.right[i]! - from) | 0) > 0) from = this.right[i]!;
    }
    return from;
  }

  /** End of the hole that contains `from`: the next range, or `limit` when none lies above. */
  holeEnd(from: number, limit: number): number {
    for (let i = 0; i < this.count; i++) if (((this.left[i]! - from) | 0) > 0) return this.left[i]!;
    return limit;
  }
}
