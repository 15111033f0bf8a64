/** Round-trip time and retransmission timeout (RFC 6298). Milliseconds. */

/** RFC 6298 §2.1: before the first measurement. */
const INITIAL = 1000;
/**
 * Longest delay of an ACK that is allowed for (RFC 6298 §2.4 wants 1 s for the whole, Linux does as we do): the guest is one hop
 * away, but it may put off an ACK for 200 ms.
 */
const ALLOWANCE = 200;
/** RFC 6298 §2.5 allows 60 s or more. */
const MAXIMUM = 60_000;

export class RttEstimator {
  /** 0 until measured. */
  smoothed = 0;
  /** The shortest ever measured; Infinity before. */
  shortest: number = Infinity;
  #variation = 0;
  #base = INITIAL;
  #backoff = 0;
  /** A measurement is under way: when was `sequence` sent? (One at a time; RFC 6298 §3 asks for at least one per RTT.) */
  timing = false;
  sequence = 0;
  #started = 0;

  /** RTO, backed off. */
  get timeout(): number {
    return Math.min(this.#base * 2 ** this.#backoff, MAXIMUM);
  }

  start(sequence: number, now: number): void {
    this.timing = true;
    this.sequence = sequence;
    this.#started = now;
  }

  /** The guest has acknowledged up to `acknowledged`. Returns what that has measured; -1 when it is not past the timed byte. */
  acknowledge(acknowledged: number, now: number): number {
    this.#backoff = 0;
    if (!this.timing || ((acknowledged - this.sequence) | 0) <= 0) return -1;
    this.timing = false;
    const sample = now - this.#started;
    this.#measure(sample);
    return sample;
  }

  /** A selective acknowledgment of what was sent only once took `milliseconds`; the cumulative one waits for repairs. */
  sample(milliseconds: number): void {
    this.#measure(milliseconds);
  }

  /** RFC 6298 §5.5: a timeout doubles the RTO; Karn's algorithm (§3): what was retransmitted is not measured. */
  expire(): void {
    this.timing = false;
    if (this.#backoff < 10) this.#backoff++;
  }

  /** RFC 6298 §2.2, §2.3; its clock granularity is below the allowance. */
  #measure(sample: number): void {
    if (sample < this.shortest) this.shortest = sample;
    if (this.smoothed === 0) {
      this.smoothed = Math.max(sample, 0.001);
      this.#variation = sample / 2;
    } else {
      this.#variation += (Math.abs(this.smoothed - sample) - this.#variation) / 4;
      this.smoothed += (sample - this.smoothed) / 8;
    }
    this.#base = Math.min(this.smoothed + Math.max(ALLOWANCE, 4 * this.#variation), MAXIMUM);
  }
}
