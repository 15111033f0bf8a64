/**
 * One coarse wheel for the thousands of timers of flows, leases and fragments.
 *
 *     tick 4 ms ── 256 slots (1 s) ──┐
 *     tick 1 s  ── 256 slots (4 min) ┼─ cascade into the finer wheel when their time comes
 *     later     ── the last slot, looked at again each 4 min
 *
 * A timer fires at the first `advance` at or after its deadline rounded up to a tick. Moving a deadline later costs one
 * store: the timer stays in its slot and is put on again when that slot comes up, so a timer that is pushed back per
 * segment is never relinked per segment.
 *
 * Within a turn `now` stands still. Between turns it follows the clock (`between`), so that what a program's own call arms
 * after an hour of silence is armed against the time of that call.
 */
import type { Clock } from './clock.ts';

const TICK = 4;
const SLOTS = 256;

export class Timer {
  readonly expire: () => void;
  /** Milliseconds on the wheel's clock; Infinity while idle. */
  deadline: number = Infinity;
  /** Slot list; a timer outside any slot has no next. */
  next: Timer | null = null;
  previous: Timer | null = null;
  /** Tick whose slot holds the timer: never after its deadline. */
  slotTick = 0;

  constructor(expire: () => void) {
    this.expire = expire;
  }

  get armed(): boolean {
    return this.deadline !== Infinity;
  }
}

/** What a wheel needs while no turn is running. */
export interface BetweenTurns {
  readonly clock: Clock;
  /** A timer was put on the wheel: `advance` may be wanted earlier than `untilNext` said. */
  armed(): void;
}

export class TimerWheel {
  readonly #fine: Timer[] = emptySlots();
  readonly #coarse: Timer[] = emptySlots();
  /** The timers of the slot that is being emptied; left-overs only after a timer threw. */
  readonly #due: Timer = emptySlot();
  /** Every tick up to and including this one has been looked at. */
  #tick: number;
  #linked = 0;
  #now: number;
  /** Null within a turn. */
  between: BetweenTurns | null = null;

  constructor(now: number) {
    this.#now = now;
    this.#tick = Math.floor(now / TICK);
  }

  /** What timers are armed against: the time of the last `advance`, so that a batch of frames reads the clock once. */
  get now(): number {
    if (this.between !== null) this.#now = Math.max(this.#now, this.between.clock.now());
    return this.#now;
  }

  /** (Re)arms `timer` to fire `delay` milliseconds after `now`. */
  arm(timer: Timer, delay: number): void {
    const deadline = this.now + Math.max(delay, 0);
    timer.deadline = deadline;
    const tick = Math.ceil(deadline / TICK);
    if (timer.next !== null) {
      if (timer.slotTick <= tick) return;
      this.#unlink(timer);
    }
    this.#link(timer, Math.max(tick, this.#tick + 1));
    this.between?.armed();
  }

  cancel(timer: Timer): void {
    timer.deadline = Infinity;
    if (timer.next !== null) this.#unlink(timer);
  }

  /** Milliseconds from `now` until the wheel wants `advance` again; Infinity when it is empty. May be early, never late. */
  untilNext(): number {
    if (this.#linked === 0) return Infinity;
    const tick = this.#due.next === this.#due ? this.#nextTick() : this.#tick;
    return Math.max(tick * TICK - this.now, 0);
  }

  /** The first tick with anything to do: in the rest of this second, else the nearer of both wheels' next slots. */
  #nextTick(): number {
    const boundary = (Math.floor(this.#tick / SLOTS) + 1) * SLOTS;
    const fine = nextFilled(this.#fine, this.#tick + 1, SLOTS - 1);
    if (fine < boundary) return fine;
    return Math.min(fine, nextFilled(this.#coarse, boundary / SLOTS, SLOTS - 1) * SLOTS);
  }

  /**
   * Moves time to `now` and fires what is due, in the order of the deadlines' ticks. A jump of more than four minutes (the
   * process was stopped, or the machine) costs one walk over both wheels and a sort instead of a look at each tick.
   */
  advance(now: number): void {
    if (now > this.#now) this.#now = now;
    const target = Math.floor(this.#now / TICK);
    if (target - this.#tick > SLOTS * SLOTS) {
      this.#leap(target);
      return;
    }
    while (this.#tick < target) {
      if (this.#linked === 0) {
        this.#tick = target;
        return;
      }
      this.#tick++;
      if (this.#tick % SLOTS === 0) this.#empty(this.#coarse[(this.#tick / SLOTS) % SLOTS]!);
      this.#empty(this.#fine[this.#tick % SLOTS]!);
    }
  }

  /** Takes every timer off both wheels and fires what is due; the others are put on again when their turn comes. */
  #leap(target: number): void {
    this.#tick = target;
    const due = this.#due;
    for (const slot of [...this.#fine, ...this.#coarse]) if (slot.next !== slot) moveAll(slot, due);
    const timers: Timer[] = [];
    for (let timer = due.next!; timer !== due; timer = timer.next!) timers.push(timer);
    timers.sort((a, b) => a.deadline - b.deadline);
    due.next = due.previous = due;
    for (const timer of timers) append(due, timer);
    this.#empty(due);
  }

  /** Fires or re-links each timer of one slot. They leave the slot first: what is linked meanwhile is not looked at again. */
  #empty(slot: Timer): void {
    const due = this.#due;
    if (slot !== due && slot.next !== slot) moveAll(slot, due);
    while (due.next !== due) {
      const timer = due.next!;
      this.#unlink(timer);
      const tick = Math.ceil(timer.deadline / TICK);
      if (tick <= this.#tick) {
        timer.deadline = Infinity;
        timer.expire();
      } else {
        this.#link(timer, tick);
      }
    }
  }

  #link(timer: Timer, tick: number): void {
    const distance = tick - this.#tick;
    let slot: Timer;
    if (distance < SLOTS) {
      timer.slotTick = tick;
      slot = this.#fine[tick % SLOTS]!;
    } else {
      const far = Math.min(Math.floor(tick / SLOTS), Math.floor(this.#tick / SLOTS) + SLOTS - 1);
      timer.slotTick = far * SLOTS;
      slot = this.#coarse[far % SLOTS]!;
    }
    append(slot, timer);
    this.#linked++;
  }

  #unlink(timer: Timer): void {
    timer.previous!.next = timer.next;
    timer.next!.previous = timer.previous;
    timer.next = null;
    timer.previous = null;
    this.#linked--;
  }
}

function emptySlots(): Timer[] {
  return Array.from({ length: SLOTS }, emptySlot);
}

function emptySlot(): Timer {
  const head = new Timer(() => {});
  head.next = head;
  head.previous = head;
  return head;
}

function append(slot: Timer, timer: Timer): void {
  timer.previous = slot.previous;
  timer.next = slot;
  slot.previous!.next = timer;
  slot.previous = timer;
}

/** Appends all timers of `from` to `to`. */
function moveAll(from: Timer, to: Timer): void {
  from.next!.previous = to.previous;
  to.previous!.next = from.next;
  from.previous!.next = to;
  to.previous = from.previous;
  from.next = from;
  from.previous = from;
}

/** The first of `count` slot numbers from `start` on whose slot holds a timer; Infinity when none does. */
function nextFilled(slots: readonly Timer[], start: number, count: number): number {
  for (let i = start; i < start + count; i++) {
    const slot = slots[i % SLOTS]!;
    if (slot.next !== slot) return i;
  }
  return Infinity;
}
