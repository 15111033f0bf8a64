/** Time and randomness of the real world. */
import { randomFillSync } from 'node:crypto';
import type { Clock, Random } from './clock.ts';

export class WallClock implements Clock {
  now(): number {
    return performance.now();
  }
}

/** Words from the operating system's generator, drawn a block at a time. */
export class SystemRandom implements Random {
  readonly #pool: Int32Array = new Int32Array(256);
  #left = 0;

  word(): number {
    if (this.#left === 0) {
      randomFillSync(this.#pool);
      this.#left = this.#pool.length;
    }
    return this.#pool[--this.#left]!;
  }
}

/** Milliseconds for which this process has run code of its own on any processor. */
export function processorTime(): number {
  return process.cpuUsage().user / 1000;
}
