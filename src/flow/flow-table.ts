/**
 * Flows by what identifies them on the guest's side: guest address and port, remote address and port.
 *
 * Open addressing with linear probing over indexes into a dense array; removal shifts the run back, so there are no
 * tombstones. The hash is keyed (HalfSipHash-2-4, Aumasson and Bernstein) with a secret, so that a guest can't choose
 * addresses and ports that collide. Most of a search is that hash, and frames come in runs of one flow: what was found last
 * is looked at first. Finding allocates nothing.
 */
import type { Random } from '../runtime/clock.ts';
import type { GuestReport } from '../gateway/guest-report.ts';
import type { Neighbour } from '../gateway/neighbour.ts';
import type { Port } from '../link/port.ts';
import { FairShares } from '../runtime/fair-shares.ts';

export interface FlowEntry {
  readonly guest0: number;
  readonly guest1: number;
  readonly guest2: number;
  readonly guest3: number;
  readonly guestPort: number;
  readonly remote0: number;
  readonly remote1: number;
  readonly remote2: number;
  readonly remote3: number;
  readonly remotePort: number;
  readonly neighbour: Neighbour;
  /** The link of the guest's VM when the flow began: it counts among that VM's. */
  readonly vm: Port;
  /** The table's hash of the above; set by `add`. */
  hash: number;
  /** Increasing from 1, never reused within the table; set by `add`. */
  serial: number;
}

/** Hears of flows as they come and go. Called within the packet path: does no work but what it was made for. */
export interface FlowWatcher<F> {
  added(flow: F): void;
  removed(flow: F): void;
}

const SMALLEST = 256;

export class FlowTable<F extends FlowEntry> {
  readonly shares: FairShares<Port>;
  watcher: FlowWatcher<F> | null = null;
  #serial = 0;
  readonly #key0: number;
  readonly #key1: number;
  /** Index into #flows plus one; 0 is free. Twice as many slots as flows at least. */
  #slots: Int32Array = new Int32Array(SMALLEST * 2);
  readonly #flows: F[] = [];
  /** Found last; in the table. */
  #last: F | null = null;

  /** At most `limit` flows, of which one VM may have `factor` times as many as are left. */
  constructor(limit: number, random: Random, factor = 1) {
    this.shares = new FairShares<Port>(limit, factor);
    this.#key0 = random.word();
    this.#key1 = random.word();
  }

  get size(): number {
    return this.#flows.length;
  }

  [Symbol.iterator](): Iterator<F> {
    return this.#flows[Symbol.iterator]();
  }

  find(
    g0: number,
    g1: number,
    g2: number,
    g3: number,
    guestPort: number,
    r0: number,
    r1: number,
    r2: number,
    r3: number,
    remotePort: number,
  ): F | null {
    const last = this.#last;
    if (last !== null && is(last, g0, g1, g2, g3, guestPort, r0, r1, r2, r3, remotePort)) return last;
    const slots = this.#slots;
    const mask = slots.length - 1;
    const hash = this.#hash(g0, g1, g2, g3, r0, r1, r2, r3, (guestPort << 16) | remotePort);
    for (let slot = hash & mask; slots[slot] !== 0; slot = (slot + 1) & mask) {
      const flow = this.#flows[slots[slot]! - 1]!;
      if (flow.hash === hash && is(flow, g0, g1, g2, g3, guestPort, r0, r1, r2, r3, remotePort)) {
        this.#last = flow;
        return flow;
      }
    }
    return null;
  }

  /** The flow whose packet a guest reports about; null when there is none. */
  about(report: GuestReport): F | null {
    return this.find(
      report.destination0,
      report.destination1,
      report.destination2,
      report.destination3,
      report.destinationPort,
      report.source0,
      report.source1,
      report.source2,
      report.source3,
      report.sourcePort,
    );
  }

  /** The caller has found that no flow with these addresses exists, and that there is room (see FairShares.claim). Pins the neighbour. */
  add(flow: F): void {
    this.shares.claim(flow.vm);
    flow.neighbour.hold();
    flow.serial = ++this.#serial;
    flow.hash = this.#hash(
      flow.guest0,
      flow.guest1,
      flow.guest2,
      flow.guest3,
      flow.remote0,
      flow.remote1,
      flow.remote2,
      flow.remote3,
      (flow.guestPort << 16) | flow.remotePort,
    );
    this.#flows.push(flow);
    if (this.#flows.length * 2 > this.#slots.length) this.#rebuild(this.#slots.length * 2);
    else this.#place(flow, this.#flows.length);
    this.watcher?.added(flow);
  }

  remove(flow: F): void {
    const slot = this.#slotOf(flow);
    if (slot < 0) return;
    if (this.#last === flow) this.#last = null;
    this.shares.give(flow.vm);
    flow.neighbour.release();
    const index = this.#slots[slot]! - 1;
    this.#vacate(slot);
    // The last flow takes the place of the one that leaves.
    const last = this.#flows[this.#flows.length - 1]!;
    if (last !== flow) {
      this.#slots[this.#slotOf(last)] = index + 1;
      this.#flows[index] = last;
    }
    this.#flows.pop();
    if (this.#slots.length > SMALLEST * 2 && this.#flows.length * 16 < this.#slots.length) this.#rebuild(this.#slots.length / 4);
    this.watcher?.removed(flow);
  }

  #slotOf(flow: F): number {
    const mask = this.#slots.length - 1;
    for (let slot = flow.hash & mask; this.#slots[slot] !== 0; slot = (slot + 1) & mask) {
      if (this.#flows[this.#slots[slot]! - 1] === flow) return slot;
    }
    return -1;
  }

  #place(flow: F, value: number): void {
    const mask = this.#slots.length - 1;
    let slot = flow.hash & mask;
    while (this.#slots[slot] !== 0) slot = (slot + 1) & mask;
    this.#slots[slot] = value;
  }

  /** Closes the gap by moving back every later entry of the run that may sit there. */
  #vacate(gap: number): void {
    const slots = this.#slots;
    const mask = slots.length - 1;
    for (let slot = (gap + 1) & mask; slots[slot] !== 0; slot = (slot + 1) & mask) {
      const home = this.#flows[slots[slot]! - 1]!.hash & mask;
      if (((slot - home) & mask) >= ((slot - gap) & mask)) {
        slots[gap] = slots[slot]!;
        gap = slot;
      }
    }
    slots[gap] = 0;
  }

  #rebuild(size: number): void {
    this.#slots = new Int32Array(size);
    for (let i = 0; i < this.#flows.length; i++) this.#place(this.#flows[i]!, i + 1);
  }

  /** HalfSipHash-2-4 of nine words. */
  #hash(m0: number, m1: number, m2: number, m3: number, m4: number, m5: number, m6: number, m7: number, m8: number): number {
    state0 = this.#key0;
    state1 = this.#key1;
    state2 = 0x6c796765 ^ this.#key0;
    state3 = 0x74656462 ^ this.#key1;
    absorb(m0);
    absorb(m1);
    absorb(m2);
    absorb(m3);
    absorb(m4);
    absorb(m5);
    absorb(m6);
    absorb(m7);
    absorb(m8);
    absorb(36 << 24);
    state2 ^= 0xff;
    round();
    round();
    round();
    round();
    return state1 ^ state3;
  }
}

/** Whether a flow has these addresses; what differs most often is looked at first. */
function is(
  flow: FlowEntry,
  g0: number,
  g1: number,
  g2: number,
  g3: number,
  guestPort: number,
  r0: number,
  r1: number,
  r2: number,
  r3: number,
  remotePort: number,
): boolean {
  return (
    flow.guestPort === guestPort &&
    flow.remotePort === remotePort &&
    flow.guest3 === g3 &&
    flow.remote3 === r3 &&
    flow.guest2 === g2 &&
    flow.remote2 === r2 &&
    flow.guest1 === g1 &&
    flow.remote1 === r1 &&
    flow.guest0 === g0 &&
    flow.remote0 === r0
  );
}

let state0 = 0;
let state1 = 0;
let state2 = 0;
let state3 = 0;

function absorb(word: number): void {
  state3 ^= word;
  round();
  round();
  state0 ^= word;
}

function round(): void {
  state0 = (state0 + state1) | 0;
  state1 = ((state1 << 5) | (state1 >>> 27)) ^ state0;
  state0 = (state0 << 16) | (state0 >>> 16);
  state2 = (state2 + state3) | 0;
  state3 = ((state3 << 8) | (state3 >>> 24)) ^ state2;
  state0 = (state0 + state3) | 0;
  state3 = ((state3 << 7) | (state3 >>> 25)) ^ state0;
  state2 = (state2 + state1) | 0;
  state1 = ((state1 << 13) | (state1 >>> 19)) ^ state2;
  state2 = (state2 << 16) | (state2 >>> 16);
}
