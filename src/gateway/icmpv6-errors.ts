/** ICMPv6 errors to guests (RFC 4443 §2.4, §3): rate limited, and never about what must not be answered. */
import { IpAddress } from '../packet/address.ts';
import { setU32 } from '../packet/bytes.ts';
import * as icmp from '../packet/icmpv6.ts';
import * as icmpv4 from '../packet/icmpv4.ts';
import * as ipv6 from '../packet/ipv6.ts';
import { REDIRECT } from '../packet/ndp.ts';
import type { Arena } from '../runtime/arena.ts';
import { RateLimit } from '../runtime/rate-limit.ts';
import type { TimerWheel } from '../runtime/timer-wheel.ts';
import type { Port } from '../link/port.ts';
import type { Icmpv6Output } from './icmpv6-output.ts';
import type { Ipv6Addresses } from './ipv6-addresses.ts';
import type { InboundPacket } from './packet.ts';

/** As for IPv4 (icmp-errors.ts): errors per second to each VM, and how many may come at once. */
const RATE = 1000;
const BURST = 50;
/** As much of the packet as fits what every link carries. */
const QUOTE = ipv6.MINIMUM_MTU - ipv6.HEADER - icmp.HEADER;

/** What IPv4's codes of "unreachable" are here (RFC 7915 §4.2). */
const CODES: Readonly<Record<number, number>> = {
  [icmpv4.CODE_NET]: icmp.CODE_NO_ROUTE,
  [icmpv4.CODE_HOST]: icmp.CODE_ADDRESS,
  [icmpv4.CODE_PORT]: icmp.CODE_PORT,
  [icmpv4.CODE_PROHIBITED]: icmp.CODE_PROHIBITED,
};

export class Icmpv6Errors {
  sent = 0;
  suppressed = 0;
  /** Of those sent, by type. */
  readonly ofType: Float64Array = new Float64Array(256);
  readonly #arena: Arena;
  readonly #timers: TimerWheel;
  readonly #output: Icmpv6Output;
  readonly #addresses: Ipv6Addresses;
  readonly #scratch: number;
  readonly #limit: RateLimit<Port> = new RateLimit(RATE, BURST);

  constructor(arena: Arena, timers: TimerWheel, output: Icmpv6Output, addresses: Ipv6Addresses) {
    this.#arena = arena;
    this.#timers = timers;
    this.#output = output;
    this.#addresses = addresses;
    this.#scratch = arena.allocate(4096);
  }

  /** Destination unreachable, for one of IPv4's codes that CODES has. */
  unreachable(packet: InboundPacket, code: number): void {
    this.#send(packet, icmp.UNREACHABLE, CODES[code]!, 0, null);
  }

  /** `pointer`: arena offset of the octet that is wrong, in the packet. */
  problem(packet: InboundPacket, code: number, pointer: number): void {
    this.#send(packet, icmp.PARAMETER_PROBLEM, code, pointer - packet.header, null);
  }

  /** What the network beyond the gateway said about the packet, from the address of who said it (null: the gateway's own). */
  relay(packet: InboundPacket, type: number, code: number, mtu: number, from: IpAddress | null): void {
    this.#send(packet, type, code, type === icmp.PACKET_TOO_BIG ? mtu : 0, from ?? this.#addresses.sourceFor(packet.source0));
  }

  /** `from` null: by the address that the guest talked to, as its host would; ours where that is a group. */
  #send(packet: InboundPacket, type: number, code: number, rest: number, from: IpAddress | null): void {
    const vm = packet.neighbour.port;
    if (vm === null || !answerable(packet, type, code) || !this.#limit.take(vm, this.#timers.now)) {
      this.suppressed++;
      return;
    }
    const { bytes } = this.#arena;
    const at = this.#scratch;
    const quoted = Math.min(packet.end - packet.header, QUOTE);
    setU32(bytes, at, (type << 24) | (code << 16));
    setU32(bytes, at + 4, rest);
    bytes.set(packet.bytes.subarray(packet.header, packet.header + quoted), at + icmp.HEADER);
    const { source0, source1, source2, source3 } = packet;
    const source = from ?? this.#answerer(packet);
    if (this.#output.send(packet.neighbour, source, source0, source1, source2, source3, at, icmp.HEADER + quoted)) {
      this.sent++;
      this.ofType[type]!++;
    }
  }

  #answerer(packet: InboundPacket): IpAddress {
    const { destination0, destination1, destination2, destination3 } = packet;
    const ours = ipv6.isMulticast(destination0) || ipv6.isLinkLocal(packet.source0);
    return ours ? this.#addresses.sourceFor(packet.source0) : new IpAddress(destination0, destination1, destination2, destination3);
  }
}

/** RFC 4443 §2.4 (e): not about an error or a redirect, nor to who sent to a group (but for two kinds) or is no host. */
function answerable(packet: InboundPacket, type: number, code: number): boolean {
  const { source0, source1, source2, source3 } = packet;
  if (ipv6.isMulticast(source0) || (source0 | source1 | source2 | source3) === 0) return false;
  const toGroup = type === icmp.PACKET_TOO_BIG || (type === icmp.PARAMETER_PROBLEM && code === icmp.CODE_OPTION);
  if (ipv6.isMulticast(packet.destination0) && !toGroup) return false;
  if (packet.protocol !== ipv6.PROTOCOL_ICMPV6) return true;
  if (packet.end <= packet.payload) return false;
  const about = packet.bytes[packet.payload]!;
  return !icmp.isError(about) && about !== REDIRECT;
}
