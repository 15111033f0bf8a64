/** So many a second for each of those who ask, and so many at once: one token bucket an owner, which goes with it. */

interface Bucket {
  tokens: number;
  /** Milliseconds. */
  filled: number;
}

export class RateLimit<T extends object> {
  readonly #rate: number;
  readonly #burst: number;
  readonly #buckets: WeakMap<T, Bucket> = new WeakMap();

  /** `rate` a second, after a pause `burst` at once. */
  constructor(rate: number, burst: number) {
    this.#rate = rate;
    this.#burst = burst;
  }

  /** Whether `owner` may have `amount` more, at most the burst. `now` in milliseconds. */
  take(owner: T, now: number, amount = 1): boolean {
    let bucket = this.#buckets.get(owner);
    if (bucket === undefined) {
      bucket = { tokens: this.#burst, filled: now };
      this.#buckets.set(owner, bucket);
    }
    bucket.tokens = Math.min(bucket.tokens + ((now - bucket.filled) * this.#rate) / 1000, this.#burst);
    bucket.filled = now;
    if (bucket.tokens < amount) return false;
    bucket.tokens -= amount;
    return true;
  }
}
