/**
 * Which MAC address was last seen on which port. Bounded: a guest that makes up addresses fills its own share only, its
 * oldest entries making room. Entries not renewed for a while are forgotten when they are looked at.
 *
 * An address stays with its port until that is gone or was silent for a while, so that no VM gets what is meant for another: one
 * that comes back on a new port, or moves here from elsewhere, has left the old one, or falls silent there.
 */
import type { Port } from '../link/port.ts';

/** Milliseconds without a frame until an address is forgotten (IEEE 802.1D's default). */
const AGE = 300_000;
/** Milliseconds between two tellings of a move, or of a refusal. */
const MOVES_APART = 60_000;
/** Addresses learned from one port. */
export const ADDRESSES_PER_PORT = 64;

export class MacEntry {
  readonly hi: number;
  readonly lo: number;
  port: Port;
  seen: number;

  constructor(hi: number, lo: number, port: Port, seen: number) {
    this.hi = hi;
    this.lo = lo;
    this.port = port;
    this.seen = seen;
  }
}

export class MacTable {
  /** An address was seen for the first time; not called for those that push out others, which a guest can make up for ever. */
  onLearned: ((entry: MacEntry) => void) | null = null;
  /** An address that one port uses is used by another, at most once a minute: two VMs have the same, or one takes the other's. */
  onMoved: ((entry: MacEntry, from: Port) => void) | null = null;
  /** An address that one port uses was tried by another, at most once a minute. */
  onRefused: ((entry: MacEntry, port: Port) => void) | null = null;
  #toldAt = -Infinity;
  /** The port of an address is gone. */
  onForgotten: ((entry: MacEntry) => void) | null = null;
  /** By `lo`, which alone tells nearly all addresses apart; those that share it stand in one list. */
  readonly #entries: Map<number, MacEntry[]> = new Map();
  readonly #perPort: Map<Port, Set<MacEntry>> = new Map();
  readonly #silence: number;
  readonly #age: number;

  /** `silence`: milliseconds until another port may take an address; 0: at any time, Infinity: when the port is gone. */
  constructor(silence: number) {
    this.#silence = silence;
    this.#age = Math.max(AGE, silence);
  }

  /** Notes that `port` has sent from this address. False when it is another port's. */
  learn(hi: number, lo: number, port: Port, now: number): boolean {
    const known = this.#find(hi, lo);
    if (known !== null) {
      if (known.port !== port) {
        if (now - known.seen < this.#silence) return this.#refuse(known, port, now);
        this.#move(known, port, now);
      }
      known.seen = now;
      return true;
    }
    const entry = new MacEntry(hi, lo, port, now);
    const list = this.#entries.get(lo);
    if (list) list.push(entry);
    else this.#entries.set(lo, [entry]);
    if (this.#assign(entry, port)) this.onLearned?.(entry);
    return true;
  }

  portOf(hi: number, lo: number, now: number): Port | null {
    const entry = this.#find(hi, lo);
    if (entry === null) return null;
    if (now - entry.seen <= this.#age) return entry.port;
    this.#forget(entry);
    return null;
  }

  /** Forgets every address of a port that is gone. */
  forgetPort(port: Port): void {
    const entries = this.#perPort.get(port) ?? [];
    this.#perPort.delete(port);
    for (const entry of entries) this.#remove(entry);
    for (const entry of entries) this.onForgotten?.(entry);
  }

  *[Symbol.iterator](): Iterator<MacEntry> {
    for (const entries of this.#perPort.values()) yield* entries;
  }

  get size(): number {
    let count = 0;
    for (const entries of this.#perPort.values()) count += entries.size;
    return count;
  }

  #find(hi: number, lo: number): MacEntry | null {
    const list = this.#entries.get(lo);
    if (list === undefined) return null;
    for (let i = 0; i < list.length; i++) if (list[i]!.hi === hi) return list[i]!;
    return null;
  }

  #move(entry: MacEntry, port: Port, now: number): void {
    const from = entry.port;
    this.#perPort.get(from)?.delete(entry);
    entry.port = port;
    this.#assign(entry, port);
    if (this.#tells(now)) this.onMoved?.(entry, from);
  }

  #refuse(entry: MacEntry, port: Port, now: number): false {
    if (this.#tells(now)) this.onRefused?.(entry, port);
    return false;
  }

  #tells(now: number): boolean {
    if (now - this.#toldAt < MOVES_APART) return false;
    this.#toldAt = now;
    return true;
  }

  /** True when no other address had to make room. */
  #assign(entry: MacEntry, port: Port): boolean {
    const entries = this.#perPort.get(port);
    if (entries === undefined) {
      this.#perPort.set(port, new Set([entry]));
      return true;
    }
    const full = entries.size >= ADDRESSES_PER_PORT;
    if (full) this.#forget(stalest(entries));
    entries.add(entry);
    return !full;
  }

  #forget(entry: MacEntry): void {
    this.#perPort.get(entry.port)?.delete(entry);
    this.#remove(entry);
  }

  #remove(entry: MacEntry): void {
    const list = this.#entries.get(entry.lo)!;
    list.splice(list.indexOf(entry), 1);
    if (list.length === 0) this.#entries.delete(entry.lo);
  }
}

function stalest(entries: Set<MacEntry>): MacEntry {
  let oldest: MacEntry | null = null;
  for (const entry of entries) if (oldest === null || entry.seen < oldest.seen) oldest = entry;
  return oldest!;
}
