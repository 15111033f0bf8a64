/** One TCP segment from the guest, read once into a reused object. */
import * as tcp from '../../packet/tcp.ts';
import { TcpOptions } from '../../packet/tcp-options.ts';

export class Segment {
  sequence = 0;
  acknowledgment = 0;
  flags = 0;
  /** As it stands in the header, unscaled. */
  window = 0;
  /** Arena offset and length of the payload. */
  dataAt = 0;
  dataLength = 0;
  /** Valid when `hasOptions`. */
  readonly options: TcpOptions = new TcpOptions();
  hasOptions = false;

  /** Reads the header at `at`; false when it does not fit before `end` or its length field lies. */
  read(bytes: Uint8Array, at: number, end: number): boolean {
    if (end - at < tcp.HEADER) return false;
    const header = tcp.headerLength(bytes, at);
    if (header < tcp.HEADER || header > end - at) return false;
    this.sequence = tcp.sequence(bytes, at);
    this.acknowledgment = tcp.acknowledgment(bytes, at);
    this.flags = tcp.flags(bytes, at);
    this.window = tcp.window(bytes, at);
    this.dataAt = at + header;
    this.dataLength = end - this.dataAt;
    this.hasOptions = header > tcp.HEADER;
    if (this.hasOptions) this.options.read(bytes, at + tcp.HEADER, this.dataAt);
    return true;
  }

  /** Space it takes in sequence numbers: payload, plus one each for SYN and FIN (RFC 9293 §3.4). */
  get sequenceLength(): number {
    return this.dataLength + ((this.flags & tcp.SYN) >>> 1) + (this.flags & tcp.FIN);
  }

  /** Drops the first `count` bytes of payload. */
  trimFront(count: number): void {
    this.sequence = (this.sequence + count) | 0;
    this.dataAt += count;
    this.dataLength -= count;
  }
}

/** Window field for a window of `bytes` under a scale; what does not fit the field is not offered. */
export function windowField(bytes: number, scale: number): number {
  return Math.min(bytes >>> scale, 0xffff);
}

/** Asks for a connection, and for nothing else. */
export function isOpening(segment: Segment): boolean {
  return (segment.flags & (tcp.SYN | tcp.ACK | tcp.RST | tcp.FIN)) === tcp.SYN;
}

/** The text behind a SYN-ACK's SYN. */
export function afterSyn(segment: Segment): Segment {
  segment.sequence = (segment.sequence + 1) | 0;
  segment.flags &= ~tcp.SYN;
  return segment;
}
