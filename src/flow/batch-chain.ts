/**
 * The payloads of one batch, chained by flow: frames of many flows arrive interleaved, and each flow's run goes to its
 * endpoint in one call. Entries are places in the receive arena, valid until the batch ends.
 */

export class BatchChain {
  readonly offset: Int32Array;
  readonly length: Int32Array;
  readonly next: Int32Array;
  #count = 0;

  constructor(limit: number) {
    this.offset = new Int32Array(limit);
    this.length = new Int32Array(limit);
    this.next = new Int32Array(limit);
  }

  get full(): boolean {
    return this.#count === this.offset.length;
  }

  /** Appends behind `tail` (-1: starts a chain). Returns the new tail. */
  append(tail: number, offset: number, length: number): number {
    const entry = this.#count++;
    this.offset[entry] = offset;
    this.length[entry] = length;
    this.next[entry] = -1;
    if (tail >= 0) this.next[tail] = entry;
    return entry;
  }

  clear(): void {
    this.#count = 0;
  }
}
