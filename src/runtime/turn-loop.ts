/**
 * The turn loop: one epoll instance for every descriptor of the data path, watched from Node's own loop.
 *
 *     Node's loop ──► turn: epoll_wait → timers → watchers → phases → chores ─┐
 *                       ▲       └──────────── while there is work ◄───────────┘    at most BUDGET ms, then what was put off, and back to Node
 *
 * After a round with work the turn lingers: it waits in epoll_wait itself for a moment, so that a busy network is not driven
 * through two nested loops. As long as that pays, it first asks again and again without sleeping, about a tenth of a
 * millisecond: going to sleep and being woken costs more than most answers take. An idle network costs nothing. Node's own
 * callbacks wait for one turn at most.
 *
 * While a VM streams, the opposite pays: the loop sleeps through what arrives next, and finds it gathered (gathering.ts).
 *
 * A watcher, timer or phase that throws is a fault of ours: the round goes on without it, since the events of an edge-triggered
 * descriptor come once, and the first error leaves the turn when the round is over.
 */
import { EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD } from '../system/constants.ts';
import { EBADF, EINTR } from '../system/errno.ts';
import { check } from '../system/error.ts';
import { EPOLL_EVENT } from '../system/layout.ts';
import { addressOf, close, epollCreate, epollCtl, epollWait, load, type PollHandle, pollReadable, usleep } from '../system/syscalls.ts';
import type { Arena } from './arena.ts';
import { availableParallelism } from 'node:os';
import type { Clock } from './clock.ts';
import { Gathering } from './gathering.ts';
import { type BetweenTurns, TimerWheel } from './timer-wheel.ts';
import { WallClock } from './wall-clock.ts';

/** Milliseconds of one turn, after which no round begins; the last one may linger once more. */
const BUDGET = 4;
/** Milliseconds that a lingering turn waits for the next event. */
const LINGER = 1;
/** Times that a lingering turn asks for events before it sleeps; less after it was in vain, none for a while after it often was. */
const SPINS = 150;
const FEWEST_SPINS = 8;
const SLEEPS_BETWEEN_TRIES = 32;
/** Most chores that are left to the end of a round. */
const CHORES = 16;
const EVENT_LIMIT = 256;
const EPOLL_CLOEXEC = 0o2000000;

/** Where the loop is. */
const IDLE = 0;
const EVENTS = 1;
const PHASES = 2;

export interface Watcher {
  /** `events`: EPOLLIN, EPOLLOUT, … as epoll reported them. */
  ready(events: number): void;
}

/** Work done once per round, after the events. True: there is more to do at once. */
export type Phase = () => boolean;

/** What nobody waits for, as closing a descriptor: done when the phases have sent what VMs do wait for. */
export interface Chore {
  /** Once for each time that it was left for later. */
  run(): void;
}

/**
 * Work at the end of a turn. `idle`: nothing has come for a while; otherwise the turn's time is over, and the next follows.
 * Returns DONE, SENT when the phases have work now, or KEPT when something is put off to the next turn; or both.
 */
export type Ending = (idle: boolean) => number;
export const DONE = 0;
export const SENT = 1;
export const KEPT = 2;

export interface TurnLoopOptions {
  readonly clock?: Clock;
  /** False: go back to Node as soon as nothing is ready. */
  readonly linger?: boolean;
  /** Sleeps for so many microseconds, or some more. */
  readonly sleep?: (microseconds: number) => void;
}

export class TurnLoop {
  readonly clock: Clock;
  readonly timers: TimerWheel;
  readonly #eventsAt: number;
  readonly #eventsAddress: number;
  readonly #scratchAt: number;
  readonly #scratchAddress: number;
  readonly #epoll: number;
  readonly #linger: boolean;
  readonly #sleep: (microseconds: number) => void;
  readonly #gathering: Gathering = new Gathering();
  readonly #bytes: DataView;
  /** By token; null where free. `#generations` tells a descriptor's events from those of one closed in the same round. */
  readonly #watchers: (Watcher | null)[] = [];
  readonly #generations: number[] = [];
  readonly #free: number[] = [];
  /** Replaced, not changed: a round goes on with those it began with. */
  #phases: readonly Phase[] = [];
  readonly #endings: Ending[] = [];
  readonly #chores: Chore[] = [];
  /** The turn ended because nothing came any more, not because its time was over. */
  #idle = false;
  /** Something was put off to this turn: it waits for events before it ends. */
  #expecting = false;
  readonly #poll: PollHandle;
  #woken = false;
  #nodeHasWork = false;
  #immediate: NodeJS.Immediate | null = null;
  #timeout: NodeJS.Timeout | null = null;
  #timeoutAt = Infinity;
  #stage = IDLE;
  #spins = 0;
  /** Waits without spinning until it is tried again; never where whoever is to answer could not run meanwhile. */
  #sleeps = availableParallelism() > 1 ? 1 : Infinity;
  /** The first thing thrown in this turn. */
  #fault: { readonly error: unknown } | null = null;
  readonly #betweenTurns: BetweenTurns;
  #closed = false;
  #referenced = true;

  /** Throws SystemError where the data path is not supported. */
  constructor(arena: Arena, options: TurnLoopOptions = {}) {
    load();
    this.clock = options.clock ?? new WallClock();
    this.timers = new TimerWheel(this.clock.now());
    this.#betweenTurns = { clock: this.clock, armed: () => this.runSoon() };
    this.timers.between = this.#betweenTurns;
    this.#linger = options.linger ?? true;
    this.#sleep = options.sleep ?? usleep;
    this.#bytes = new DataView(arena.memory.buffer);
    const base = addressOf(arena.memory.buffer);
    this.#eventsAt = arena.allocate(EVENT_LIMIT * EPOLL_EVENT.size);
    this.#eventsAddress = base + this.#eventsAt;
    this.#scratchAt = arena.allocate(EPOLL_EVENT.size);
    this.#scratchAddress = base + this.#scratchAt;
    this.#epoll = check(epollCreate(EPOLL_CLOEXEC), 'epoll_create1');
    this.#poll = pollReadable(this.#epoll, () => this.#turn());
  }

  /** Watches `fd`. Returns the token that `modify` and `unwatch` want. Throws SystemError. */
  watch(fd: number, events: number, watcher: Watcher): number {
    const token = this.#free.pop() ?? this.#watchers.push(null) - 1;
    this.#generations[token] ??= 0;
    this.#watchers[token] = watcher;
    try {
      this.#control(EPOLL_CTL_ADD, fd, token, events);
    } catch (error) {
      this.#release(token);
      throw error;
    }
    return token;
  }

  modify(token: number, fd: number, events: number): void {
    this.#control(EPOLL_CTL_MOD, fd, token, events);
  }

  /** Before the descriptor is closed. Events of it that this round still holds are not delivered. */
  unwatch(token: number, fd: number): void {
    if (!this.#closed) epollCtl(this.#epoll, EPOLL_CTL_DEL, fd, this.#scratchAddress);
    this.#release(token);
  }

  /** For a descriptor that is about to be closed and has no duplicate: closing takes it out of epoll by itself. */
  forget(token: number): void {
    this.#release(token);
  }

  #release(token: number): void {
    this.#watchers[token] = null;
    this.#generations[token] = (this.#generations[token]! + 1) >>> 0;
    this.#free.push(token);
  }

  #control(operation: number, fd: number, token: number, events: number): void {
    const at = this.#scratchAt;
    this.#bytes.setUint32(at + EPOLL_EVENT.events, events >>> 0, true);
    this.#bytes.setUint32(at + EPOLL_EVENT.data, token, true);
    this.#bytes.setUint32(at + EPOLL_EVENT.data + 4, this.#generations[token]!, true);
    check(this.#closed ? -EBADF : epollCtl(this.#epoll, operation, fd, this.#scratchAddress), 'epoll_ctl');
  }

  /** Adds a phase: phases run in the order they were added. Returns what takes it away again. */
  phase(run: Phase): () => void {
    this.#phases = [...this.#phases, run];
    return () => {
      this.#phases = this.#phases.filter((other) => other !== run);
    };
  }

  /** Adds what is done when a turn ends, for work that was put off because it might become needless. */
  atTurnEnd(run: Ending): void {
    this.#endings.push(run);
  }

  /** Does `chore` at the end of this round; outside a turn at once, and so when many wait already: each may hold a descriptor. */
  afterPhases(chore: Chore): void {
    if (this.#stage === IDLE || this.#closed || this.#chores.length >= CHORES) chore.run();
    else this.#chores.push(chore);
  }

  /** Work has come up for the phases: if they are running another round follows, outside a turn one is run soon. */
  wake(): void {
    if (this.#stage === PHASES) this.#woken = true;
    else this.runSoon();
  }

  /** As `wake`, for work that the last phases do: inside a turn they are still to come. */
  runSoon(): void {
    if (this.#stage !== IDLE || this.#immediate !== null || this.#closed) return;
    this.#immediate = setImmediate(() => {
      this.#immediate = null;
      this.#turn();
    });
  }

  /** A link has read `bytes` bytes of its VM in this round. */
  received(bytes: number): void {
    this.#gathering.received(bytes);
  }

  /** Work was handed to Node within this turn (a stream, a resolver): the turn does not linger, so that Node gets to it at once. */
  handedToNode(): void {
    this.#nodeHasWork = true;
  }

  /** Whether the loop keeps the process alive. */
  ref(): void {
    this.#referenced = true;
    this.#poll.ref();
    this.#timeout?.ref();
  }

  unref(): void {
    this.#referenced = false;
    this.#poll.unref();
    this.#timeout?.unref();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#poll.close();
    if (this.#immediate !== null) clearImmediate(this.#immediate);
    if (this.#timeout !== null) clearTimeout(this.#timeout);
    close(this.#epoll);
  }

  #turn(): void {
    if (this.#closed || this.#stage !== IDLE) return;
    const { timers } = this;
    timers.between = null;
    let more = false;
    try {
      more = this.#rounds();
      if (!this.#closed && this.#runEndings()) more = this.#runAll(this.#phases) || this.#woken || more;
    } catch (error) {
      this.#keep(error);
    }
    this.#runChores();
    this.#stage = IDLE;
    if (!this.#closed) this.#afterTurn(more);
    timers.between = this.#betweenTurns;
    const fault = this.#fault;
    this.#fault = null;
    // Not from here: an exception must not cross the native callback that began the turn.
    if (fault !== null) {
      setImmediate(() => {
        throw fault.error;
      });
    }
  }

  #keep(error: unknown): void {
    this.#fault ??= { error };
  }

  /** Returns whether work is left. */
  #rounds(): boolean {
    const started = this.clock.now();
    let timeout = this.#expecting && this.#linger ? LINGER : 0;
    this.#expecting = false;
    this.#nodeHasWork = false;
    for (;;) {
      this.#stage = EVENTS;
      const pause = this.#gathering.nextRound(timeout > 0);
      if (pause > 0) this.#sleep(pause);
      const count = timeout > 0 ? this.#await(timeout) : epollWait(this.#epoll, this.#eventsAddress, EVENT_LIMIT, 0);
      if (count < 0 && count !== -EINTR) check(count, 'epoll_wait');
      const now = this.clock.now();
      this.#advance(now);
      if (count > 0) this.#dispatch(count);
      this.#stage = PHASES;
      this.#woken = false;
      const more = this.#runAll(this.#phases) || this.#woken;
      this.#runChores();
      if (this.#closed) return false;
      if (this.#fault !== null) return more;
      this.#idle = count <= 0 && !more;
      const left = started + BUDGET - now;
      if (more) {
        if (left <= 0) return true;
        timeout = 0;
      } else if (count > 0 && left > 0) {
        timeout = this.#linger && !this.#nodeHasWork ? LINGER : 0;
      } else {
        return false;
      }
    }
  }

  /** As epoll_wait, `timeout` in milliseconds. */
  #await(timeout: number): number {
    if (this.#gathering.streaming) return epollWait(this.#epoll, this.#eventsAddress, EVENT_LIMIT, timeout);
    if (this.#spins === 0 && --this.#sleeps === 0) this.#spins = SPINS;
    for (let i = 0; i < this.#spins; i++) {
      const count = epollWait(this.#epoll, this.#eventsAddress, EVENT_LIMIT, 0);
      if (count === 0) continue;
      this.#spins = SPINS;
      return count;
    }
    if (this.#spins > 0) {
      this.#spins >>= 1;
      if (this.#spins < FEWEST_SPINS) {
        this.#spins = 0;
        this.#sleeps = SLEEPS_BETWEEN_TRIES;
      }
    }
    return epollWait(this.#epoll, this.#eventsAddress, EVENT_LIMIT, timeout);
  }

  #advance(now: number): void {
    try {
      this.timers.advance(now);
    } catch (error) {
      this.#keep(error);
    }
  }

  #dispatch(count: number): void {
    const view = this.#bytes;
    for (let i = 0; i < count && !this.#closed; i++) {
      const at = this.#eventsAt + i * EPOLL_EVENT.size;
      const token = view.getUint32(at + EPOLL_EVENT.data, true);
      if (this.#generations[token] !== view.getUint32(at + EPOLL_EVENT.data + 4, true)) continue;
      try {
        this.#watchers[token]?.ready(view.getUint32(at + EPOLL_EVENT.events, true));
      } catch (error) {
        this.#keep(error);
      }
    }
  }

  /** True: the phases have work. */
  #runEndings(): boolean {
    let result = DONE;
    for (let i = 0; i < this.#endings.length; i++) result |= this.#endings[i]!(this.#idle);
    this.#expecting = (result & KEPT) !== 0;
    return (result & SENT) !== 0;
  }

  #runAll(phases: readonly Phase[]): boolean {
    let more = false;
    for (let i = 0; i < phases.length && !this.#closed; i++) {
      try {
        if (phases[i]!()) more = true;
      } catch (error) {
        this.#keep(error);
      }
    }
    return more;
  }

  #runChores(): void {
    const chores = this.#chores;
    for (let i = 0; i < chores.length; i++) {
      try {
        chores[i]!.run();
      } catch (error) {
        this.#keep(error);
      }
    }
    chores.length = 0;
  }

  #afterTurn(more: boolean): void {
    if (more || this.#expecting) this.runSoon();
    const at = this.timers.now + this.timers.untilNext();
    if (this.#timeout !== null && this.#timeoutAt <= at) return;
    if (this.#timeout !== null) clearTimeout(this.#timeout);
    this.#timeout = null;
    this.#timeoutAt = Infinity;
    if (at === Infinity) return;
    this.#timeoutAt = at;
    this.#timeout = setTimeout(
      () => {
        this.#timeout = null;
        this.#timeoutAt = Infinity;
        this.#turn();
      },
      Math.max(Math.ceil(at - this.clock.now()), 0),
    );
    if (!this.#referenced) this.#timeout.unref();
  }
}
