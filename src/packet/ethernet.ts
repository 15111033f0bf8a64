/**
 * Ethernet II header (IEEE 802.3 without FCS): destination 6, source 6, ethertype 2.
 *
 * A MAC address is two integers: `hi`, its first two bytes, and `lo`, its last four as a signed 32-bit word.
 */
import { i32, setU16, setU32, u16 } from './bytes.ts';

export const HEADER = 14;
export const DESTINATION = 0;
export const SOURCE = 6;

/** First two bytes of the addresses of IPv6's groups (RFC 2464 §7); the rest are the last four of the group. */
export const IPV6_GROUP = 0x3333;

export const TYPE_IPV4 = 0x0800;
export const TYPE_ARP = 0x0806;
export const TYPE_IPV6 = 0x86dd;
export const TYPE_VLAN = 0x8100;
export const TYPE_SERVICE_VLAN = 0x88a8;
/** IEEE 802.3 §3.2.6: up to here the type is a length, and LLC follows. */
export const LONGEST_LLC = 1500;
/** LLC's two addresses where a SNAP header follows, which any protocol can be in (RFC 1042). */
export const SNAP = 0xaaaa;

export function type(bytes: Uint8Array, at: number): number {
  return u16(bytes, at + 12);
}

/** `field` is DESTINATION or SOURCE. */
export function macHi(bytes: Uint8Array, at: number, field: number): number {
  return u16(bytes, at + field);
}

export function macLo(bytes: Uint8Array, at: number, field: number): number {
  return i32(bytes, at + field + 2);
}

export function setMac(bytes: Uint8Array, at: number, field: number, hi: number, lo: number): void {
  setU16(bytes, at + field, hi);
  setU32(bytes, at + field + 2, lo);
}

/** Writes the whole header. */
export function write(bytes: Uint8Array, at: number, toHi: number, toLo: number, fromHi: number, fromLo: number, etherType: number): void {
  setU16(bytes, at, toHi);
  setU32(bytes, at + 2, toLo);
  setU16(bytes, at + 6, fromHi);
  setU32(bytes, at + 8, fromLo);
  setU16(bytes, at + 12, etherType);
}

export function isBroadcast(hi: number, lo: number): boolean {
  return hi === 0xffff && lo === -1;
}

/** Group bit: broadcast and multicast destinations. */
export function isGroup(hi: number): boolean {
  return (hi & 0x0100) !== 0;
}
