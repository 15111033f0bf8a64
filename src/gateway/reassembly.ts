/**
 * Puts IPv4 fragments together (RFC 791 §3.2, RFC 815), in bounded memory and without trusting anything.
 *
 * Ranges that overlap end the datagram (RFC 5722 §4 for IPv6; the same attacks exist for IPv4, RFC 1858, RFC 3128); an exact
 * duplicate is ignored. A first fragment that does not hold the transport's ports ends it too. Fragments meet only fragments
 * of the same VM, and the VM that holds the most datagrams loses its oldest first: none can spoil or crowd out another's.
 */
import type { Arena } from '../runtime/arena.ts';
import { FairShares } from '../runtime/fair-shares.ts';
import { Timer, type TimerWheel } from '../runtime/timer-wheel.ts';
import type { Port } from '../link/port.ts';
import * as ipv4 from '../packet/ipv4.ts';
import type { InboundPacket } from './packet.ts';

/** Datagrams put together at once; beyond, one makes room. */
export const REASSEMBLY_LIMIT = 64;
/** Milliseconds from the first fragment to the last (contract §8.2). */
const TIMEOUT = 30_000;
/** Fragments of one datagram: 64 KiB in the smallest MTU that is worth it. */
const FRAGMENTS = 256;
const MAXIMUM = 65_535;
/** Bytes of transport header that a first fragment must hold: the ports and what follows up to TCP's flags (RFC 1858). */
const FIRST_MINIMUM = 16;

class Datagram {
  readonly port: Port;
  readonly source: number;
  readonly destination: number;
  readonly key: number;
  /** Region of 64 KiB: room for the IP header, then the payload at its offsets. */
  readonly at: number;
  readonly timer: Timer;
  readonly starts: number[] = [];
  readonly ends: number[] = [];
  received = 0;
  /** Payload length, known from the last fragment; -1 before. */
  total = -1;
  /** Marked bad: its fragments are swallowed until it times out, so that a late one does not start a new datagram. */
  poisoned = false;

  constructor(packet: InboundPacket, key: number, at: number, expire: (datagram: Datagram) => void) {
    this.port = packet.port;
    this.source = packet.source3;
    this.destination = packet.destination3;
    this.key = key;
    this.at = at;
    this.timer = new Timer(() => expire(this));
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

/** The largest packet, header included, ends one byte before. */
const REGION = 65_536;

export class Reassembly {
  readonly counters: ReassemblyCounters = new ReassemblyCounters();
  readonly #arena: Arena;
  readonly #timers: TimerWheel;
  /** Oldest first. */
  readonly #datagrams: Set<Datagram> = new Set();
  readonly #shares: FairShares<Port> = new FairShares(REASSEMBLY_LIMIT);
  /** The region of the packet handed on last; -1 for none. */
  #handedOn = -1;

  constructor(arena: Arena, timers: TimerWheel) {
    this.#arena = arena;
    this.#timers = timers;
  }

  get size(): number {
    return this.#datagrams.size;
  }

  /**
   * Takes the fragment in `packet`. True when it completed its datagram: `packet` then describes the whole, in memory
   * that is valid until the next fragment.
   */
  take(packet: InboundPacket): boolean {
    const { bytes } = packet;
    this.#giveBack();
    const word = ipv4.fragment(bytes, packet.header);
    const start = (word & ipv4.OFFSET_MASK) * 8;
    const length = packet.end - packet.payload;
    const last = (word & ipv4.FLAG_MF) === 0;
    const malformed =
      length === 0 ||
      (!last && length % 8 !== 0) ||
      start + length + ipv4.HEADER > MAXIMUM ||
      (start === 0 && length < FIRST_MINIMUM) ||
      (start > 0 && start < FIRST_MINIMUM);
    const datagram = this.#find(packet);
    if (malformed) {
      this.counters.malformed++;
      if (datagram !== null) datagram.poisoned = true;
      return false;
    }
    const into = datagram ?? this.#create(packet);
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

  #key(packet: InboundPacket): number {
    return (ipv4.identification(packet.bytes, packet.header) << 8) | packet.protocol;
  }

  #find(packet: InboundPacket): Datagram | null {
    const key = this.#key(packet);
    for (const datagram of this.#datagrams) {
      if (datagram.key !== key || datagram.port !== packet.port) continue;
      if (datagram.source === packet.source3 && datagram.destination === packet.destination3) return datagram;
    }
    return null;
  }

  #create(packet: InboundPacket): Datagram | null {
    if (this.#datagrams.size >= REASSEMBLY_LIMIT) {
      this.counters.evicted++;
      this.#discard(this.#oldestOf(this.#shares.donor(packet.port)));
    }
    const at = this.#arena.allocate(REGION);
    if (at < 0) {
      this.counters.noMemory++;
      return null;
    }
    const datagram = new Datagram(packet, this.#key(packet), at, (late) => {
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
    datagram.starts.push(start);
    datagram.ends.push(end);
    datagram.received += length;
    this.#arena.bytes.copyWithin(datagram.at + ipv4.HEADER + start, packet.payload, packet.end);
    return true;
  }

  #poison(datagram: Datagram): false {
    this.counters.overlapping++;
    datagram.poisoned = true;
    return false;
  }

  #complete(datagram: Datagram, packet: InboundPacket): void {
    const header = datagram.at;
    const { bytes } = this.#arena;
    const length = ipv4.HEADER + datagram.total;
    ipv4.write(bytes, header, length, datagram.key >>> 8, 0, packet.ttl, packet.protocol, packet.source3, packet.destination3);
    packet.bytes = bytes;
    packet.header = header;
    packet.payload = header + ipv4.HEADER;
    packet.end = header + length;
    packet.reassembled = true;
    this.counters.reassembled++;
    this.#forget(datagram);
    this.#handedOn = header;
  }

  /** Not before the next fragment: whoever takes the packet may allocate memory while it reads it. */
  #giveBack(): void {
    if (this.#handedOn >= 0) this.#arena.free(this.#handedOn, REGION);
    this.#handedOn = -1;
  }

  #discard(datagram: Datagram): void {
    this.#forget(datagram);
    this.#arena.free(datagram.at, REGION);
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
