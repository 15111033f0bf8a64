/**
 * Walks the extension headers of an IPv6 packet up to its transport, or up to a fragment header (RFC 8200 §4).
 *
 * Options are judged by the two bits that say what to do with one that is not known (§4.2): none is known here. What a chain may
 * be is limited, since each header costs time and no guest needs many.
 */
import { DESTINATION_OPTIONS, FRAGMENT, FRAGMENT_HEADER, HOP_BY_HOP, ROUTING } from './ipv6.ts';

/** Headers, and bytes of them all, in one packet. */
export const EXTENSION_LIMIT = 8;
export const EXTENSION_BYTES = 256;

/** What is wrong with a chain. */
export type ExtensionFault = (typeof ExtensionFault)[keyof typeof ExtensionFault];
export const ExtensionFault = {
  NONE: 0,
  /** It runs past the end of the packet. */
  CUT: 1,
  /** Too many headers, or too long ones. */
  LIMIT: 2,
  /** A value that may not be: parameter problem code 0. */
  FIELD: 3,
  /** A header where it may not be: parameter problem code 1. */
  NEXT_HEADER: 4,
  /** An option that asks for a parameter problem, code 2. */
  OPTION: 5,
  /** The same, but not when the packet was sent to a group. */
  OPTION_UNICAST: 6,
  /** An option that asks for the packet to be dropped and nothing more. */
  OPTION_SILENT: 7,
} as const;

const PADDING = 0;

/** Reused from packet to packet. */
export class ExtensionWalk {
  /** Of the header that the walk ended at: a transport's, or FRAGMENT. */
  protocol = 0;
  /** Where that header begins. */
  payload = 0;
  fault: ExtensionFault = ExtensionFault.NONE;
  /** Where the octet stands that names `protocol`; with a fault, what the fault is about. */
  pointer = 0;

  /**
   * From the header at `at`, of the kind that the octet at `namedAt` says, to at most `end`. `first`: it stands right behind the
   * IPv6 header, where alone hop-by-hop options may. False when there is a fault.
   */
  walk(bytes: Uint8Array, at: number, end: number, namedAt: number, first: boolean): boolean {
    const start = at;
    let next = bytes[namedAt]!;
    let headers = 0;
    this.fault = ExtensionFault.NONE;
    while (next === HOP_BY_HOP || next === ROUTING || next === DESTINATION_OPTIONS) {
      if (next === HOP_BY_HOP && (!first || headers > 0)) return this.#fail(ExtensionFault.NEXT_HEADER, namedAt);
      if (end - at < 8) return this.#fail(ExtensionFault.CUT, at);
      const length = 8 + bytes[at + 1]! * 8;
      if (length > end - at) return this.#fail(ExtensionFault.CUT, at);
      if (++headers > EXTENSION_LIMIT || at + length - start > EXTENSION_BYTES) return this.#fail(ExtensionFault.LIMIT, at);
      if (next === ROUTING) {
        // RFC 8200 §4.4: with segments left it wants a router, which we are not (RFC 5095); without, it is passed over.
        if (bytes[at + 3] !== 0) return this.#fail(ExtensionFault.FIELD, at + 2);
      } else if (!this.#options(bytes, at + 2, at + length)) return false;
      next = bytes[at]!;
      namedAt = at;
      at += length;
    }
    if (next === FRAGMENT && end - at < FRAGMENT_HEADER) return this.#fail(ExtensionFault.CUT, at);
    this.protocol = next;
    this.payload = at;
    this.pointer = namedAt;
    return true;
  }

  #options(bytes: Uint8Array, at: number, end: number): boolean {
    while (at < end) {
      const type = bytes[at]!;
      if (type === PADDING) {
        at++;
        continue;
      }
      if (end - at < 2 || at + 2 + bytes[at + 1]! > end) return this.#fail(ExtensionFault.FIELD, at);
      const action = type >>> 6;
      if (action === 1) return this.#fail(ExtensionFault.OPTION_SILENT, at);
      if (action === 2) return this.#fail(ExtensionFault.OPTION, at);
      if (action === 3) return this.#fail(ExtensionFault.OPTION_UNICAST, at);
      at += 2 + bytes[at + 1]!;
    }
    return true;
  }

  #fail(fault: ExtensionFault, pointer: number): false {
    this.fault = fault;
    this.pointer = pointer;
    return false;
  }
}
