/** IPv4 header (RFC 791 §3.1). Field offsets on (bytes, header offset). */
import { i32, setU16, setU32, u16 } from './bytes.ts';
import { finish, sum } from './checksum.ts';

/** Length of a header without options. */
export const HEADER = 20;

export const PROTOCOL_ICMP = 1;
export const PROTOCOL_TCP = 6;
export const PROTOCOL_UDP = 17;

export const FLAG_DF = 0x4000;
export const FLAG_MF = 0x2000;
export const OFFSET_MASK = 0x1fff;

export function version(bytes: Uint8Array, at: number): number {
  return bytes[at]! >>> 4;
}

/** In bytes, options included. */
export function headerLength(bytes: Uint8Array, at: number): number {
  return (bytes[at]! & 15) * 4;
}

export function totalLength(bytes: Uint8Array, at: number): number {
  return u16(bytes, at + 2);
}

export function identification(bytes: Uint8Array, at: number): number {
  return u16(bytes, at + 4);
}

/** Flags and fragment offset together; the offset is in units of eight bytes. */
export function fragment(bytes: Uint8Array, at: number): number {
  return u16(bytes, at + 6);
}

export function ttl(bytes: Uint8Array, at: number): number {
  return bytes[at + 8]!;
}

export function protocol(bytes: Uint8Array, at: number): number {
  return bytes[at + 9]!;
}

/** As a signed word. */
export function source(bytes: Uint8Array, at: number): number {
  return i32(bytes, at + 12);
}

/** As a signed word. */
export function destination(bytes: Uint8Array, at: number): number {
  return i32(bytes, at + 16);
}

/** Writes a 20-byte header with its checksum; `flags` is the flags-and-offset word. */
export function write(
  bytes: Uint8Array,
  at: number,
  length: number,
  id: number,
  flags: number,
  timeToLive: number,
  proto: number,
  from: number,
  to: number,
): void {
  setU16(bytes, at, 0x4500);
  setU16(bytes, at + 2, length);
  setU16(bytes, at + 4, id);
  setU16(bytes, at + 6, flags);
  setU16(bytes, at + 8, (timeToLive << 8) | proto);
  setU16(bytes, at + 10, 0);
  setU32(bytes, at + 12, from);
  setU32(bytes, at + 16, to);
  setU16(bytes, at + 10, finish(sum(bytes, at, HEADER)));
}
