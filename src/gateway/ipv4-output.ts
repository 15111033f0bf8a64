/** Sends IPv4 packets of any size to guests: one frame where it fits, fragments where it does not (RFC 791 §3.2). */
import * as ethernet from '../packet/ethernet.ts';
import * as ipv4 from '../packet/ipv4.ts';
import type { Arena } from '../runtime/arena.ts';
import type { Random } from '../runtime/clock.ts';
import type { Mac } from '../packet/mac.ts';
import type { Neighbour } from './neighbour.ts';

const TTL = 64;
const HEADERS = ethernet.HEADER + ipv4.HEADER;

export class Ipv4Output {
  readonly #bytes: Uint8Array;
  readonly #mac: Mac;
  readonly #mtu: number;
  #identification: number;

  constructor(arena: Arena, mac: Mac, mtu: number, random: Random) {
    this.#bytes = arena.bytes;
    this.#mac = mac;
    this.#mtu = mtu;
    this.#identification = random.word() & 0xffff;
  }

  /**
   * Sends `length` payload bytes at arena offset `at`. All fragments or none: false when the port has no room for the
   * whole, or the guest is gone. Whole packets carry DF and ID 0 (RFC 6864 §4.1), fragments an ID of their own.
   */
  send(to: Neighbour, source: number, destination: number, protocol: number, at: number, length: number): boolean {
    if (ipv4.HEADER + length <= this.#mtu) return this.#frame(to, source, destination, protocol, at, length, 0, ipv4.FLAG_DF);
    const { port } = to;
    const piece = (this.#mtu - ipv4.HEADER) & ~7;
    if (port === null) return false;
    const count = Math.ceil(length / piece);
    if (port.claim(count * (port.headroom + HEADERS) + length) < 0) return false;
    this.#identification = (this.#identification + 1) & 0xffff;
    for (let offset = 0; offset < length; offset += piece) {
      const size = Math.min(piece, length - offset);
      const flags = (offset >>> 3) | (offset + size < length ? ipv4.FLAG_MF : 0);
      this.#frame(to, source, destination, protocol, at + offset, size, this.#identification, flags);
    }
    return true;
  }

  #frame(
    to: Neighbour,
    source: number,
    destination: number,
    protocol: number,
    at: number,
    length: number,
    id: number,
    flags: number,
  ): boolean {
    const { port } = to;
    if (port === null) return false;
    const claim = port.claim(port.headroom + HEADERS + length);
    if (claim < 0) return false;
    const frame = claim + port.headroom;
    ethernet.write(this.#bytes, frame, to.macHi, to.macLo, this.#mac.hi, this.#mac.lo, ethernet.TYPE_IPV4);
    ipv4.write(this.#bytes, frame + ethernet.HEADER, ipv4.HEADER + length, id, flags, TTL, protocol, source, destination);
    this.#bytes.copyWithin(frame + HEADERS, at, at + length);
    port.commit(frame, HEADERS + length);
    return true;
  }
}
