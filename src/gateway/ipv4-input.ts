/**
 * What an IPv4 packet must be to go further (RFC 791, RFC 1122 §3.2.1, contract §8.2). The checks stand in the order in
 * which they are made; each refusal has its counter. The header checksum is not verified: guests may leave it to hardware.
 */
import { MAPPED } from '../packet/address.ts';
import * as ipv4 from '../packet/ipv4.ts';
import type { InboundPacket } from './packet.ts';

export class Ipv4Counters {
  received = 0;
  dropShort = 0;
  dropVersion = 0;
  dropHeaderLength = 0;
  dropTotalLength = 0;
  dropSource = 0;
  /** The source address belongs to another VM. */
  dropSpoofed = 0;
  dropDestination = 0;
  unknownProtocol = 0;
  /** Whole packets handed to their protocol. */
  delivered = 0;
}

/** Fills in header, payload, end, addresses, protocol and TTL. False, counted, when a length lies. */
export function readHeader(packet: InboundPacket, at: number, available: number, counters: Ipv4Counters): boolean {
  const { bytes } = packet;
  counters.received++;
  if (available < ipv4.HEADER) return refuse(counters, 'dropShort');
  if (ipv4.version(bytes, at) !== 4) return refuse(counters, 'dropVersion');
  const header = ipv4.headerLength(bytes, at);
  if (header < ipv4.HEADER || header > available) return refuse(counters, 'dropHeaderLength');
  const total = ipv4.totalLength(bytes, at);
  // What the frame has beyond the total length is padding.
  if (total < header || total > available) return refuse(counters, 'dropTotalLength');
  packet.header = at;
  packet.payload = at + header;
  packet.end = at + total;
  packet.protocol = ipv4.protocol(bytes, at);
  packet.ttl = ipv4.ttl(bytes, at);
  packet.version = 4;
  packet.source0 = packet.source1 = packet.destination0 = packet.destination1 = 0;
  packet.source2 = packet.destination2 = MAPPED;
  packet.source3 = ipv4.source(bytes, at);
  packet.destination3 = ipv4.destination(bytes, at);
  packet.reassembled = packet.fragmented = false;
  return true;
}

function refuse(counters: Ipv4Counters, reason: 'dropShort' | 'dropVersion' | 'dropHeaderLength' | 'dropTotalLength'): false {
  counters[reason]++;
  return false;
}
