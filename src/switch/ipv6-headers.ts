/** What guards must know of an IPv6 packet: what stands behind its extension headers, where it could hide. */
import { u16 } from '../packet/bytes.ts';
import * as ethernet from '../packet/ethernet.ts';
import * as ipv6 from '../packet/ipv6.ts';
import { ROUTER_ADVERTISEMENT } from '../packet/ndp.ts';

/** RFC 8200 §4.1: what may stand in front of a transport, and how many of them are looked at. */
const EXTENSIONS: readonly number[] = [ipv6.HOP_BY_HOP, ipv6.ROUTING, ipv6.DESTINATION_OPTIONS];
const EXTENSION_LIMIT = 8;

/** Bytes of an ICMPv6 message's type and code. */
const FIRST_WORD = 2;

/** The identifier in a VLAN tag: 0 is a priority alone, which a kernel passes over whatever VLANs it has (IEEE 802.1Q §9.6). */
const VLAN_IDENTIFIER = 0xfff;
/** RFC 1042: LLC's addresses and control, an organization, a type. */
const SNAP_HEADER = 8;

/**
 * Where the IPv6 packet begins in the frame from `at` to `end`, behind priority tags and SNAP headers, in which some systems look as well
 * (CVE-2021-27853); -1 when there is none; `end` when that can't be told, since a checksum will be written at `open`.
 */
export function ipv6In(bytes: Uint8Array, at: number, end: number, open: number): number {
  let type = ethernet.type(bytes, at);
  let packet = at + ethernet.HEADER;
  while (type !== ethernet.TYPE_IPV6) {
    const isTag = type === ethernet.TYPE_VLAN || type === ethernet.TYPE_SERVICE_VLAN;
    const size = isTag ? 4 : SNAP_HEADER;
    if ((!isTag && type > ethernet.LONGEST_LLC) || packet + size > end) return -1;
    if (open < packet + size) return end;
    if (isTag ? (u16(bytes, packet) & VLAN_IDENTIFIER) !== 0 : u16(bytes, packet) !== ethernet.SNAP) return -1;
    packet += size;
    type = u16(bytes, packet - 2);
  }
  return packet;
}

export class Ipv6Headers {
  protocol = 0;
  /** Arena offset of what has that protocol. */
  payload = 0;
  fragmented = false;
  /** A fragment other than the first: what begins at `payload` has no header. */
  isRest = false;

  /** Reads the packet at `at`. False when it is cut off, or has more extension headers than anyone needs. */
  read(bytes: Uint8Array, at: number, end: number): boolean {
    this.fragmented = this.isRest = false;
    if (at + ipv6.HEADER > end) return false;
    this.protocol = ipv6.nextHeader(bytes, at);
    this.payload = at + ipv6.HEADER;
    for (let i = 0; this.protocol === ipv6.FRAGMENT || EXTENSIONS.includes(this.protocol); i++) {
      if (i === EXTENSION_LIMIT || this.payload + 8 > end) return false;
      const isFragment = this.protocol === ipv6.FRAGMENT;
      const header = this.payload;
      this.payload += isFragment ? ipv6.FRAGMENT_HEADER : 8 + bytes[header + 1]! * 8;
      this.fragmented ||= isFragment;
      this.isRest = isFragment && ipv6.fragmentOffset(bytes, header) !== 0;
      if (this.isRest) return true;
      this.protocol = bytes[header]!;
    }
    return true;
  }

  /**
   * False for what says that its VM is a router, or can't be told from that; `open` is where a checksum will be written. One in
   * fragments needs no look: nobody takes it (RFC 6980).
   */
  isNoRouter(bytes: Uint8Array, end: number, open: number): boolean {
    if (this.protocol !== ipv6.PROTOCOL_ICMPV6 || this.isRest) return true;
    if (open < this.payload + FIRST_WORD) return false;
    return this.fragmented || (this.payload < end && bytes[this.payload] !== ROUTER_ADVERTISEMENT);
  }

  /** UDP ports, for a packet whose protocol that is; `end` bounds both. */
  sourcePort(bytes: Uint8Array): number {
    return u16(bytes, this.payload);
  }

  destinationPort(bytes: Uint8Array): number {
    return u16(bytes, this.payload + 2);
  }
}
