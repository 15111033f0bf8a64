/** UDP header (RFC 768). */
import { setU16, u16 } from './bytes.ts';

export const HEADER = 8;

export function sourcePort(bytes: Uint8Array, at: number): number {
  return u16(bytes, at);
}

export function destinationPort(bytes: Uint8Array, at: number): number {
  return u16(bytes, at + 2);
}

/** Header and payload, in bytes, as the sender claims. */
export function length(bytes: Uint8Array, at: number): number {
  return u16(bytes, at + 4);
}

export function setChecksum(bytes: Uint8Array, at: number, value: number): void {
  // RFC 768: a computed zero is sent as all ones, because zero means "no checksum".
  setU16(bytes, at + 6, value === 0 ? 0xffff : value);
}

/** Writes the header with a zero checksum field. */
export function write(bytes: Uint8Array, at: number, from: number, to: number, total: number): void {
  setU16(bytes, at, from);
  setU16(bytes, at + 2, to);
  setU16(bytes, at + 4, total);
  setU16(bytes, at + 6, 0);
}
