/** IPv6 header (RFC 8200 §3) and fragment header (§4.5). Field offsets on (bytes, header offset); addresses are four signed words. */
import { i32, setU16, setU32, u16 } from './bytes.ts';

/** Length of the header without extensions. */
export const HEADER = 40;
export const FRAGMENT_HEADER = 8;
/** RFC 8200 §5: what every link carries whole. */
export const MINIMUM_MTU = 1280;

export const HOP_BY_HOP = 0;
export const ROUTING = 43;
export const FRAGMENT = 44;
export const PROTOCOL_ICMPV6 = 58;
export const NO_NEXT_HEADER = 59;
export const DESTINATION_OPTIONS = 60;

/** Offsets of header fields, for the pointer of a parameter problem. */
export const AT_PAYLOAD_LENGTH = 4;
export const AT_NEXT_HEADER = 6;

const SOURCE = 8;
const DESTINATION = 24;

export function version(bytes: Uint8Array, at: number): number {
  return bytes[at]! >>> 4;
}

/** Bytes behind the header, extensions included. */
export function payloadLength(bytes: Uint8Array, at: number): number {
  return u16(bytes, at + AT_PAYLOAD_LENGTH);
}

export function nextHeader(bytes: Uint8Array, at: number): number {
  return bytes[at + AT_NEXT_HEADER]!;
}

export function hopLimit(bytes: Uint8Array, at: number): number {
  return bytes[at + 7]!;
}

/** Word 0 to 3 of the source. */
export function source(bytes: Uint8Array, at: number, word: number): number {
  return i32(bytes, at + SOURCE + 4 * word);
}

/** Word 0 to 3 of the destination. */
export function destination(bytes: Uint8Array, at: number, word: number): number {
  return i32(bytes, at + DESTINATION + 4 * word);
}

/** Writes the header; `length` is that of what follows it. */
export function write(
  bytes: Uint8Array,
  at: number,
  length: number,
  next: number,
  hops: number,
  s0: number,
  s1: number,
  s2: number,
  s3: number,
  d0: number,
  d1: number,
  d2: number,
  d3: number,
): void {
  setU32(bytes, at, 0x60000000);
  setU16(bytes, at + 4, length);
  setU16(bytes, at + 6, (next << 8) | hops);
  setU32(bytes, at + 8, s0);
  setU32(bytes, at + 12, s1);
  setU32(bytes, at + 16, s2);
  setU32(bytes, at + 20, s3);
  setU32(bytes, at + 24, d0);
  setU32(bytes, at + 28, d1);
  setU32(bytes, at + 32, d2);
  setU32(bytes, at + 36, d3);
}

/** Of a fragment header: where the piece begins in the fragmentable part, in bytes. */
export function fragmentOffset(bytes: Uint8Array, at: number): number {
  return u16(bytes, at + 2) & 0xfff8;
}

/** Of a fragment header: more pieces follow. */
export function moreFragments(bytes: Uint8Array, at: number): boolean {
  return (bytes[at + 3]! & 1) !== 0;
}

/** Of a fragment header. */
export function identification(bytes: Uint8Array, at: number): number {
  return i32(bytes, at + 4);
}

/** Writes a fragment header; `offset` in bytes, a multiple of eight. */
export function writeFragment(bytes: Uint8Array, at: number, next: number, offset: number, more: boolean, id: number): void {
  setU16(bytes, at, next << 8);
  setU16(bytes, at + 2, offset | (more ? 1 : 0));
  setU32(bytes, at + 4, id);
}

/** ff00::/8. */
export function isMulticast(w0: number): boolean {
  return w0 >>> 24 === 0xff;
}

/** fe80::/10. */
export function isLinkLocal(w0: number): boolean {
  return w0 >>> 22 === 0x3fa;
}

/**
 * ::, ::1, IPv4-compatible and IPv4-mapped addresses (RFC 4291 §2.5): none is ever seen on a wire, and a mapped one would be
 * taken for the IPv4 address it stands for.
 */
export function isReserved(w0: number, w1: number, w2: number): boolean {
  return w0 === 0 && w1 === 0 && (w2 === 0 || w2 === 0xffff);
}

/** The third word of an address that a guest with this MAC address makes itself (RFC 4291 appendix A: modified EUI-64). */
export function interfaceHigh(macHi: number, macLo: number): number {
  return ((macHi ^ 0x0200) << 16) | ((macLo >>> 24) << 8) | 0xff;
}

/** The fourth word of such an address. */
export function interfaceLow(macLo: number): number {
  return 0xfe000000 | (macLo & 0xffffff);
}
