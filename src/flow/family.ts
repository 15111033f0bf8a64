/** What differs between the versions of IP in the packets of a flow: chosen once, when the flow begins. */
import type { IpAddress } from '../packet/address.ts';
import { setU16, setU32 } from '../packet/bytes.ts';
import { finish, pseudoIpv4, pseudoIpv6 } from '../packet/checksum.ts';
import * as ethernet from '../packet/ethernet.ts';
import * as ipv4 from '../packet/ipv4.ts';
import * as ipv6 from '../packet/ipv6.ts';
import * as vnet from '../packet/vnet-header.ts';
import type { Neighbour } from '../gateway/neighbour.ts';
import type { InboundPacket } from '../gateway/packet.ts';

const HOPS = 64;

/** The two ends of a conversation as its packets name them. */
export interface FlowAddresses {
  readonly guest0: number;
  readonly guest1: number;
  readonly guest2: number;
  readonly guest3: number;
  readonly remote0: number;
  readonly remote1: number;
  readonly remote2: number;
  readonly remote3: number;
  /** Unfolded sum of both addresses' halves: their part of every checksum (see `sumOf`). */
  readonly addressSum: number;
}

/** What the gateway sends packets of any size by. */
export interface PacketOutput {
  /** See Ipv4Output.send. */
  sendIpv4(to: Neighbour, source: number, destination: number, protocol: number, at: number, length: number): boolean;
  /** See Ipv6Output.send. */
  sendIpv6(
    to: Neighbour,
    s0: number,
    s1: number,
    s2: number,
    s3: number,
    d0: number,
    d1: number,
    d2: number,
    d3: number,
    protocol: number,
    at: number,
    length: number,
  ): boolean;
}

export interface Family {
  readonly version: 4 | 6;
  /** Bytes of the IP header, and of all headers up to its end in a frame. */
  readonly header: number;
  readonly headers: number;
  readonly etherType: number;
  /** MSS of a guest that says none (RFC 9293 §3.7.1). */
  readonly mss: number;
  /** MTU of a path that is never gone below: as Linux has it (min_pmtu in route's sysctls), or RFC 8201 §4. */
  readonly leastMtu: number;
  /** What the virtio-net header calls several TCP segments in one frame. */
  readonly gso: number;
  /** Writes the IP header of a packet to the guest, in front of `length` bytes. */
  write(bytes: Uint8Array, at: number, flow: FlowAddresses, protocol: number, length: number): void;
  /** The same of a packet from the guest, to be quoted to it. `df`: it forbids fragments, where that can be said. */
  writeFromGuest(bytes: Uint8Array, at: number, flow: FlowAddresses, protocol: number, length: number, df: boolean): void;
  /** Sends `length` bytes at `at` to the guest, in fragments where they are too many for one frame. False when there was no room. */
  send(output: PacketOutput, to: Neighbour, flow: FlowAddresses, protocol: number, at: number, length: number): boolean;
}

export const IPV4: Family = {
  version: 4,
  header: ipv4.HEADER,
  headers: ethernet.HEADER + ipv4.HEADER,
  etherType: ethernet.TYPE_IPV4,
  mss: 536,
  leastMtu: 552,
  gso: vnet.GSO_TCPV4,
  /** RFC 6864: an atomic datagram (DF set) may carry ID 0. The checksum is added up from the words that vary. */
  write(bytes, at, flow, protocol, length) {
    const total = ipv4.HEADER + length;
    setU32(bytes, at, 0x45000000 | total);
    setU32(bytes, at + 4, ipv4.FLAG_DF);
    setU32(bytes, at + 8, (HOPS << 24) | (protocol << 16));
    setU32(bytes, at + 12, flow.remote3);
    setU32(bytes, at + 16, flow.guest3);
    setU16(bytes, at + 10, finish(0x4500 + total + ipv4.FLAG_DF + ((HOPS << 8) | protocol) + flow.addressSum));
  },
  writeFromGuest(bytes, at, flow, protocol, length, df) {
    ipv4.write(bytes, at, ipv4.HEADER + length, 0, df ? ipv4.FLAG_DF : 0, HOPS, protocol, flow.guest3, flow.remote3);
  },
  send(output, to, flow, protocol, at, length) {
    return output.sendIpv4(to, flow.remote3, flow.guest3, protocol, at, length);
  },
};

export const IPV6: Family = {
  version: 6,
  header: ipv6.HEADER,
  headers: ethernet.HEADER + ipv6.HEADER,
  etherType: ethernet.TYPE_IPV6,
  mss: 1220,
  leastMtu: ipv6.MINIMUM_MTU,
  gso: vnet.GSO_TCPV6,
  write(bytes, at, flow, protocol, length) {
    const { guest0, guest1, guest2, guest3, remote0, remote1, remote2, remote3 } = flow;
    ipv6.write(bytes, at, length, protocol, HOPS, remote0, remote1, remote2, remote3, guest0, guest1, guest2, guest3);
  },
  writeFromGuest(bytes, at, flow, protocol, length) {
    const { guest0, guest1, guest2, guest3, remote0, remote1, remote2, remote3 } = flow;
    ipv6.write(bytes, at, length, protocol, HOPS, guest0, guest1, guest2, guest3, remote0, remote1, remote2, remote3);
  },
  send(output, to, flow, protocol, at, length) {
    const { guest0, guest1, guest2, guest3, remote0, remote1, remote2, remote3 } = flow;
    return output.sendIpv6(to, remote0, remote1, remote2, remote3, guest0, guest1, guest2, guest3, protocol, at, length);
  },
};

/** The family of a guest's address. */
export function familyOf(neighbour: Neighbour): Family {
  return neighbour.isIpv4 ? IPV4 : IPV6;
}

type Words = Omit<FlowAddresses, 'addressSum'>;

/** A flow's `addressSum`: with protocol and length added the sum of the pseudo header. */
export function sumOf({ guest0, guest1, guest2, guest3, remote0, remote1, remote2, remote3 }: Words, family: Family): number {
  if (family === IPV4) return pseudoIpv4(remote3, guest3, 0, 0);
  return pseudoIpv6(remote0, remote1, remote2, remote3, guest0, guest1, guest2, guest3, 0, 0);
}

/** The addresses of an answer. Its owner may reuse it. */
export class ReplyAddresses implements FlowAddresses {
  guest0 = 0;
  guest1 = 0;
  guest2 = 0;
  guest3 = 0;
  remote0 = 0;
  remote1 = 0;
  remote2 = 0;
  remote3 = 0;
  addressSum = 0;
  family: Family = IPV4;

  /** To who sent `packet`, from whom it was sent to. */
  answer(packet: InboundPacket): void {
    this.family = packet.version === 4 ? IPV4 : IPV6;
    this.guest0 = packet.source0;
    this.guest1 = packet.source1;
    this.guest2 = packet.source2;
    this.guest3 = packet.source3;
    this.remote0 = packet.destination0;
    this.remote1 = packet.destination1;
    this.remote2 = packet.destination2;
    this.remote3 = packet.destination3;
    this.addressSum = sumOf(this, this.family);
  }

  /** From `remote` to `guest`, of one version. */
  between(remote: IpAddress, guest: IpAddress): void {
    this.family = guest.isIpv4 ? IPV4 : IPV6;
    this.guest0 = guest.w0;
    this.guest1 = guest.w1;
    this.guest2 = guest.w2;
    this.guest3 = guest.w3;
    this.remote0 = remote.w0;
    this.remote1 = remote.w1;
    this.remote2 = remote.w2;
    this.remote3 = remote.w3;
    this.addressSum = sumOf(this, this.family);
  }
}

/** Sets the addresses of a packet that is quoted to its flow's guest. */
export function addressQuote(packet: InboundPacket, flow: FlowAddresses, family: Family): void {
  packet.version = family.version;
  packet.source0 = flow.guest0;
  packet.source1 = flow.guest1;
  packet.source2 = flow.guest2;
  packet.source3 = flow.guest3;
  packet.destination0 = flow.remote0;
  packet.destination1 = flow.remote1;
  packet.destination2 = flow.remote2;
  packet.destination3 = flow.remote3;
}
