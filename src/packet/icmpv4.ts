/** ICMP for IPv4 (RFC 792): type, code, checksum, four bytes that depend on the type, then data. */
import { setU16, setU32, u16 } from './bytes.ts';

export const HEADER = 8;

export const ECHO_REPLY = 0;
export const UNREACHABLE = 3;
export const ECHO_REQUEST = 8;
export const TIME_EXCEEDED = 11;
export const PARAMETER_PROBLEM = 12;

/** Codes of UNREACHABLE (RFC 792, RFC 1122 §3.2.2.1). */
export const CODE_NET = 0;
export const CODE_HOST = 1;
export const CODE_PROTOCOL = 2;
export const CODE_PORT = 3;
export const CODE_FRAGMENTATION_NEEDED = 4;
export const CODE_PROHIBITED = 13;

export function type(bytes: Uint8Array, at: number): number {
  return bytes[at]!;
}

export function code(bytes: Uint8Array, at: number): number {
  return bytes[at + 1]!;
}

/** Of an echo message. */
export function identifier(bytes: Uint8Array, at: number): number {
  return u16(bytes, at + 4);
}

/** Of an echo message. */
export function sequence(bytes: Uint8Array, at: number): number {
  return u16(bytes, at + 6);
}

/** Next-hop MTU of CODE_FRAGMENTATION_NEEDED (RFC 1191 §4). */
export function nextHopMtu(bytes: Uint8Array, at: number): number {
  return u16(bytes, at + 6);
}

/** RFC 1122 §3.2.2: messages about errors, which must never be answered with an error. */
export function isError(messageType: number): boolean {
  return (
    messageType === UNREACHABLE ||
    messageType === 4 ||
    messageType === 5 ||
    messageType === TIME_EXCEEDED ||
    messageType === PARAMETER_PROBLEM
  );
}

/** Writes the header with a zero checksum; `rest` is the word behind it. */
export function write(bytes: Uint8Array, at: number, messageType: number, messageCode: number, rest: number): void {
  bytes[at] = messageType;
  bytes[at + 1] = messageCode;
  setU16(bytes, at + 2, 0);
  setU32(bytes, at + 4, rest);
}

export function setChecksum(bytes: Uint8Array, at: number, value: number): void {
  setU16(bytes, at + 2, value);
}
