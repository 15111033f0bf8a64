/**
 * Who lives where on the virtual network: IP address → MAC address and port (RFC 826).
 *
 * Learned from ARP and from the packets guests send. Bounded; the entry heard from longest ago makes room, unless flows
 * still use it: a flow holds on to its Neighbour object, so a guest that moves takes its flows along.
 */
import { Timer, type TimerWheel } from '../runtime/timer-wheel.ts';
import type { Port } from '../link/port.ts';

/** One guest address. */
export class Neighbour {
  /** Null while unresolved, or after the VM left. */
  port: Port | null = null;
  macHi = 0;
  macLo = 0;
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

/** Addresses remembered. */
export const NEIGHBOUR_LIMIT = 4096;
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
  /** By the last word of the address; entries that share it stand in one list. In the order of last learning. */
  readonly #entries: Map<number, Neighbour[]> = new Map();
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
    const entry = this.lookup(w0, w1, w2, w3) ?? this.#add(new Neighbour(w0, w1, w2, w3));
    const fresh = entry.port === null;
    entry.port = port;
    entry.macHi = macHi;
    entry.macLo = macLo;
    if (fresh && this.#resolving.size > 0) this.#finish(entry);
    return entry;
  }

  /** Calls `done` with the neighbour, or with null when nobody answers. At once when it is known. */
  resolve(w0: number, w1: number, w2: number, w3: number, done: Resolved): void {
    const known = this.lookup(w0, w1, w2, w3);
    if (known !== null && known.port !== null) return done(known);
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
    for (const list of this.#entries.values()) for (const entry of list) if (entry.port === port) entry.port = null;
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

  #add(entry: Neighbour): Neighbour {
    if (this.#size >= NEIGHBOUR_LIMIT) this.#evict();
    this.#size++;
    const list = this.#entries.get(entry.w3);
    if (list) list.push(entry);
    else this.#entries.set(entry.w3, [entry]);
    return entry;
  }

  #evict(): void {
    const [first] = this.#entries;
    const [w3, list] = first!;
    list.shift();
    if (list.length === 0) this.#entries.delete(w3);
    this.#size--;
  }
}
