/**
 * Whether to wait a moment for more of what a VM streams, as a network card with interrupt moderation does.
 *
 * Read as soon as it is there, a stream comes in a few frames at a time, each time with a wake-up, a write to the host and an
 * ACK. A tenth of a millisecond later there are some ten times as many, for the same price. That holds only while frames come
 * by themselves: when a wait brought nothing the VM was waiting for us, and for a while there are no more waits.
 */

/** Bytes of one round that may be part of a stream: more than a frame of the usual size. */
const STREAM = 2000;
/** Bytes of one round after which waiting gains nothing. */
const PLENTY = 128 * 1024;
/**
 * Such rounds before the first wait, with no round between them that brings nothing from the VM, as between a question and the
 * next. A single frame counts for nothing: the first of a burst often comes alone.
 */
const IN_A_ROW = 4;
/** As many more rounds after a wait was in vain. */
const CAUTION = 64;
/** Microseconds. What the kernel's timers add to it makes about 100. */
const PAUSE = 50;

export class Gathering {
  #bytes = 0;
  /** Rounds in a row that may be part of a stream; negative after a wait was in vain. */
  #row = 0;
  #waited = false;

  /** More is likely to come by itself. */
  get streaming(): boolean {
    return this.#row >= IN_A_ROW;
  }

  /** VMs have sent `bytes` in this round. */
  received(bytes: number): void {
    this.#bytes += bytes;
  }

  /** A round is over. Microseconds to wait before the next one; 0 unless `idle`, which says that there is nothing else to do. */
  nextRound(idle: boolean): number {
    const bytes = this.#bytes;
    this.#bytes = 0;
    if (bytes >= STREAM) this.#row = Math.min(this.#row + 1, IN_A_ROW);
    else if (this.#waited) this.#row = bytes > 0 ? 0 : -CAUTION;
    else if (bytes === 0 && this.#row > 0) this.#row = 0;
    this.#waited = idle && this.streaming && bytes < PLENTY;
    return this.#waited ? PAUSE : 0;
  }
}
