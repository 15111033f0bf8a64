/** Seeded chance: the same seed throws the same numbers. */
import { SeededRandom } from '../../../../src/runtime/clock.ts';

export class Dice {
  readonly #random: SeededRandom;

  constructor(seed: number) {
    // Neighbouring seeds must not begin alike, and xorshift begins with what it was given.
    let word = Math.imul(seed ^ 0x5bd1e995, 0x9e3779b1);
    word = Math.imul(word ^ (word >>> 15), 0x85ebca77);
    this.#random = new SeededRandom(word ^ (word >>> 13));
  }

  /** Uniform over all signed 32-bit words. */
  word(): number {
    return this.#random.word();
  }

  /** [0, 1). */
  fraction(): number {
    return (this.word() >>> 0) / 2 ** 32;
  }

  chance(probability: number): boolean {
    return probability > 0 && this.fraction() < probability;
  }

  /** An integer of [from, to]. */
  integer(from: number, to: number): number {
    return from + Math.floor(this.fraction() * (to - from + 1));
  }

  /** An integer of [1, to], small ones as likely as large ones. */
  size(to: number): number {
    return Math.max(1, Math.floor(Math.exp(this.fraction() * Math.log(to + 1))));
  }

  pick<T>(values: readonly T[]): T {
    return values[this.integer(0, values.length - 1)]!;
  }
}
