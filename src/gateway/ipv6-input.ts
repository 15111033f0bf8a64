/** What an IPv6 header must be for its packet to go further (RFC 8200 §3). Each refusal has its counter. */
import * as ipv6 from '../packet/ipv6.ts';
import type { InboundPacket } from './packet.ts';

export class Ipv6Counters {
  received = 0;
  dropShort = 0;
  dropVersion = 0;
  dropPayloadLength = 0;
  dropSource = 0;
  /** The source address belongs to another VM. */
  dropSpoofed = 0;
  dropDestination = 0;
  /** Sent to groups that the gateway is not in. */
  otherGroups = 0;
  /** Extension headers that are wrong, too many, or forbidden. */
  dropExtensions = 0;
  /** Said to have nothing behind their headers. */
  empty = 0;
  unknownProtocol = 0;
  /** Whole packets handed to their protocol. */
  delivered = 0;
}

/** Fills in header, payload, end, addresses, protocol and hop limit. False, counted, when a length lies. */
export function readIpv6Header(packet: InboundPacket, at: number, available: number, counters: Ipv6Counters): boolean {
  const { bytes } = packet;
  counters.received++;
  if (available < ipv6.HEADER) {
    counters.dropShort++;
    return false;
  }
  if (ipv6.version(bytes, at) !== 6) {
    counters.dropVersion++;
    return false;
  }
  const length = ipv6.payloadLength(bytes, at);
  // What the frame has beyond it is padding. Jumbograms (RFC 2675) are longer than any frame here.
  if (ipv6.HEADER + length > available) {
    counters.dropPayloadLength++;
    return false;
  }
  packet.version = 6;
  packet.header = at;
  packet.payload = at + ipv6.HEADER;
  packet.end = at + ipv6.HEADER + length;
  packet.protocol = ipv6.nextHeader(bytes, at);
  packet.ttl = ipv6.hopLimit(bytes, at);
  packet.source0 = ipv6.source(bytes, at, 0);
  packet.source1 = ipv6.source(bytes, at, 1);
  packet.source2 = ipv6.source(bytes, at, 2);
  packet.source3 = ipv6.source(bytes, at, 3);
  packet.destination0 = ipv6.destination(bytes, at, 0);
  packet.destination1 = ipv6.destination(bytes, at, 1);
  packet.destination2 = ipv6.destination(bytes, at, 2);
  packet.destination3 = ipv6.destination(bytes, at, 3);
  packet.reassembled = packet.fragmented = false;
  return true;
}
