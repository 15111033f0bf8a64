/** Writes what the guest gets to see of a conversation: answers as frames, and its own datagram as ICMP errors quote it. */
import { finish, type Sum } from '../../packet/checksum.ts';
import * as ethernet from '../../packet/ethernet.ts';
import { PROTOCOL_UDP } from '../../packet/ipv4.ts';
import * as ipv6 from '../../packet/ipv6.ts';
import * as udp from '../../packet/udp.ts';
import type { Arena } from '../../runtime/arena.ts';
import { InboundPacket } from '../../gateway/packet.ts';
import { addressQuote, IPV4 } from '../family.ts';
import type { UdpFlow } from './flow.ts';
import type { ServiceGateway } from './services.ts';

/** Room for the headers of a datagram that is quoted, and bytes of payload behind: with all headers the error has 576 bytes (RFC 1812 §4.3.2.3). */
const QUOTE = ipv6.HEADER + udp.HEADER;
const QUOTED_PAYLOAD = 576 - 20 - 8 - 20 - 8;
/** No link has more in front of a frame, with the frame's own headers. */
const FRAGMENT_OVERHEAD = 96;
/** Payload that fits a packet of IPv4; what a client of IPv6 sends to such a guest may be larger. */
const LARGEST_4 = 65_535 - 20 - udp.HEADER;
/** Bytes of a packet's headers that are not there for a fragment's payload. */
const FRAGMENT_HEADERS = ipv6.HEADER + ipv6.FRAGMENT_HEADER;

export interface DeliveryGateway extends ServiceGateway {
  readonly macHi: number;
  readonly macLo: number;
  readonly mtu: number;
}

export class Delivery {
  readonly #bytes: Uint8Array;
  readonly #sum: Sum;
  readonly #gateway: DeliveryGateway;
  readonly #arena: Arena;
  readonly #scratch: number;
  readonly #quoted: InboundPacket = new InboundPacket();

  constructor(arena: Arena, sum: Sum, gateway: DeliveryGateway) {
    this.#arena = arena;
    this.#bytes = arena.bytes;
    this.#sum = sum;
    this.#gateway = gateway;
    this.#scratch = arena.allocate(QUOTE + QUOTED_PAYLOAD);
  }

  /** At most how many bytes of a port a datagram of `length` payload bytes takes, in fragments where it must. */
  room(length: number): number {
    const size = udp.HEADER + length;
    // A fragment carries a multiple of eight bytes.
    const piece = Math.max(this.#gateway.mtu - FRAGMENT_HEADERS - 7, 8);
    return size + Math.ceil(size / piece) * FRAGMENT_OVERHEAD;
  }

  /** The answer at `at`, with eight writable bytes behind it. False when the guest's port had no room. */
  deliver(flow: UdpFlow, at: number, length: number): boolean {
    const gateway = this.#gateway;
    const { family } = flow;
    const headers = family.headers + udp.HEADER;
    if (headers - ethernet.HEADER + length > gateway.mtu) return this.#deliverLarge(flow, at, length);
    const to = flow.neighbour;
    const port = to.port;
    if (port === null) return false;
    const claim = port.claim(port.headroom + headers + length);
    if (claim < 0) return false;
    const bytes = this.#bytes;
    const frame = claim + port.headroom;
    bytes.copyWithin(frame + headers, at, at + length);
    ethernet.write(bytes, frame, to.macHi, to.macLo, gateway.macHi, gateway.macLo, family.etherType);
    family.write(bytes, frame + ethernet.HEADER, flow, PROTOCOL_UDP, udp.HEADER + length);
    this.#writeUdp(flow, frame + family.headers, length);
    port.commit(frame, headers + length);
    return true;
  }

  #writeUdp(flow: UdpFlow, at: number, length: number): void {
    const size = udp.HEADER + length;
    udp.write(this.#bytes, at, flow.remotePort, flow.guestPort, size);
    const total = this.#sum(at, size, flow.addressSum + PROTOCOL_UDP + size);
    udp.setChecksum(this.#bytes, at, finish(total));
  }

  /** In place: the UDP header goes in front of the payload, which is moved up once to make room. */
  #deliverLarge(flow: UdpFlow, at: number, length: number): boolean {
    if (flow.family === IPV4 && length > LARGEST_4) return false;
    this.#bytes.copyWithin(at + udp.HEADER, at, at + length);
    this.#writeUdp(flow, at, length);
    return flow.family.send(this.#gateway, flow.neighbour, flow, PROTOCOL_UDP, at, udp.HEADER + length);
  }

  /** Where `quote` expects payload, at most `quoteSize` bytes. */
  get quoteAt(): number {
    return this.#scratch + QUOTE;
  }

  get quoteSize(): number {
    return QUOTED_PAYLOAD;
  }

  /** As `quote`, for the datagram whose `length` payload bytes lie at `at`. */
  quoteWhole(flow: UdpFlow, at: number, length: number): InboundPacket {
    const quoted = Math.min(length, QUOTED_PAYLOAD);
    this.#bytes.copyWithin(this.quoteAt, at, at + quoted);
    return this.quote(flow, quoted, length);
  }

  /**
   * The guest's datagram of `length` payload bytes as far as an ICMP error quotes it: headers, and the `quoted` bytes that
   * stand at `quoteAt`. Reused by the next call.
   */
  quote(flow: UdpFlow, quoted = 0, length: number = quoted): InboundPacket {
    const bytes = this.#bytes;
    const { family } = flow;
    const payload = this.quoteAt - udp.HEADER;
    const header = payload - family.header;
    family.writeFromGuest(bytes, header, flow, PROTOCOL_UDP, udp.HEADER + length, flow.df);
    udp.write(bytes, payload, flow.guestPort, flow.remotePort, udp.HEADER + length);
    const packet = this.#quoted;
    packet.bytes = bytes;
    packet.neighbour = flow.neighbour;
    packet.header = header;
    packet.payload = payload;
    packet.end = payload + udp.HEADER + quoted;
    packet.protocol = PROTOCOL_UDP;
    addressQuote(packet, flow, family);
    return packet;
  }

  close(): void {
    this.#arena.free(this.#scratch, QUOTE + QUOTED_PAYLOAD);
  }
}
