/**
 * When was what sent for the first time? (RFC 8985 §5.1.) A ring of entries in ascending order, of sequence numbers and so of time:
 *
 *     start ── entry, sent until its time ── entry ── entry ── end
 *
 * What was sent in one turn, or within a small part of a round trip, shares an entry: a flight needs few, however large it is.
 */

const ENTRIES = 32;
const MASK = ENTRIES - 1;

export class SendTimes {
  /** Nothing is known of what lies below. */
  start: number;
  readonly #end: Int32Array = new Int32Array(ENTRIES);
  /** When the entry was begun, and when its last segment was sent. */
  readonly #begun: Float64Array = new Float64Array(ENTRIES);
  readonly #time: Float64Array = new Float64Array(ENTRIES);
  /** Oldest entry, and how many there are. */
  #first = 0;
  #count = 0;

  constructor(start: number) {
    this.start = start;
  }

  /** Everything up to `end` has been sent by `now`; times closer together than `grain` need not be told apart. */
  note(end: number, now: number, grain: number): void {
    const last = (this.#first + this.#count - 1) & MASK;
    if (this.#count > 0 && (this.#count === ENTRIES || now - this.#begun[last]! <= grain)) {
      this.#end[last] = end;
      this.#time[last] = now;
      return;
    }
    const next = (last + 1) & MASK;
    this.#end[next] = end;
    this.#begun[next] = this.#time[next] = now;
    this.#count++;
  }

  /** When the byte at `sequence` was sent, at the earliest; -1 when it is not known. */
  timeOf(sequence: number): number {
    if (((sequence - this.start) | 0) < 0) return -1;
    for (let i = 0; i < this.#count; i++) {
      const entry = (this.#first + i) & MASK;
      if (((this.#end[entry]! - sequence) | 0) > 0) return this.#begun[entry]!;
    }
    return -1;
  }

  /** Of everything from `start` to `end` nothing is known but that it was sent by `now`. */
  restart(start: number, end: number, now: number): void {
    this.start = start;
    this.#count = 0;
    this.note(end, now, 0);
  }

  /** Forgets what lies below `sequence`. */
  forget(sequence: number): void {
    while (this.#count > 0 && ((this.#end[this.#first]! - sequence) | 0) <= 0) this.#drop();
    if (((sequence - this.start) | 0) > 0) this.start = sequence;
  }

  /**
   * Forgets what was sent before `latest`, if it was also sent before `sent` or lies below `end`: entries are too coarse to compare
   * times within a turn. Returns where it ends.
   */
  take(latest: number, sent: number, end: number): number {
    while (this.oldest(sent, end) < latest) {
      const until = this.#end[this.#first]!;
      if (this.#time[this.#first]! >= sent && ((end - until) | 0) < 0) {
        this.start = end;
        break;
      }
      this.start = until;
      this.#drop();
    }
    return this.start;
  }

  /** When the oldest that is known was sent, if that was before `sent` or it lies below `end`; else Infinity. */
  oldest(sent: number, end: number): number {
    if (this.#count === 0) return Infinity;
    const time = this.#time[this.#first]!;
    return time < sent || ((end - this.start) | 0) > 0 ? time : Infinity;
  }

  #drop(): void {
    this.#first = (this.#first + 1) & MASK;
    this.#count--;
  }
}
