/** Sends ICMPv6 messages of the gateway: the checksum covers addresses too (RFC 4443 §2.3). */
import type { IpAddress } from '../packet/address.ts';
import { setU16 } from '../packet/bytes.ts';
import { finish, pseudoIpv6, type Sum } from '../packet/checksum.ts';
import { PROTOCOL_ICMPV6 } from '../packet/ipv6.ts';
import type { Arena } from '../runtime/arena.ts';
import type { Ipv6Output } from './ipv6-output.ts';
import type { Neighbour } from './neighbour.ts';

export class Icmpv6Output {
  readonly #bytes: Uint8Array;
  readonly #sum: Sum;
  readonly #output: Ipv6Output;

  constructor(arena: Arena, sum: Sum, output: Ipv6Output) {
    this.#bytes = arena.bytes;
    this.#sum = sum;
    this.#output = output;
  }

  /** The message of `length` bytes at `at`, whose checksum is filled in here. False when it found no room. */
  send(to: Neighbour, from: IpAddress, d0: number, d1: number, d2: number, d3: number, at: number, length: number, hops?: number): boolean {
    this.fillIn(from, d0, d1, d2, d3, at, length);
    return this.#output.send(to, from.w0, from.w1, from.w2, from.w3, d0, d1, d2, d3, PROTOCOL_ICMPV6, at, length, hops);
  }

  /** Writes the checksum alone. */
  fillIn(from: IpAddress, d0: number, d1: number, d2: number, d3: number, at: number, length: number): void {
    setU16(this.#bytes, at + 2, 0);
    const pseudo = pseudoIpv6(from.w0, from.w1, from.w2, from.w3, d0, d1, d2, d3, PROTOCOL_ICMPV6, length);
    setU16(this.#bytes, at + 2, finish(this.#sum(at, length, pseudo)));
  }
}
