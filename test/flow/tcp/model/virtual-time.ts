/**
 * Time that passes only from one event to the next: a heap of events of the link beside the engine's own timer wheel.
 *
 *     wheel ── timers of every TCP ──┐
 *                                    ├─► the next instant ─► everything due then ─► whoever has work does it
 *     heap ─── frames that arrive ───┘
 */
import { TimerWheel } from '../../../../src/runtime/timer-wheel.ts';

interface Event {
  readonly time: number;
  /** Events of one instant happen in the order in which they were planned. */
  readonly order: number;
  readonly happen: () => void;
}

/** The wheel's tick: within one it need not be asked for its next timer. */
const TICK = 4;

export class VirtualTime {
  readonly wheel: TimerWheel;
  readonly #heap: Event[] = [];
  #planned = 0;
  #now: number;

  /** `start` in milliseconds. */
  constructor(start: number) {
    this.#now = start;
    this.wheel = new TimerWheel(start);
  }

  get now(): number {
    return this.#now;
  }

  /** Nothing is planned and no timer is armed. */
  get idle(): boolean {
    return this.#heap.length === 0 && this.wheel.untilNext() === Infinity;
  }

  at(time: number, happen: () => void): void {
    const event = { time: Math.max(time, this.#now), order: this.#planned++, happen };
    const heap = this.#heap;
    let place = heap.push(event) - 1;
    while (place > 0) {
      const parent = (place - 1) >>> 1;
      if (!before(event, heap[parent]!)) break;
      heap[place] = heap[parent]!;
      place = parent;
    }
    heap[place] = event;
  }

  /** Goes to the next instant, at `limit` at the latest, and lets happen what is due. False when `limit` is reached. */
  step(limit: number): boolean {
    const first = this.#heap[0]?.time ?? Infinity;
    let next = Math.min(first, limit);
    // Within the current tick no timer can be due.
    if (next >= (Math.floor(this.#now / TICK) + 1) * TICK) next = Math.min(next, this.#now + this.wheel.untilNext());
    this.#now = Math.max(next, this.#now);
    this.wheel.advance(this.#now);
    while (this.#heap.length > 0 && this.#heap[0]!.time <= this.#now) this.#take().happen();
    return this.#now < limit;
  }

  #take(): Event {
    const heap = this.#heap;
    const first = heap[0]!;
    const last = heap.pop()!;
    const count = heap.length;
    if (count === 0) return first;
    let place = 0;
    for (;;) {
      let child = 2 * place + 1;
      if (child >= count) break;
      if (child + 1 < count && before(heap[child + 1]!, heap[child]!)) child++;
      if (!before(heap[child]!, last)) break;
      heap[place] = heap[child]!;
      place = child;
    }
    heap[place] = last;
    return first;
  }
}

function before(a: Event, b: Event): boolean {
  return a.time < b.time || (a.time === b.time && a.order < b.order);
}
