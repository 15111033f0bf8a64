/** ARP for IPv4 over Ethernet (RFC 826): 28 bytes behind the Ethernet header. */
import { i32, setU16, setU32, u16 } from './bytes.ts';

export const LENGTH = 28;
export const REQUEST = 1;
export const REPLY = 2;

/** Hardware type Ethernet, protocol type IPv4, address lengths 6 and 4. The caller has checked that LENGTH bytes are there. */
export function isIpv4OverEthernet(bytes: Uint8Array, at: number): boolean {
  return i32(bytes, at) === 0x00010800 && u16(bytes, at + 4) === 0x0604;
}

export function operation(bytes: Uint8Array, at: number): number {
  return u16(bytes, at + 6);
}

export function senderMacHi(bytes: Uint8Array, at: number): number {
  return u16(bytes, at + 8);
}

export function senderMacLo(bytes: Uint8Array, at: number): number {
  return i32(bytes, at + 10);
}

export function senderAddress(bytes: Uint8Array, at: number): number {
  return i32(bytes, at + 14);
}

export function targetAddress(bytes: Uint8Array, at: number): number {
  return i32(bytes, at + 24);
}

export function write(
  bytes: Uint8Array,
  at: number,
  op: number,
  senderHi: number,
  senderLo: number,
  sender: number,
  targetHi: number,
  targetLo: number,
  target: number,
): void {
  setU32(bytes, at, 0x00010800);
  setU16(bytes, at + 4, 0x0604);
  setU16(bytes, at + 6, op);
  setU16(bytes, at + 8, senderHi);
  setU32(bytes, at + 10, senderLo);
  setU32(bytes, at + 14, sender);
  setU16(bytes, at + 18, targetHi);
  setU32(bytes, at + 20, targetLo);
  setU32(bytes, at + 24, target);
}
