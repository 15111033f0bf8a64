/** ICMP errors to guests (RFC 792, RFC 1122 §3.2.2, RFC 1812 §4.3.2): rate limited, and never about what must not be answered. */
import { finish, type Sum } from '../packet/checksum.ts';
import * as icmp from '../packet/icmpv4.ts';
import * as ipv4 from '../packet/ipv4.ts';
import type { Arena } from '../runtime/arena.ts';
import type { TimerWheel } from '../runtime/timer-wheel.ts';
import type { InboundPacket } from './packet.ts';
import type { Ipv4Output } from './ipv4-output.ts';

/** Errors per second, and how many may come at once (contract §8.2). */
const RATE = 1000;
const BURST = 50;
/** RFC 1812 §4.3.2.3: as much of the packet as fits 576 bytes. */
const QUOTE = 576 - ipv4.HEADER - icmp.HEADER;

export class IcmpErrors {
  sent = 0;
  suppressed = 0;
  readonly #arena: Arena;
  readonly #sum: Sum;
  readonly #timers: TimerWheel;
  readonly #output: Ipv4Output;
  readonly #scratch: number;
  readonly #gateway: number;
  readonly #broadcast: number;
  #tokens = BURST;
  #filled = 0;

  constructor(arena: Arena, sum: Sum, timers: TimerWheel, output: Ipv4Output, gateway: number, broadcast: number) {
    this.#arena = arena;
    this.#sum = sum;
    this.#timers = timers;
    this.#output = output;
    this.#gateway = gateway;
    this.#broadcast = broadcast;
    this.#scratch = arena.allocate(4096);
    this.#filled = timers.now;
  }

  /** Destination unreachable; codes in src/packet/icmpv4.ts. */
  unreachable(packet: InboundPacket, code: number): void {
    this.#send(packet, icmp.UNREACHABLE, code, 0);
  }

  /** RFC 1191 §4: the packet did not fit `mtu` and must not be fragmented. */
  fragmentationNeeded(packet: InboundPacket, mtu: number): void {
    this.#send(packet, icmp.UNREACHABLE, icmp.CODE_FRAGMENTATION_NEEDED, mtu & 0xffff);
  }

  #send(packet: InboundPacket, type: number, code: number, rest: number): void {
    if (!this.#answerable(packet) || !this.#take()) {
      this.suppressed++;
      return;
    }
    const { bytes } = this.#arena;
    const at = this.#scratch;
    const quoted = Math.min(packet.end - packet.header, QUOTE);
    icmp.write(bytes, at, type, code, rest);
    bytes.set(packet.bytes.subarray(packet.header, packet.header + quoted), at + icmp.HEADER);
    const length = icmp.HEADER + quoted;
    icmp.setChecksum(bytes, at, finish(this.#sum(at, length, 0)));
    // From the address the guest talked to, as its host would answer; from the gateway where that is not a host's.
    const source = packet.destination3 >>> 24 === 0 ? this.#gateway : packet.destination3;
    if (this.#output.send(packet.neighbour, source, packet.source3, ipv4.PROTOCOL_ICMP, at, length)) this.sent++;
  }

  /** RFC 1122 §3.2.2: not about an error, a group or broadcast destination, a later fragment, or a source that is no host. */
  #answerable(packet: InboundPacket): boolean {
    const { bytes } = packet;
    if (packet.destination3 === this.#broadcast) return false;
    if (packet.source3 >>> 24 === 0 || packet.source3 >>> 24 >= 224 || packet.destination3 >>> 24 >= 224) return false;
    if ((ipv4.fragment(bytes, packet.header) & ipv4.OFFSET_MASK) !== 0) return false;
    if (packet.protocol !== ipv4.PROTOCOL_ICMP) return true;
    return packet.end > packet.payload && !icmp.isError(icmp.type(bytes, packet.payload));
  }

  /** A token bucket. */
  #take(): boolean {
    const { now } = this.#timers;
    this.#tokens = Math.min(this.#tokens + ((now - this.#filled) * RATE) / 1000, BURST);
    this.#filled = now;
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }
}
