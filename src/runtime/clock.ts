/** Time and randomness are parameters of the core: production and tests pass different ones. */

export interface Clock {
  /** Monotonic milliseconds, with fractions. Never runs backwards; may jump forward (suspend). */
  now(): number;
}

/** For tests: time moves only when told. */
export class ManualClock implements Clock {
  #now = 0;

  now(): number {
    return this.#now;
  }

  advance(ms: number): void {
    this.#now += ms;
  }
}

export interface Random {
  /** Uniform over all signed 32-bit words; unpredictable in production (ISNs and hash keys come from it). */
  word(): number;
}

/** For tests: the same seed gives the same words (xorshift32). */
export class SeededRandom implements Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0 || 1;
  }

  word(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x;
    return x;
  }
}
