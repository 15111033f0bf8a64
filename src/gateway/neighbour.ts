/**
 * Who lives where on the virtual network: IP address → MAC address and port (RFC 826).
 *
 * Learned from ARP and from the packets guests send. An address belongs to the VM that uses it: another one gets it only
 * when it has no flows and was silent for a while, or when its VM has gone. Bounded per port: a VM that makes addresses up
 * pushes out only its own. An entry that left the table has no port, so that nobody writes to a VM that is gone.
 */
import { MAPPED } from '../packet/address.ts';
import { Timer, type TimerWheel } from '../runtime/timer-wheel.ts';
import type { Port } from '../link/port.ts';

/** One guest address. */
export class Neighbour {
  /** Null after the VM left, or once the entry has made room. */
  port: Port | null = null;
  macHi = 0;
  macLo = 0;
  /** Heard from since the table last looked for room. */
  heard = true;
  /** Milliseconds on the clock: when it was last heard from. */
  heardAt = 0;
  /** Where it stands among its port's; null when the table doesn't have it. */
  of: PortNeighbours | null = null;
  /** Beside it in the order in which entries without flows make room. */
  before: Neighbour | null = null;
  after: Neighbour | null = null;
  #flows = 0;
  readonly isIpv4: boolean;
  readonly w0: number;
  readonly w1: number;
  readonly w2: number;
  readonly w3: number;

  constructor(w0: number, w1: number, w2: number, w3: number) {
    this.w0 = w0;
    this.w1 = w1;
    this.w2 = w2;
    this.w3 = w3;
    this.isIpv4 = w0 === 0 && w1 === 0 && w2 === MAPPED;
  }

  /** Flows that hold on to this entry: it stays where it is as long as there are any. */
  get flows(): number {
    return this.#flows;
  }

  /** One flow more. */
  hold(): void {
    if (this.#flows++ === 0) this.of?.unlink(this);
  }

  /** One flow less. */
  release(): void {
    if (--this.#flows === 0) this.of?.append(this);
  }
}

/** A port's entries; those without flows are linked in the order in which they are looked at for room, so that others are never walked over. */
class PortNeighbours {
  readonly all: Set<Neighbour> = new Set();
  first: Neighbour | null = null;
  #last: Neighbour | null = null;

  add(entry: Neighbour): void {
    this.all.add(entry);
    entry.of = this;
    if (entry.flows === 0) this.append(entry);
  }

  delete(entry: Neighbour): void {
    this.all.delete(entry);
    if (entry.flows === 0) this.unlink(entry);
    entry.of = null;
  }

  append(entry: Neighbour): void {
    entry.before = this.#last;
    if (this.#last === null) this.first = entry;
    else this.#last.after = entry;
    this.#last = entry;
  }

  unlink(entry: Neighbour): void {
    const { before, after } = entry;
    if (before === null) this.first = after;
    else before.after = after;
    if (after === null) this.#last = before;
    else after.before = before;
    entry.before = entry.after = null;
  }
}

/** Addresses remembered of one port. */
export const NEIGHBOUR_LIMIT = 1024;
/**
 * Of these, how many may have the same last word: they stand in one list, which every look-up goes through. A host has a link-local
 * address and some of the prefix that have the same.
 */
export const NAMESAKE_LIMIT = 8;
/** Entries that are looked at to make room for one: an address costs its VM one frame, and must cost us little. */
const LOOKS = 16;
/** Milliseconds of silence after which another VM may take an address. */
const SILENCE = 30_000;
/** Addresses being resolved, and callers waiting for them: each may hold a descriptor. */
const RESOLVING_LIMIT = 256;
export const WAITING_LIMIT = 1024;
/** Contract §8.1: requests, and milliseconds between them. */
const TRIES = 3;
const INTERVAL = 1000;

export type Resolved = (neighbour: Neighbour | null) => void;

/** Sends the request for an address. */
export type Solicit = (w0: number, w1: number, w2: number, w3: number) => void;

class Resolution {
  readonly waiting: Resolved[] = [];
  tries = 0;
  timer: Timer;

  constructor(expire: () => void) {
    this.timer = new Timer(expire);
  }
}

export class NeighbourTable {
  /** By the last word of the address; entries that share it stand in one list. */
  readonly #entries: Map<number, Neighbour[]> = new Map();
  /** Each port's entries, in the order in which they are looked at for room. */
  readonly #ofPort: Map<Port, PortNeighbours> = new Map();
  #size = 0;
  /**
   * Set where the switch has judged whose an address is (`-guard lease`): then it goes with its first packet to whom it was given, whatever
   * the VM did that had it before. Is called when flows have lost their entry.
   */
  displaced: (() => void) | null = null;
  /** Claims of an address that another VM uses. */
  taken = 0;
  /** Addresses that nobody answered for. */
  unreachable = 0;
  readonly #resolving: Map<string, Resolution> = new Map();
  #waiting = 0;
  readonly #waitingLimit: number;
  readonly #timers: TimerWheel;
  readonly #solicit: Solicit;

  constructor(timers: TimerWheel, solicit: Solicit, waitingLimit: number = WAITING_LIMIT) {
    this.#timers = timers;
    this.#solicit = solicit;
    this.#waitingLimit = waitingLimit;
  }

  get size(): number {
    return this.#size;
  }

  lookup(w0: number, w1: number, w2: number, w3: number): Neighbour | null {
    const list = this.#entries.get(w3);
    if (list === undefined) return null;
    for (let i = 0; i < list.length; i++) {
      const entry = list[i]!;
      if (entry.w2 === w2 && entry.w1 === w1 && entry.w0 === w0) return entry;
    }
    return null;
  }

  /** The address was heard of from this MAC on this port. Null when it belongs to another VM, or there is no room for it. */
  learn(w0: number, w1: number, w2: number, w3: number, port: Port, macHi: number, macLo: number): Neighbour | null {
    let entry = this.lookup(w0, w1, w2, w3) ?? new Neighbour(w0, w1, w2, w3);
    if (entry.port !== port) {
      if (entry.port !== null && this.#inUse(entry)) {
        if (this.displaced === null) {
          this.taken++;
          return null;
        }
        this.#displace(entry, this.#ofPort.get(entry.port)!, this.displaced);
        entry = new Neighbour(w0, w1, w2, w3);
      }
      if (!this.#place(entry, port)) return null;
    }
    entry.macHi = macHi;
    entry.macLo = macLo;
    this.heard(entry);
    return entry;
  }

  /** The VM that had the address has it no more: its flows end, which must not bring anything to the other one. */
  #displace(entry: Neighbour, entries: PortNeighbours, displaced: () => void): void {
    this.#remove(entry, entries);
    if (entry.flows > 0) displaced();
  }

  /** The entry's VM has sent something. */
  heard(entry: Neighbour): void {
    entry.heard = true;
    entry.heardAt = this.#timers.now;
  }

  #inUse(entry: Neighbour): boolean {
    return entry.flows > 0 || this.#timers.now - entry.heardAt < SILENCE;
  }

  /** Calls `done` with the neighbour, or with null when nobody answers. At once when it is known. */
  resolve(w0: number, w1: number, w2: number, w3: number, done: Resolved): void {
    const known = this.lookup(w0, w1, w2, w3);
    if (known !== null) return done(known);
    if (this.#waiting >= this.#waitingLimit) return done(null);
    const key = `${w0},${w1},${w2},${w3}`;
    let resolution = this.#resolving.get(key);
    if (resolution === undefined) {
      if (this.#resolving.size >= RESOLVING_LIMIT) return done(null);
      resolution = new Resolution(() => this.#retry(key, w0, w1, w2, w3));
      this.#resolving.set(key, resolution);
      this.#retry(key, w0, w1, w2, w3);
    }
    this.#waiting++;
    resolution.waiting.push(done);
  }

  /** The port's VM is gone. */
  forgetPort(port: Port): void {
    const entries = this.#ofPort.get(port);
    if (entries === undefined) return;
    for (const entry of entries.all) this.#remove(entry, entries);
    this.#ofPort.delete(port);
  }

  /** The network ends: whoever waits for an address hears that nobody has it. */
  close(): void {
    for (const [key, resolution] of this.#resolving) this.#answer(key, resolution, null);
  }

  #retry(key: string, w0: number, w1: number, w2: number, w3: number): void {
    const resolution = this.#resolving.get(key)!;
    if (resolution.tries++ === TRIES) {
      this.unreachable++;
      this.#answer(key, resolution, null);
      return;
    }
    this.#timers.arm(resolution.timer, INTERVAL);
    this.#solicit(w0, w1, w2, w3);
  }

  #finish(entry: Neighbour): void {
    const key = `${entry.w0},${entry.w1},${entry.w2},${entry.w3}`;
    const resolution = this.#resolving.get(key);
    if (resolution !== undefined) this.#answer(key, resolution, entry);
  }

  #answer(key: string, resolution: Resolution, neighbour: Neighbour | null): void {
    this.#resolving.delete(key);
    this.#timers.cancel(resolution.timer);
    this.#waiting -= resolution.waiting.length;
    for (const done of resolution.waiting) done(neighbour);
  }

  /** An entry that is new, or has moved here from another port. False when it has no room. */
  #place(entry: Neighbour, port: Port): boolean {
    let entries = this.#ofPort.get(port);
    if (entries === undefined) {
      entries = new PortNeighbours();
      this.#ofPort.set(port, entries);
    }
    if (!this.#admit(entry, port, entries)) return false;
    if (entries.all.size >= NEIGHBOUR_LIMIT) this.#makeRoom(entries);
    const before = entry.of;
    before?.delete(entry);
    entry.port = port;
    entries.add(entry);
    if (before === null) this.#add(entry);
    if (this.#resolving.size > 0) this.#finish(entry);
    return true;
  }

  /** Of too many with the same last word the one without flows that came first goes. False when all have flows. */
  #admit({ w3 }: Neighbour, port: Port, entries: PortNeighbours): boolean {
    const list = this.#entries.get(w3);
    if (list === undefined || list.length < NAMESAKE_LIMIT) return true;
    const own = list.filter((other) => other.port === port);
    if (own.length < NAMESAKE_LIMIT) return true;
    const first = own.find(({ flows }) => flows === 0);
    if (first === undefined) return false;
    this.#remove(first, entries);
    return true;
  }

  #add(entry: Neighbour): void {
    this.#size++;
    const list = this.#entries.get(entry.w3);
    if (list) list.push(entry);
    else this.#entries.set(entry.w3, [entry]);
  }

  /**
   * Second chance: who was heard from since it was last looked at goes to the end once, unless so many were. Those with flows stay; flows
   * are limited, and as long as others are there nothing is added to them.
   */
  #makeRoom(entries: PortNeighbours): void {
    let left = LOOKS;
    for (let entry = entries.first; entry !== null; entry = entries.first) {
      if (!entry.heard || left-- === 0) return this.#remove(entry, entries);
      entry.heard = false;
      entries.unlink(entry);
      entries.append(entry);
    }
  }

  #remove(entry: Neighbour, entries: PortNeighbours): void {
    entries.delete(entry);
    entry.port = null;
    this.#size--;
    const list = this.#entries.get(entry.w3)!;
    if (list.length === 1) this.#entries.delete(entry.w3);
    else list.splice(list.indexOf(entry), 1);
  }
}
