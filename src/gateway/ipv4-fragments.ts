/** Fragments of IPv4 (RFC 791 §3.2): what their headers say, for reassembly.ts. */
import * as ipv4 from '../packet/ipv4.ts';
import type { Arena } from '../runtime/arena.ts';
import type { TimerWheel } from '../runtime/timer-wheel.ts';
import type { InboundPacket } from './packet.ts';
import { Fragment, Reassembly } from './reassembly.ts';

const PAYLOAD = 65_535 - ipv4.HEADER;

export function isFragment(packet: InboundPacket): boolean {
  return (ipv4.fragment(packet.bytes, packet.header) & (ipv4.FLAG_MF | ipv4.OFFSET_MASK)) !== 0;
}

export class Ipv4Fragments {
  readonly reassembly: Reassembly;
  readonly #fragment: Fragment = new Fragment();

  constructor(arena: Arena, timers: TimerWheel) {
    this.reassembly = new Reassembly(arena, timers, { header: ipv4.HEADER, write: writeWhole }, PAYLOAD);
  }

  /** See Reassembly.take. */
  take(packet: InboundPacket): boolean {
    const word = ipv4.fragment(packet.bytes, packet.header);
    const fragment = this.#fragment;
    fragment.identification = ipv4.identification(packet.bytes, packet.header);
    fragment.kind = packet.protocol;
    fragment.start = (word & ipv4.OFFSET_MASK) * 8;
    fragment.last = (word & ipv4.FLAG_MF) === 0;
    return this.reassembly.take(packet, fragment);
  }
}

function writeWhole(packet: InboundPacket, at: number, identification: number, length: number): void {
  const { bytes, ttl, protocol, source3, destination3 } = packet;
  ipv4.write(bytes, at, ipv4.HEADER + length, identification, 0, ttl, protocol, source3, destination3);
}
