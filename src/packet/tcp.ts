/** TCP header (RFC 9293 §3.1). Sequence numbers are signed words: compare them with `seqLess`, never with `<`. */
import { i32, setU16, setU32, u16 } from './bytes.ts';

/** Length of a header without options. */
export const HEADER = 20;

/** Where the checksum stands in the header. */
export const CHECKSUM = 16;

export const FIN = 1;
export const SYN = 2;
export const RST = 4;
export const PSH = 8;
export const ACK = 16;
export const URG = 32;

export function sourcePort(bytes: Uint8Array, at: number): number {
  return u16(bytes, at);
}

export function destinationPort(bytes: Uint8Array, at: number): number {
  return u16(bytes, at + 2);
}

export function sequence(bytes: Uint8Array, at: number): number {
  return i32(bytes, at + 4);
}

export function acknowledgment(bytes: Uint8Array, at: number): number {
  return i32(bytes, at + 8);
}

/** In bytes, options included. */
export function headerLength(bytes: Uint8Array, at: number): number {
  return (bytes[at + 12]! >>> 4) * 4;
}

export function flags(bytes: Uint8Array, at: number): number {
  return bytes[at + 13]!;
}

/** Unscaled. */
export function window(bytes: Uint8Array, at: number): number {
  return u16(bytes, at + 14);
}

/** Writes header fields with a zero checksum and urgent pointer; options follow at `at + HEADER`. */
export function write(
  bytes: Uint8Array,
  at: number,
  from: number,
  to: number,
  seq: number,
  ack: number,
  length: number,
  flagBits: number,
  unscaledWindow: number,
): void {
  setU16(bytes, at, from);
  setU16(bytes, at + 2, to);
  setU32(bytes, at + 4, seq);
  setU32(bytes, at + 8, ack);
  bytes[at + 12] = (length >>> 2) << 4;
  bytes[at + 13] = flagBits;
  setU16(bytes, at + 14, unscaledWindow);
  setU32(bytes, at + 16, 0);
}

export function setChecksum(bytes: Uint8Array, at: number, value: number): void {
  setU16(bytes, at + 16, value);
}

/** a < b in sequence space (RFC 9293 §3.4). */
export function seqLess(a: number, b: number): boolean {
  return ((a - b) | 0) < 0;
}

/** a <= b in sequence space. */
export function seqLessEqual(a: number, b: number): boolean {
  return ((a - b) | 0) <= 0;
}
