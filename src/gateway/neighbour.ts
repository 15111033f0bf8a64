/**
 * Who lives where on the virtual network: IP address → MAC address and port (RFC 826).
 *
 * Learned from ARP and from the packets guests send. A flow holds on to its Neighbour object, so a guest that moves to
 * another port takes its flows along. Bounded per port: a VM that makes addresses up pushes out only its own. An entry that
 * left the table has no port, so that nobody writes to a VM that is gone.
 */
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
  readonly w0: number;
  readonly w1: number;
  readonly w2: number;
  readonly w3: number;

  constructor(w0: number, w1: number, w2: number, w3: number) {
    this.w0 = w0;
    this.w1 = w1;
    this.w2 = w2;
    this.w3 = w3;
  }
}

/** Addresses remembered of one port. */
export const NEIGHBOUR_LIMIT = 1024;
/** Addresses being resolved, and callers waiting for one of them. */
const RESOLVING_LIMIT = 256;
const WAITING_LIMIT = 1024;
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
  readonly #ofPort: Map<Port, Set<Neighbour>> = new Map();
  #size = 0;
  readonly #resolving: Map<string, Resolution> = new Map();
  readonly #timers: TimerWheel;
  readonly #solicit: Solicit;

  constructor(timers: TimerWheel, solicit: Solicit) {
    this.#timers = timers;
    this.#solicit = solicit;
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

  /** The address was heard of from this MAC on this port. */
  learn(w0: number, w1: number, w2: number, w3: number, port: Port, macHi: number, macLo: number): Neighbour {
    const entry = this.lookup(w0, w1, w2, w3) ?? new Neighbour(w0, w1, w2, w3);
    entry.macHi = macHi;
    entry.macLo = macLo;
    entry.heard = true;
    if (entry.port !== port) this.#place(entry, port);
    return entry;
  }

  /** Calls `done` with the neighbour, or with null when nobody answers. At once when it is known. */
  resolve(w0: number, w1: number, w2: number, w3: number, done: Resolved): void {
    const known = this.lookup(w0, w1, w2, w3);
    if (known !== null) return done(known);
    const key = `${w0},${w1},${w2},${w3}`;
    let resolution = this.#resolving.get(key);
    if (resolution === undefined) {
      if (this.#resolving.size >= RESOLVING_LIMIT) return done(null);
      resolution = new Resolution(() => this.#retry(key, w0, w1, w2, w3));
      this.#resolving.set(key, resolution);
      resolution.waiting.push(done);
      this.#retry(key, w0, w1, w2, w3);
    } else if (resolution.waiting.length >= WAITING_LIMIT) {
      done(null);
    } else {
      resolution.waiting.push(done);
    }
  }

  /** The port's VM is gone. */
  forgetPort(port: Port): void {
    const entries = this.#ofPort.get(port);
    if (entries === undefined) return;
    for (const entry of entries) this.#remove(entry, entries);
    this.#ofPort.delete(port);
  }

  #retry(key: string, w0: number, w1: number, w2: number, w3: number): void {
    const resolution = this.#resolving.get(key)!;
    if (resolution.tries++ === TRIES) {
      this.#resolving.delete(key);
      for (const done of resolution.waiting) done(null);
      return;
    }
    this.#timers.arm(resolution.timer, INTERVAL);
    this.#solicit(w0, w1, w2, w3);
  }

  #finish(entry: Neighbour): void {
    const key = `${entry.w0},${entry.w1},${entry.w2},${entry.w3}`;
    const resolution = this.#resolving.get(key);
    if (resolution === undefined) return;
    this.#resolving.delete(key);
    this.#timers.cancel(resolution.timer);
    for (const done of resolution.waiting) done(entry);
  }

  /** An entry that is new, or has moved here from another port. */
  #place(entry: Neighbour, port: Port): void {
    let entries = this.#ofPort.get(port);
    if (entries === undefined) {
      entries = new Set();
      this.#ofPort.set(port, entries);
    }
    if (entries.size >= NEIGHBOUR_LIMIT) this.#makeRoom(entries);
    const before = entry.port;
    entry.port = port;
    entries.add(entry);
    if (before === null) this.#add(entry);
    else this.#ofPort.get(before)!.delete(entry);
  }

  #add(entry: Neighbour): void {
    this.#size++;
    const list = this.#entries.get(entry.w3);
    if (list) list.push(entry);
    else this.#entries.set(entry.w3, [entry]);
    if (this.#resolving.size > 0) this.#finish(entry);
  }

  /** Second chance: who was heard from since it was last looked at goes to the end once. */
  #makeRoom(entries: Set<Neighbour>): void {
    for (const entry of entries) {
      if (!entry.heard) return this.#remove(entry, entries);
      entry.heard = false;
      entries.delete(entry);
      entries.add(entry);
    }
  }

  #remove(entry: Neighbour, entries: Set<Neighbour>): void {
    entries.delete(entry);
    entry.port = null;
    this.#size--;
    const list = this.#entries.get(entry.w3)!;
    if (list.length === 1) this.#entries.delete(entry.w3);
    else list.splice(list.indexOf(entry), 1);
  }
}
