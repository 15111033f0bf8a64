/** ICMP for IPv6 (RFC 4443): type, code, checksum over pseudo header and message, four bytes that depend on the type, then data. */

export const HEADER = 8;

export const UNREACHABLE = 1;
export const PACKET_TOO_BIG = 2;
export const TIME_EXCEEDED = 3;
export const PARAMETER_PROBLEM = 4;
export const ECHO_REQUEST = 128;
export const ECHO_REPLY = 129;
/** Multicast listeners (RFC 2710, RFC 3810): query, report, done, report of version 2. */
export const LISTENER_QUERY = 130;
export const LISTENER_REPORT = 131;
export const LISTENER_DONE = 132;
export const LISTENER_REPORT_2 = 143;

/** Codes of UNREACHABLE (RFC 4443 §3.1). */
export const CODE_NO_ROUTE = 0;
export const CODE_PROHIBITED = 1;
export const CODE_ADDRESS = 3;
export const CODE_PORT = 4;

/** Codes of PARAMETER_PROBLEM (RFC 4443 §3.4). */
export const CODE_FIELD = 0;
export const CODE_NEXT_HEADER = 1;
export const CODE_OPTION = 2;

/** RFC 4443 §2.1: errors, which must never be answered with an error. */
export function isError(messageType: number): boolean {
  return messageType < 128;
}

/** Of PACKET_TOO_BIG: the next hop's MTU in bytes. */
export function mtu(bytes: Uint8Array, at: number): number {
  return ((bytes[at + 4]! << 24) | (bytes[at + 5]! << 16) | (bytes[at + 6]! << 8) | bytes[at + 7]!) >>> 0;
}
