/** What differs between the versions of IP on the link: addresses, the header, its part of checksums. */
import type { InboundPacket } from '../../../../src/gateway/packet.ts';
import { IpAddress } from '../../../../src/packet/address.ts';
import { pseudoIpv4, pseudoIpv6, sum } from '../../../../src/packet/checksum.ts';
import * as ethernet from '../../../../src/packet/ethernet.ts';
import * as ipv4 from '../../../../src/packet/ipv4.ts';
import * as ipv6 from '../../../../src/packet/ipv6.ts';
import { Fault } from './end.ts';

export interface Version {
  readonly guest: IpAddress;
  readonly host: IpAddress;
  /** Bytes by which MTUs are larger, so that segments have the same sizes. */
  readonly more: number;
  /** MSS of who says none (RFC 9293 §3.7.1). */
  readonly defaultMss: number;
  /** Bytes in front of the segment in a frame. */
  readonly headers: number;
  /** Writes the headers of a frame, in front of a segment of `length` bytes. */
  write(frame: Uint8Array, from: IpAddress, to: IpAddress, length: number): void;
  /** Fills in what the header at `at` says. Throws Fault when its length or checksum is not the frame's. */
  read(packet: InboundPacket, bytes: Uint8Array, at: number, end: number, checks: boolean): void;
  /** Unfolded sum of the pseudo header. */
  pseudo(from: IpAddress, to: IpAddress, length: number): number;
}

const VERSION_4: Version = {
  guest: IpAddress.parse('192.168.127.2')!,
  host: IpAddress.parse('192.0.2.1')!,
  more: 0,
  defaultMss: 536,
  headers: ethernet.HEADER + ipv4.HEADER,
  write(frame, from, to, length) {
    ethernet.write(frame, 0, 0x5a94, 1, 0x5a94, 2, ethernet.TYPE_IPV4);
    ipv4.write(frame, ethernet.HEADER, ipv4.HEADER + length, 0, ipv4.FLAG_DF, 64, ipv4.PROTOCOL_TCP, from.w3, to.w3);
  },
  read(packet, bytes, at, end, checks) {
    if (ipv4.totalLength(bytes, at) !== end - at) throw new Fault('a frame has the wrong length');
    if (checks && sum(bytes, at, ipv4.HEADER) !== 0xffff) throw new Fault('a frame has a wrong IPv4 checksum');
    address(packet, 4, IpAddress.v4(ipv4.source(bytes, at)), IpAddress.v4(ipv4.destination(bytes, at)));
  },
  pseudo(from, to, length) {
    return pseudoIpv4(from.w3, to.w3, ipv4.PROTOCOL_TCP, length);
  },
};

const VERSION_6: Version = {
  guest: IpAddress.parse('fd00::2')!,
  host: IpAddress.parse('2001:db8::1')!,
  more: ipv6.HEADER - ipv4.HEADER,
  defaultMss: 1220,
  headers: ethernet.HEADER + ipv6.HEADER,
  write(frame, from, to, length) {
    ethernet.write(frame, 0, 0x5a94, 1, 0x5a94, 2, ethernet.TYPE_IPV6);
    const at = ethernet.HEADER;
    ipv6.write(frame, at, length, ipv4.PROTOCOL_TCP, 64, from.w0, from.w1, from.w2, from.w3, to.w0, to.w1, to.w2, to.w3);
  },
  read(packet, bytes, at, end) {
    if (ipv6.payloadLength(bytes, at) !== end - at - ipv6.HEADER) throw new Fault('a frame has the wrong length');
    if (ipv6.nextHeader(bytes, at) !== ipv4.PROTOCOL_TCP) throw new Fault('a frame has no segment');
    const words = (of: typeof ipv6.source): IpAddress =>
      new IpAddress(of(bytes, at, 0), of(bytes, at, 1), of(bytes, at, 2), of(bytes, at, 3));
    address(packet, 6, words(ipv6.source), words(ipv6.destination));
  },
  pseudo(from, to, length) {
    return pseudoIpv6(from.w0, from.w1, from.w2, from.w3, to.w0, to.w1, to.w2, to.w3, ipv4.PROTOCOL_TCP, length);
  },
};

function address(packet: InboundPacket, version: number, from: IpAddress, to: IpAddress): void {
  packet.version = version;
  packet.source0 = from.w0;
  packet.source1 = from.w1;
  packet.source2 = from.w2;
  packet.source3 = from.w3;
  packet.destination0 = to.w0;
  packet.destination1 = to.w1;
  packet.destination2 = to.w2;
  packet.destination3 = to.w3;
}

export function versionOf({ ipv6: speaksIpv6 }: { readonly ipv6: boolean }): Version {
  return speaksIpv6 ? VERSION_6 : VERSION_4;
}

/** That of a frame. */
export function versionOfFrame(frame: Uint8Array): Version {
  return ethernet.type(frame, 0) === ethernet.TYPE_IPV6 ? VERSION_6 : VERSION_4;
}

/** Reads a frame's headers and segment, whose checksum must be right where `checks` says so. */
export function readFrame(version: Version, packet: InboundPacket, bytes: Uint8Array, at: number, end: number, checks: boolean): void {
  const type = version === VERSION_6 ? ethernet.TYPE_IPV6 : ethernet.TYPE_IPV4;
  if (ethernet.type(bytes, at) !== type) throw new Fault('a frame of another version of IP');
  version.read(packet, bytes, at + ethernet.HEADER, end, checks);
  packet.bytes = bytes;
  packet.header = at + ethernet.HEADER;
  packet.payload = at + version.headers;
  packet.end = end;
  packet.protocol = ipv4.PROTOCOL_TCP;
  if (!checks) return;
  const length = end - packet.payload;
  const from = new IpAddress(packet.source0, packet.source1, packet.source2, packet.source3);
  const to = new IpAddress(packet.destination0, packet.destination1, packet.destination2, packet.destination3);
  if (sum(bytes, packet.payload, length, version.pseudo(from, to, length)) !== 0xffff) throw new Fault('a frame has a wrong TCP checksum');
}
