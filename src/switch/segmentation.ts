/**
 * Does in software what a VM left to its network card: completes checksums, and cuts a super frame into segments
 * (virtio 1.3 §5.1.6.2), for a VM that takes nothing but whole Ethernet frames.
 *
 *     headers | data ──► headers, data 0 | headers, data 1 | … each with its lengths, identification, sequence, flags, checksums
 */
import { i32, setU16, setU32, u16 } from '../packet/bytes.ts';
import { finish, fold, type Sum } from '../packet/checksum.ts';
import * as ipv4 from '../packet/ipv4.ts';
import * as tcp from '../packet/tcp.ts';
import { type SuperFrame, UDP_CHECKSUM } from './super-frame.ts';

/** RFC 3168 §6.1.2: congestion window reduced; it is said once. */
const CWR = 0x80;
const IPV6_ADDRESSES = 8;
const IPV6_PAYLOAD_LENGTH = 4;
const IPV6_HEADER = 40;
const TCP_FLAGS = 13;
const UDP_LENGTH = 4;

export class Segmentation {
  readonly #bytes: Uint8Array;
  readonly #sum: Sum;

  constructor(bytes: Uint8Array, sum: Sum) {
    this.#bytes = bytes;
    this.#sum = sum;
  }

  /** Completes the checksum of the frame at `at`, which is the VM's own copy; its field holds the sum of the pseudo header. */
  complete(at: number, frame: SuperFrame): void {
    const start = at + frame.checksumStart;
    this.#set(start + frame.checksumOffset, finish(this.#sum(start, at + frame.length - start, 0)), frame.checksumOffset === UDP_CHECKSUM);
  }

  /** RFC 768: zero would mean that there is none. */
  #set(field: number, value: number, isUdp: boolean): void {
    setU16(this.#bytes, field, isUdp && value === 0 ? 0xffff : value);
  }

  /** The checksum of this TCP or UDP packet is nothing but the sum of its pseudo header: its VM counted on a card to complete it. */
  isPartial(at: number, frame: SuperFrame): boolean {
    return u16(this.#bytes, at + frame.checksumStart + frame.checksumOffset) === this.#pseudo(at, frame, frame.length - frame.transport);
  }

  /** Makes the checksum partial: what goes with a virtio-net header. */
  open(at: number, frame: SuperFrame): void {
    const field = at + frame.checksumStart + frame.checksumOffset;
    setU16(this.#bytes, field, this.#pseudo(at, frame, frame.length - frame.transport));
  }

  /** Length of segment `index`, headers included. */
  lengthOf(frame: SuperFrame, index: number): number {
    return Math.min(frame.payload + frame.size, frame.length - index * frame.size);
  }

  /** Writes segment `index` of the frame at `at` to `to`. */
  write(at: number, frame: SuperFrame, index: number, to: number): void {
    const bytes = this.#bytes;
    const { network, transport, payload, size } = frame;
    const length = this.lengthOf(frame, index);
    const data = at + payload + index * size;
    bytes.copyWithin(to, at, at + payload);
    bytes.copyWithin(to + payload, data, data + length - payload);
    if (frame.isIpv6) setU16(bytes, to + network + IPV6_PAYLOAD_LENGTH, length - network - IPV6_HEADER);
    else this.#ipv4(to + network, length - network, index);
    if (frame.isUdp) setU16(bytes, to + transport + UDP_LENGTH, length - transport);
    else this.#tcp(to + transport, index, size, index === frame.segments - 1);
    const field = to + transport + frame.checksumOffset;
    setU16(bytes, field, 0);
    this.#set(field, finish(this.#sum(to + transport, length - transport, this.#pseudo(to, frame, length - transport))), frame.isUdp);
  }

  /** RFC 791 §3.1: identifications count up from that of the whole. */
  #ipv4(header: number, length: number, index: number): void {
    const bytes = this.#bytes;
    setU16(bytes, header + 2, length);
    setU16(bytes, header + 4, (ipv4.identification(bytes, header) + index) & 0xffff);
    setU16(bytes, header + 10, 0);
    setU16(bytes, header + 10, finish(this.#sum(header, ipv4.headerLength(bytes, header), 0)));
  }

  /** FIN and PSH belong to the end of the data, CWR to its beginning. */
  #tcp(header: number, index: number, size: number, last: boolean): void {
    const bytes = this.#bytes;
    setU32(bytes, header + 4, (tcp.sequence(bytes, header) + index * size) | 0);
    if (!last) bytes[header + TCP_FLAGS]! &= ~(tcp.FIN | tcp.PSH);
    if (index > 0) bytes[header + TCP_FLAGS]! &= ~CWR;
  }

  /** Folded sum of the pseudo header (RFC 9293 §3.1, RFC 8200 §8.1) of a packet with `length` bytes from its transport header on. */
  #pseudo(at: number, frame: SuperFrame, length: number): number {
    const header = at + frame.network;
    const protocol = frame.isUdp ? ipv4.PROTOCOL_UDP : ipv4.PROTOCOL_TCP;
    if (frame.isIpv6) return this.#sum(header + IPV6_ADDRESSES, 32, protocol + length);
    let total = protocol + length;
    for (let word = header + 12; word < header + 20; word += 4) total = fold(total + fold(i32(this.#bytes, word) >>> 0));
    return total;
  }
}
