/** One IP packet on its way in, as the gateway hands it to the transport that owns its protocol. */
import type { Port } from '../link/port.ts';
import type { Neighbour } from './neighbour.ts';

/**
 * Filled by the gateway for each packet and reused: whoever needs a field after returning copies it. The bytes lie in
 * the arena (or in the reassembly buffer, when the packet came in fragments) and are valid until the end of the batch.
 */
export class InboundPacket {
  /** The arena's bytes. */
  bytes: Uint8Array = new Uint8Array(0);
  port!: Port;
  /** Who sent it: kept up to date by the gateway, shared by every flow of that guest. */
  neighbour!: Neighbour;
  /** Offset of the IP header, e.g. to quote it in an ICMP error. */
  header = 0;
  /** Offset of the transport header. */
  payload = 0;
  /** Offset behind the last byte of the IP packet: total length, never more than the frame had. */
  end = 0;
  /** 4 or 6. */
  version = 4;
  protocol = 0;
  ttl = 0;
  /** The packet was put together from fragments. */
  reassembled = false;
  /** It has a fragment header of IPv6, be it the only piece (RFC 6946). */
  fragmented = false;
  /** Addresses as four words each (see packet/address.ts). */
  source0 = 0;
  source1 = 0;
  source2 = 0;
  source3 = 0;
  destination0 = 0;
  destination1 = 0;
  destination2 = 0;
  destination3 = 0;
}

export interface Transport {
  input(packet: InboundPacket): void;
}
