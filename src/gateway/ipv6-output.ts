/** Sends IPv6 packets of any size to guests: one frame where it fits, fragments where it does not (RFC 8200 §4.5). */
import * as ethernet from '../packet/ethernet.ts';
import * as ipv6 from '../packet/ipv6.ts';
import type { Mac } from '../packet/mac.ts';
import type { Arena } from '../runtime/arena.ts';
import type { Random } from '../runtime/clock.ts';
import type { Neighbour } from './neighbour.ts';

const HOPS = 64;
const HEADERS = ethernet.HEADER + ipv6.HEADER;

export class Ipv6Output {
  readonly #bytes: Uint8Array;
  readonly #mac: Mac;
  readonly #mtu: number;
  #identification: number;

  constructor(arena: Arena, mac: Mac, mtu: number, random: Random) {
    this.#bytes = arena.bytes;
    this.#mac = mac;
    this.#mtu = mtu;
    this.#identification = random.word();
  }

  /** Sends `length` payload bytes at arena offset `at`. All fragments or none: false when the port has no room for the whole, or the guest is gone. */
  send(
    to: Neighbour,
    s0: number,
    s1: number,
    s2: number,
    s3: number,
    d0: number,
    d1: number,
    d2: number,
    d3: number,
    protocol: number,
    at: number,
    length: number,
    hops: number = HOPS,
  ): boolean {
    const { port } = to;
    if (port === null) return false;
    const bytes = this.#bytes;
    if (ipv6.HEADER + length <= this.#mtu) {
      const claim = port.claim(port.headroom + HEADERS + length);
      if (claim < 0) return false;
      const frame = claim + port.headroom;
      this.#ethernet(frame, to);
      ipv6.write(bytes, frame + ethernet.HEADER, length, protocol, hops, s0, s1, s2, s3, d0, d1, d2, d3);
      bytes.copyWithin(frame + HEADERS, at, at + length);
      port.commit(frame, HEADERS + length);
      return true;
    }
    const piece = (this.#mtu - ipv6.HEADER - ipv6.FRAGMENT_HEADER) & ~7;
    const overhead = HEADERS + ipv6.FRAGMENT_HEADER;
    if (port.claim(Math.ceil(length / piece) * (port.headroom + overhead) + length) < 0) return false;
    this.#identification = (this.#identification + 1) | 0;
    for (let offset = 0; offset < length; offset += piece) {
      const size = Math.min(piece, length - offset);
      const frame = port.claim(port.headroom + overhead + size) + port.headroom;
      const header = frame + ethernet.HEADER;
      this.#ethernet(frame, to);
      ipv6.write(bytes, header, ipv6.FRAGMENT_HEADER + size, ipv6.FRAGMENT, hops, s0, s1, s2, s3, d0, d1, d2, d3);
      ipv6.writeFragment(bytes, header + ipv6.HEADER, protocol, offset, offset + size < length, this.#identification);
      bytes.copyWithin(frame + overhead, at + offset, at + offset + size);
      port.commit(frame, overhead + size);
    }
    return true;
  }

  #ethernet(frame: number, to: Neighbour): void {
    ethernet.write(this.#bytes, frame, to.macHi, to.macLo, this.#mac.hi, this.#mac.lo, ethernet.TYPE_IPV6);
  }
}
