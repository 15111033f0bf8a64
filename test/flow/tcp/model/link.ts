/**
 * A simulated link: two channels, each with a rate, a queue, a delay, and chances that a frame is lost, doubled or overtaken.
 *
 *     send ─► queue (room) ─► rate ─► lost? ─► delay, jitter ─► deliver
 *              └ held while the channel stalls        └ held up longer: overtaken; twice: doubled
 *
 * Without reordering frames keep their order whatever the jitter. Everything is drawn from one seeded source.
 */
import type { Dice } from './dice.ts';
import type { VirtualTime } from './virtual-time.ts';

export interface Conditions {
  /** Bytes per millisecond; Infinity for no limit. */
  readonly rate: number;
  /** Bytes that wait for the rate or the end of a stall. */
  readonly queue: number;
  /** Milliseconds. */
  readonly delay: number;
  readonly jitter: number;
  /** Frames arrive in batches this many milliseconds apart: what one read of a link brings. */
  readonly quantum: number;
  /** Chances per frame. */
  readonly loss: number;
  readonly duplicate: number;
  readonly reorder: number;
  /** Milliseconds that a frame is held up at most when it is to be overtaken. */
  readonly heldUp: number;
}

/** Ethernet's preamble, checksum and gap between frames. */
const OVERHEAD = 24;

export class Channel {
  readonly counters: { sent: number; lost: number; overflowed: number } = { sent: 0, lost: 0, overflowed: 0 };
  #conditions: Conditions;
  readonly #time: VirtualTime;
  readonly #dice: Dice;
  readonly #deliver: (frame: Uint8Array) => void;
  /** When the last frame sent so far has left, and when the last one that keeps its order arrives. */
  #busyUntil = 0;
  #lastArrival = 0;
  #stalledUntil = 0;
  readonly #held: Uint8Array[] = [];
  #heldBytes = 0;
  /** Called once when there is room for half a queue. */
  #waiting: (() => void) | null = null;

  constructor(time: VirtualTime, dice: Dice, conditions: Conditions, deliver: (frame: Uint8Array) => void) {
    this.#time = time;
    this.#dice = dice;
    this.#conditions = conditions;
    this.#deliver = deliver;
  }

  /** From now on nothing is lost, doubled or overtaken. */
  makeFair(): void {
    this.#conditions = { ...this.#conditions, loss: 0, duplicate: 0, reorder: 0 };
  }

  /** Bytes that still fit the queue. */
  get room(): number {
    return this.#conditions.queue - this.#backlog;
  }

  get #backlog(): number {
    const { rate } = this.#conditions;
    const leaving = rate === Infinity ? 0 : Math.max(this.#busyUntil - this.#time.now, 0) * rate;
    return leaving + this.#heldBytes;
  }

  /** Takes the frame over; without room it is dropped. */
  send(frame: Uint8Array): void {
    this.counters.sent++;
    if (frame.length > this.room) {
      this.counters.overflowed++;
      return;
    }
    if (this.#time.now < this.#stalledUntil) {
      this.#held.push(frame);
      this.#heldBytes += frame.length;
      return;
    }
    this.#carry(frame);
  }

  /** Nothing leaves for `ms`. */
  stall(ms: number): void {
    const until = this.#time.now + ms;
    if (until <= this.#stalledUntil) return;
    this.#stalledUntil = until;
    this.#time.at(until, () => this.#resume());
  }

  #resume(): void {
    if (this.#time.now < this.#stalledUntil) return;
    this.#heldBytes = 0;
    for (const frame of this.#held.splice(0)) this.#carry(frame);
    this.#awaitRoom();
  }

  /** Calls `ready` once the queue is half empty. */
  whenRoom(ready: () => void): void {
    if (this.#waiting !== null) return;
    this.#waiting = ready;
    this.#awaitRoom();
  }

  #awaitRoom(): void {
    if (this.#waiting === null || this.#heldBytes > 0) return;
    const { rate, queue } = this.#conditions;
    const excess = rate === Infinity ? 0 : Math.max(this.#backlog - queue / 2, 0) / rate;
    this.#time.at(Math.max(this.#time.now + excess, this.#stalledUntil), () => {
      if (this.#heldBytes > 0) return;
      const ready = this.#waiting;
      this.#waiting = null;
      ready?.();
    });
  }

  #carry(frame: Uint8Array): void {
    const { rate, loss, duplicate } = this.#conditions;
    const now = this.#time.now;
    this.#busyUntil = Math.max(this.#busyUntil, now) + (rate === Infinity ? 0 : (frame.length + OVERHEAD) / rate);
    if (this.#dice.chance(loss)) {
      this.counters.lost++;
      return;
    }
    this.#arrive(frame);
    // What is delivered may be changed by the receiver.
    if (this.#dice.chance(duplicate)) this.#arrive(frame.slice());
  }

  #arrive(frame: Uint8Array): void {
    const { delay, jitter, quantum, reorder, heldUp } = this.#conditions;
    let arrival = this.#busyUntil + delay + (jitter > 0 ? jitter * this.#dice.fraction() : 0);
    if (this.#dice.chance(reorder)) arrival += heldUp * this.#dice.fraction();
    else this.#lastArrival = arrival = Math.max(arrival, this.#lastArrival);
    if (quantum > 0) arrival = Math.ceil(arrival / quantum) * quantum;
    this.#time.at(arrival, () => this.#deliver(frame));
  }
}
