/**
 * Puts fragments together (RFC 791 §3.2, RFC 815; RFC 8200 §4.5), in bounded memory and without trusting anything.
 *
 * Ranges that overlap end the datagram (RFC 5722 §4 for IPv6; the same attacks exist for IPv4, RFC 1858, RFC 3128); an exact
 * duplicate is ignored. A first fragment that does not hold the transport's ports ends it too. Fragments meet only fragments
 * of the same VM, and the VM that holds the most datagrams loses its oldest first: none can spoil or crowd out another's.
 */
import type { Arena } from '../runtime/arena.ts';
import { FairShares } from '../runtime/fair-shares.ts';
import { Timer, type TimerWheel } from '../runtime/timer-wheel.ts';
import type { Port } from '../link/port.ts';
import type { InboundPacket } from './packet.ts';

/** Datagrams put together at once; beyond, one makes room. */
export const REASSEMBLY_LIMIT = 64;
/** Milliseconds from the first fragment to the last (contract §8.2). */
const TIMEOUT = 30_000;
/** Fragments of one datagram: 64 KiB in the smallest MTU that is worth it. */
const FRAGMENTS = 256;
/** Bytes of transport header that a first fragment must hold: the ports and what follows up to TCP's flags (RFC 1858). */
const FIRST_MINIMUM = 16;

/** What the headers of a fragment say, in either version of IP. Filled in for each and reused. */
export class Fragment {
  identification = 0;
  /** What tells datagrams apart besides addresses and identification: the protocol of IPv4; 0 for IPv6. */
  kind = 0;
  /** Offset of its first byte in the datagram. */
  start = 0;
  last = false;
}

/** What differs between the versions of IP. */
export interface ReassemblyFamily {
  /** Bytes of the header that is written in front of the whole. */
  readonly header: number;
  /** Writes it at `at`, in front of `length` bytes. */
  write(packet: InboundPacket, at: number, identification: number, length: number): void;
}

class Datagram {
  readonly port: Port;
  readonly source0: number;
  readonly source1: number;
  readonly source2: number;
  readonly source3: number;
  readonly destination0: number;
  readonly destination1: number;
  readonly destination2: number;
  readonly destination3: number;
  readonly identification: number;
  readonly kind: number;
  /** Of the first fragment. */
  protocol = 0;
  /** Room for the IP header, then the payload at its offsets. */
  readonly at: number;
  readonly timer: Timer;
  readonly starts: number[] = [];
  readonly ends: number[] = [];
  received = 0;
  /** Payload length, known from the last fragment; -1 before. */
  total = -1;
  /** Marked bad: its fragments are swallowed until it times out, so that a late one does not start a new datagram. */
  poisoned = false;

  constructor(packet: InboundPacket, fragment: Fragment, at: number, expire: (datagram: Datagram) => void) {
    this.port = packet.port;
    this.source0 = packet.source0;
    this.source1 = packet.source1;
    this.source2 = packet.source2;
    this.source3 = packet.source3;
    this.destination0 = packet.destination0;
    this.destination1 = packet.destination1;
    this.destination2 = packet.destination2;
    this.destination3 = packet.destination3;
    this.identification = fragment.identification;
    this.kind = fragment.kind;
    this.at = at;
    this.timer = new Timer(() => expire(this));
  }

  /** Whether the fragment is of this datagram, by what its addresses and headers say. */
  has(packet: InboundPacket, fragment: Fragment): boolean {
    return (
      this.identification === fragment.identification &&
      this.kind === fragment.kind &&
      this.port === packet.port &&
      this.source3 === packet.source3 &&
      this.destination3 === packet.destination3 &&
      this.source2 === packet.source2 &&
      this.destination2 === packet.destination2 &&
      this.source1 === packet.source1 &&
      this.destination1 === packet.destination1 &&
      this.source0 === packet.source0 &&
      this.destination0 === packet.destination0
    );
  }
}

export class ReassemblyCounters {
  reassembled = 0;
  timedOut = 0;
  overlapping = 0;
  malformed = 0;
  duplicate = 0;
  /** Fragments of a datagram that was spoiled before. */
  swallowed = 0;
  evicted = 0;
  noMemory = 0;
}

/** Bytes of the largest payload, and one more. */
const REGION = 65_536;

export class Reassembly {
  readonly counters: ReassemblyCounters = new ReassemblyCounters();
  readonly #arena: Arena;
  readonly #timers: TimerWheel;
  readonly #family: ReassemblyFamily;
  readonly #most: number;
  /** Bytes of memory that a datagram takes. */
  readonly #size: number;
  /** Oldest first. */
  readonly #datagrams: Set<Datagram> = new Set();
  readonly #shares: FairShares<Port> = new FairShares(REASSEMBLY_LIMIT);
  /** The region of the packet handed on last; -1 for none. */
  #handedOn = -1;

  /** `most`: the largest payload there is, in bytes. */
  constructor(arena: Arena, timers: TimerWheel, family: ReassemblyFamily, most: number) {
    this.#arena = arena;
    this.#timers = timers;
    this.#family = family;
    this.#most = most;
    this.#size = most + family.header < REGION ? REGION : REGION + family.header;
  }

  get size(): number {
    return this.#datagrams.size;
  }

  /**
   * Takes the piece of `packet` between its payload and its end. True when it completed its datagram: `packet` then describes the
   * whole, in memory that is valid until the next fragment, or the end of the batch.
   */
  take(packet: InboundPacket, fragment: Fragment): boolean {
    this.#giveBack();
    const { start, last } = fragment;
    const length = packet.end - packet.payload;
    const malformed =
      length === 0 ||
      (!last && length % 8 !== 0) ||
      start + length > this.#most ||
      (start === 0 && length < FIRST_MINIMUM) ||
      (start > 0 && start < FIRST_MINIMUM);
    const datagram = this.#find(packet, fragment);
    if (malformed) {
      this.counters.malformed++;
      if (datagram !== null) datagram.poisoned = true;
      return false;
    }
    const into = datagram ?? this.#create(packet, fragment);
    if (into === null) return false;
    if (into.poisoned) {
      this.counters.swallowed++;
      return false;
    }
    if (!this.#place(into, packet, start, length, last)) return false;
    if (into.received !== into.total) return false;
    this.#complete(into, packet);
    return true;
  }

  #find(packet: InboundPacket, fragment: Fragment): Datagram | null {
    for (const datagram of this.#datagrams) if (datagram.has(packet, fragment)) return datagram;
    return null;
  }

  #create(packet: InboundPacket, fragment: Fragment): Datagram | null {
    if (this.#datagrams.size >= REASSEMBLY_LIMIT) {
      this.counters.evicted++;
      this.#discard(this.#oldestOf(this.#shares.donor(packet.port)));
    }
    const at = this.#arena.allocate(this.#size);
    if (at < 0) {
      this.counters.noMemory++;
      return null;
    }
    const datagram = new Datagram(packet, fragment, at, (late) => {
      this.counters.timedOut++;
      this.#discard(late);
    });
    this.#datagrams.add(datagram);
    this.#shares.claim(packet.port);
    this.#timers.arm(datagram.timer, TIMEOUT);
    return datagram;
  }

  #oldestOf(port: Port): Datagram {
    for (const datagram of this.#datagrams) if (datagram.port === port) return datagram;
    throw new Error('no datagram is being put together');
  }

  /** False when the fragment is ignored or has spoiled the datagram. */
  #place(datagram: Datagram, packet: InboundPacket, start: number, length: number, last: boolean): boolean {
    const end = start + length;
    for (let i = 0; i < datagram.starts.length; i++) {
      if (datagram.starts[i] === start && datagram.ends[i] === end) {
        this.counters.duplicate++;
        return false;
      }
      if (start < datagram.ends[i]! && datagram.starts[i]! < end) return this.#poison(datagram);
    }
    const beyond = datagram.total >= 0 && (end > datagram.total || last);
    const short = last && datagram.ends.some((other) => other > end);
    if (beyond || short || datagram.starts.length === FRAGMENTS) return this.#poison(datagram);
    if (last) datagram.total = end;
    if (start === 0) datagram.protocol = packet.protocol;
    datagram.starts.push(start);
    datagram.ends.push(end);
    datagram.received += length;
    this.#arena.bytes.copyWithin(datagram.at + this.#family.header + start, packet.payload, packet.end);
    return true;
  }

  #poison(datagram: Datagram): false {
    this.counters.overlapping++;
    datagram.poisoned = true;
    return false;
  }

  #complete(datagram: Datagram, packet: InboundPacket): void {
    const header = datagram.at;
    packet.bytes = this.#arena.bytes;
    packet.protocol = datagram.protocol;
    this.#family.write(packet, header, datagram.identification, datagram.total);
    packet.header = header;
    packet.payload = header + this.#family.header;
    packet.end = packet.payload + datagram.total;
    packet.reassembled = true;
    this.counters.reassembled++;
    this.#forget(datagram);
    this.#handedOn = header;
  }

  /** Whoever took the packet handed on last has done with it. */
  endOfBatch(): void {
    this.#giveBack();
  }

  /** Not at once: whoever takes the packet may allocate memory while it reads it. */
  #giveBack(): void {
    if (this.#handedOn >= 0) this.#arena.free(this.#handedOn, this.#size);
    this.#handedOn = -1;
  }

  #discard(datagram: Datagram): void {
    this.#forget(datagram);
    this.#arena.free(datagram.at, this.#size);
  }

  #forget(datagram: Datagram): void {
    this.#timers.cancel(datagram.timer);
    this.#datagrams.delete(datagram);
    this.#shares.give(datagram.port);
  }

  /** The port's VM is gone. */
  forgetPort(port: Port): void {
    for (const datagram of this.#datagrams) if (datagram.port === port) this.#discard(datagram);
  }
}
