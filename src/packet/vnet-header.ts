/**
 * virtio-net header: what a frame leaves to whoever sends it on (virtio 1.3 §5.1.6; TAP's IFF_VNET_HDR). Little-endian, 12 bytes.
 *
 *     0 flags | 1 gso type | 2 header length | 4 gso size | 6 checksum start | 8 checksum offset | 10 buffers
 *
 * With NEEDS_CHECKSUM the checksum field holds the sum of the pseudo header, not inverted, and everything from `checksum start`
 * on is still to be added. A gso type says that the frame stands for several, each with `gso size` bytes of payload.
 */
import { HEADER as ETHERNET_HEADER } from './ethernet.ts';

export const VNET_HEADER = 12;

export const NEEDS_CHECKSUM = 1;

export const GSO_NONE = 0;
export const GSO_TCPV4 = 1;
export const GSO_TCPV6 = 4;
export const GSO_UDP_L4 = 5;
/** Beside a TCP type: the first segment alone carries CWR (RFC 3168). */
export const GSO_ECN = 0x80;

export function flags(bytes: Uint8Array, at: number): number {
  return bytes[at]!;
}

/** GSO_…, without GSO_ECN. */
export function gsoType(bytes: Uint8Array, at: number): number {
  return bytes[at + 1]! & ~GSO_ECN;
}

/** Bytes of payload in each frame but the last. */
export function gsoSize(bytes: Uint8Array, at: number): number {
  return little(bytes, at + 4);
}

/** From the beginning of the frame. */
export function checksumStart(bytes: Uint8Array, at: number): number {
  return little(bytes, at + 6);
}

/** From the checksum's start. */
export function checksumOffset(bytes: Uint8Array, at: number): number {
  return little(bytes, at + 8);
}

/** The frame is complete as it is. One buffer: virtio drivers want it said. */
export function clear(bytes: Uint8Array, at: number): void {
  bytes.fill(0, at, at + VNET_HEADER);
  bytes[at + 10] = 1;
}

/** The TCP or UDP checksum at `start` + `offset` is to be completed; `gso` is GSO_NONE for a single frame, then `size` is 0. */
export function write(bytes: Uint8Array, at: number, gso: number, header: number, size: number, start: number, offset: number): void {
  bytes[at] = NEEDS_CHECKSUM;
  bytes[at + 1] = gso;
  setLittle(bytes, at + 2, header);
  setLittle(bytes, at + 4, size);
  setLittle(bytes, at + 6, start);
  setLittle(bytes, at + 8, offset);
  setLittle(bytes, at + 10, 1);
}

/** What a VM says of its frame of `length` bytes can be done: known types, and everything inside the frame. */
export function isPossible(bytes: Uint8Array, at: number, length: number): boolean {
  const type = gsoType(bytes, at);
  if ((flags(bytes, at) & NEEDS_CHECKSUM) === 0) return type === GSO_NONE;
  const start = checksumStart(bytes, at);
  if (start < ETHERNET_HEADER || start + checksumOffset(bytes, at) + 2 > length) return false;
  if (type === GSO_NONE) return true;
  return (type === GSO_TCPV4 || type === GSO_TCPV6 || type === GSO_UDP_L4) && gsoSize(bytes, at) > 0;
}

function little(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8);
}

function setLittle(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
}
