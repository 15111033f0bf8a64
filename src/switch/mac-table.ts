/**
 * Which MAC address was last seen on which port. Bounded: a guest that makes up addresses fills its own share only, its
 * oldest entries making room. Entries not renewed for a while are forgotten when they are looked at.
 */
import type { Port } from '../link/port.ts';

/** Milliseconds without a frame until an address is forgotten (IEEE 802.1D's default). */
const AGE = 300_000;
/** Milliseconds between two tellings of a move. */
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
  #movedAt = -Infinity;
  /** The port of an address is gone. */
  onForgotten: ((entry: MacEntry) => void) | null = null;
  /** By `lo`, which alone tells nearly all addresses apart; those that share it stand in one list. */
  readonly #entries: Map<number, MacEntry[]> = new Map();
  readonly #perPort: Map<Port, Set<MacEntry>> = new Map();

  /** Notes that `port` has sent from this address. */
  learn(hi: number, lo: number, port: Port, now: number): void {
    const known = this.#find(hi, lo);
    if (known !== null) {
      known.seen = now;
      if (known.port !== port) this.#move(known, port, now);
      return;
    }
    const entry = new MacEntry(hi, lo, port, now);
    const list = this.#entries.get(lo);
    if (list) list.push(entry);
    else this.#entries.set(lo, [entry]);
    if (this.#assign(entry, port)) this.onLearned?.(entry);
  }

  portOf(hi: number, lo: number, now: number): Port | null {
    const entry = this.#find(hi, lo);
    if (entry === null) return null;
    if (now - entry.seen <= AGE) return entry.port;
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
    if (now - this.#movedAt < MOVES_APART) return;
    this.#movedAt = now;
    this.onMoved?.(entry, from);
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
