/** What guards must know of an IPv6 packet: what stands behind its extension headers, where it could hide. */
import { u16 } from '../packet/bytes.ts';
import * as ipv6 from '../packet/ipv6.ts';
import { ROUTER_ADVERTISEMENT } from '../packet/ndp.ts';

/** RFC 8200 §4.1: what may stand in front of a transport, and how many of them are looked at. */
const EXTENSIONS: readonly number[] = [ipv6.HOP_BY_HOP, ipv6.ROUTING, ipv6.DESTINATION_OPTIONS];
const EXTENSION_LIMIT = 8;

/** Bytes of an ICMPv6 message's type and code. */
const FIRST_WORD = 2;

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
