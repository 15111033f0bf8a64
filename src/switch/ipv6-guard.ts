/**
 * Holds VMs to the IPv6 addresses that they have (ipv6-holders.ts): IPv6 source guard and inspection of neighbour discovery.
 *
 *     packets          from an address that the VM has; from :: to ask for a router, to test an address, and to tell of groups
 *     tests (DAD)      of addresses that are free, or another's who can answer; not while that one tests it himself
 *     solicitations    and answers, with the VM's own MAC address in them; answers only about addresses that it has
 *     redirects        never
 */
import { i32, u16 } from '../packet/bytes.ts';
import * as icmpv6 from '../packet/icmpv6.ts';
import * as ipv6 from '../packet/ipv6.ts';
import * as ndp from '../packet/ndp.ts';
import type { Port } from '../link/port.ts';
import type { Ipv6Headers } from './ipv6-headers.ts';
import { type HoldersOptions, Ipv6Holders } from './ipv6-holders.ts';

/** Milliseconds that a kernel waits for objections to an address that it tests (RFC 4862 §5.4: about one second), and some more. */
const TEST = 2000;
const CHECKSUM = 2;
/** Options of neighbour discovery that hold a link-layer address (RFC 4861 §4.6.1). */
const SOURCE_ADDRESS = 1;
const TARGET_ADDRESS = 2;

export class Ipv6Guard {
  readonly holders: Ipv6Holders;
  readonly #bytes: Uint8Array;
  readonly #now: () => number;

  constructor(bytes: Uint8Array, options: HoldersOptions) {
    this.#bytes = bytes;
    this.#now = options.now;
    this.holders = new Ipv6Holders(options);
  }

  /** Whether `port` may send the packet at `at`, whose headers are `headers`. `open`: where a checksum will be written. */
  admits(port: Port, hi: number, lo: number, at: number, end: number, headers: Ipv6Headers, open: number): boolean {
    const bytes = this.#bytes;
    const s0 = ipv6.source(bytes, at, 0);
    const s1 = ipv6.source(bytes, at, 1);
    const s2 = ipv6.source(bytes, at, 2);
    const s3 = ipv6.source(bytes, at, 3);
    const isNobody = (s0 | s1 | s2 | s3) === 0;
    if (!isNobody && this.holders.claim(s0, s1, s2, s3, port, hi, lo) === null) return false;
    if (headers.protocol !== ipv6.PROTOCOL_ICMPV6 || headers.fragmented) return !isNobody;
    const message = headers.payload;
    const type = bytes[message]!;
    if (type < ndp.ROUTER_SOLICITATION || type > ndp.REDIRECT) {
      return !isNobody || type === icmpv6.LISTENER_REPORT || type === icmpv6.LISTENER_REPORT_2;
    }
    // All of it was looked at: only the checksum itself may be written.
    if (open !== Infinity && open !== message + CHECKSUM) return false;
    const last = at + ipv6.HEADER + ipv6.payloadLength(bytes, at);
    return last <= end && this.#discovery(port, hi, lo, type, message, last, isNobody);
  }

  #discovery(port: Port, hi: number, lo: number, type: number, message: number, end: number, isNobody: boolean): boolean {
    const smallest = type === ndp.ROUTER_SOLICITATION ? ndp.SOLICITATION : ndp.NEIGHBOUR_MESSAGE;
    if (type === ndp.REDIRECT || message + smallest > end || !this.#isOwn(hi, lo, message + smallest, end)) return false;
    if (type === ndp.ROUTER_SOLICITATION) return true;
    const bytes = this.#bytes;
    const at = message + ndp.TARGET;
    const t0 = i32(bytes, at);
    const t1 = i32(bytes, at + 4);
    const t2 = i32(bytes, at + 8);
    const t3 = i32(bytes, at + 12);
    if (type === ndp.NEIGHBOUR_ADVERTISEMENT) return !isNobody && this.holders.claim(t0, t1, t2, t3, port, hi, lo) !== null;
    return !isNobody || this.#test(port, hi, lo, t0, t1, t2, t3);
  }

  /** A VM asks whether somebody has an address that it wants: only who has it is to hear of that, and not while he is asking himself. */
  #test(port: Port, hi: number, lo: number, t0: number, t1: number, t2: number, t3: number): boolean {
    const { holders } = this;
    if (holders.isGateway(t0, t1, t2, t3)) return true;
    if (!holders.isOnLink(t0, t1) || holders.isKept(t0, t1, t2, t3, port, hi, lo)) return false;
    const own = holders.claim(t0, t1, t2, t3, port, hi, lo);
    if (own !== null) {
      own.tested = this.#now();
      return true;
    }
    const holder = holders.find(t0, t1, t2, t3);
    return holder !== null && this.#now() - holder.tested >= TEST;
  }

  /** Link-layer addresses in options are the sender's own; options have a length, and end with the message. */
  #isOwn(hi: number, lo: number, at: number, end: number): boolean {
    const bytes = this.#bytes;
    while (at < end) {
      const length = end - at < 2 ? 0 : bytes[at + 1]! * 8;
      if (length === 0 || length > end - at) return false;
      const option = bytes[at]!;
      const isAddress = option === SOURCE_ADDRESS || option === TARGET_ADDRESS;
      if (isAddress && (length !== 8 || u16(bytes, at + 2) !== hi || i32(bytes, at + 4) !== lo)) return false;
      at += length;
    }
    return true;
  }
}
