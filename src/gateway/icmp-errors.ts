/** ICMP errors to guests (RFC 792, RFC 1122 §3.2.2, RFC 1812 §4.3.2): rate limited, and never about what must not be answered. */
import { finish, type Sum } from '../packet/checksum.ts';
import * as icmp from '../packet/icmpv4.ts';
import * as ipv4 from '../packet/ipv4.ts';
import type { Arena } from '../runtime/arena.ts';
import { RateLimit } from '../runtime/rate-limit.ts';
import type { TimerWheel } from '../runtime/timer-wheel.ts';
import type { Port } from '../link/port.ts';
import type { IpAddress } from '../packet/address.ts';
import type { Icmpv6Errors } from './icmpv6-errors.ts';
import type { InboundPacket } from './packet.ts';
import type { Ipv4Output } from './ipv4-output.ts';

/** Errors per second, and how many may come at once (contract §8.2); to each VM, so that none uses up what tells another its path's MTU. */
const RATE = 1000;
const BURST = 50;
/** RFC 1812 §4.3.2.3: as much of the packet as fits 576 bytes. */
const QUOTE = 576 - ipv4.HEADER - icmp.HEADER;

export class IcmpErrors {
  sent = 0;
  suppressed = 0;
  /** Of those sent, by type. */
  readonly ofType: Float64Array = new Float64Array(256);
  #ipv6: Icmpv6Errors | null = null;
  readonly #arena: Arena;
  readonly #sum: Sum;
  readonly #timers: TimerWheel;
  readonly #output: Ipv4Output;
  readonly #scratch: number;
  readonly #gateway: number;
  readonly #broadcast: number;
  readonly #limit: RateLimit<Port> = new RateLimit(RATE, BURST);

  constructor(arena: Arena, sum: Sum, timers: TimerWheel, output: Ipv4Output, gateway: number, broadcast: number) {
    this.#arena = arena;
    this.#sum = sum;
    this.#timers = timers;
    this.#output = output;
    this.#gateway = gateway;
    this.#broadcast = broadcast;
    this.#scratch = arena.allocate(4096);
  }

  /** Where errors about IPv6 packets are made. */
  set ipv6(errors: Icmpv6Errors | null) {
    this.#ipv6 = errors;
  }

  /** Destination unreachable; codes in src/packet/icmpv4.ts, whatever the packet's version. */
  unreachable(packet: InboundPacket, code: number): void {
    if (packet.version === 6) return this.#ipv6?.unreachable(packet, code);
    this.#send(packet, icmp.UNREACHABLE, code, 0, this.#answerer(packet));
  }

  /**
   * What the network beyond the gateway said about the packet, in the ICMP of its version, from the address of who said it (null: the
   * gateway's own). `mtu`: of a packet that is too large, the next hop's in bytes (RFC 1191 §4, RFC 4443 §3.2), else 0.
   */
  relay(packet: InboundPacket, type: number, code: number, mtu: number, from: IpAddress | null): void {
    if (packet.version === 6) this.#ipv6?.relay(packet, type, code, mtu, from);
    else this.#send(packet, type, code, mtu & 0xffff, from === null ? this.#gateway : from.w3);
  }

  /** The address the guest talked to, as its host would answer; the gateway where that is not a host's. */
  #answerer(packet: InboundPacket): number {
    return packet.destination3 >>> 24 === 0 ? this.#gateway : packet.destination3;
  }

  #send(packet: InboundPacket, type: number, code: number, rest: number, source: number): void {
    const vm = packet.neighbour.port;
    if (vm === null || !this.#answerable(packet) || !this.#limit.take(vm, this.#timers.now)) {
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
    if (this.#output.send(packet.neighbour, source, packet.source3, ipv4.PROTOCOL_ICMP, at, length)) {
      this.sent++;
      this.ofType[type]!++;
    }
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
}
