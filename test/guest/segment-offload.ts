/**
 * What a VM's kernel leaves to its network card, between a soft guest and a link: TCP segments joined to frames of up to 64 KiB with
 * partial checksums on the way out, and cut to their size on the way in. With `described`, a virtio-net header stands in front of each frame.
 */
import assert from 'node:assert/strict';
import { finish, fold, pseudoIpv4, sum } from '../../src/packet/checksum.ts';
import * as ethernet from '../../src/packet/ethernet.ts';
import * as ipv4 from '../../src/packet/ipv4.ts';
import * as tcp from '../../src/packet/tcp.ts';
import * as vnet from '../../src/packet/vnet-header.ts';
import type { FramePipe } from './frame-pipe.ts';

const IP = ethernet.HEADER;
const TCP = IP + ipv4.HEADER;
const LARGEST_PACKET = 65_535;
/** Payload of a full segment at MTU 1500. */
const SEGMENT = 1460;

function isTcp(frame: Buffer): boolean {
  return ethernet.type(frame, 0) === ethernet.TYPE_IPV4 && ipv4.protocol(frame, IP) === ipv4.PROTOCOL_TCP;
}

function payloadAt(frame: Buffer): number {
  return TCP + tcp.headerLength(frame, TCP);
}

/** `next` goes on where `frame` ends, in the same stream. */
function goesOn(frame: Buffer, next: Buffer): boolean {
  const flags = tcp.flags(frame, TCP) | tcp.flags(next, TCP);
  const length = frame.length - payloadAt(frame);
  return (
    (flags & ~(tcp.ACK | tcp.PSH)) === 0 &&
    frame.subarray(IP + 12, TCP + 4).equals(next.subarray(IP + 12, TCP + 4)) &&
    payloadAt(frame) === TCP + tcp.HEADER &&
    payloadAt(next) === TCP + tcp.HEADER &&
    length > 0 &&
    length % SEGMENT === 0 &&
    next.length > payloadAt(next) &&
    tcp.sequence(next, TCP) === ((tcp.sequence(frame, TCP) + length) | 0) &&
    frame.length + next.length - payloadAt(next) <= IP + LARGEST_PACKET
  );
}

function pseudoSum(frame: Buffer): number {
  return fold(pseudoIpv4(ipv4.source(frame, IP), ipv4.destination(frame, IP), ipv4.PROTOCOL_TCP, frame.length - TCP));
}

/** Sets length and checksum of the IPv4 header to what the frame has become. */
function finishIp(frame: Buffer): void {
  frame.writeUInt16BE(frame.length - IP, IP + 2);
  frame.writeUInt16BE(0, IP + 10);
  frame.writeUInt16BE(finish(sum(frame, IP, ipv4.HEADER)), IP + 10);
}

export class SegmentOffload implements FramePipe {
  /** Bytes of the largest frame each way. */
  largestSent = 0;
  largestReceived = 0;
  readonly #wire: FramePipe;
  readonly #described: boolean;
  #waiting: Buffer | null = null;

  constructor(wire: FramePipe, described: boolean) {
    this.#wire = wire;
    this.#described = described;
  }

  send(bytes: Uint8Array): void {
    const frame = Buffer.from(bytes);
    if (this.#waiting !== null && isTcp(frame) && goesOn(this.#waiting, frame)) {
      const both = Buffer.concat([this.#waiting, frame.subarray(payloadAt(frame))]);
      both[TCP + 13] = tcp.flags(both, TCP) | tcp.flags(frame, TCP);
      this.#waiting = both;
      return;
    }
    this.#flush();
    if (!isTcp(frame)) return this.#put(frame, Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]));
    this.#waiting = frame;
    setImmediate(() => this.#flush());
  }

  onFrame(receive: (frame: Buffer) => void): void {
    this.#wire.onFrame((bytes) => {
      const header = this.#described ? bytes.subarray(0, vnet.VNET_HEADER) : null;
      const frame = this.#described ? bytes.subarray(vnet.VNET_HEADER) : bytes;
      this.largestReceived = Math.max(this.largestReceived, frame.length);
      if (!isTcp(frame)) return receive(frame);
      for (const piece of this.#cut(frame, header)) receive(piece);
    });
  }

  #flush(): void {
    const frame = this.#waiting;
    if (frame === null) return;
    this.#waiting = null;
    finishIp(frame);
    frame.writeUInt16BE(pseudoSum(frame), TCP + tcp.CHECKSUM);
    const isLong = frame.length > payloadAt(frame) + SEGMENT;
    const header = Buffer.alloc(vnet.VNET_HEADER);
    vnet.write(header, 0, isLong ? vnet.GSO_TCPV4 : vnet.GSO_NONE, payloadAt(frame), isLong ? SEGMENT : 0, TCP, tcp.CHECKSUM);
    this.#put(frame, header);
  }

  #put(frame: Buffer, header: Buffer): void {
    this.largestSent = Math.max(this.largestSent, frame.length);
    this.#wire.send(this.#described ? Buffer.concat([header, frame]) : frame);
  }

  /** The segments that a frame stands for, each complete. */
  #cut(frame: Buffer, header: Buffer | null): Buffer[] {
    const isPartial = header !== null && (vnet.flags(header, 0) & vnet.NEEDS_CHECKSUM) !== 0;
    if (isPartial) {
      assert.deepEqual([vnet.checksumStart(header, 0), vnet.checksumOffset(header, 0)], [TCP, tcp.CHECKSUM]);
      assert.equal(frame.readUInt16BE(TCP + tcp.CHECKSUM), pseudoSum(frame), 'the sum of the pseudo header');
      const isLong = frame.length > payloadAt(frame) + SEGMENT;
      assert.equal(vnet.gsoType(header, 0), isLong ? vnet.GSO_TCPV4 : vnet.GSO_NONE);
      assert.equal(vnet.gsoSize(header, 0), isLong ? SEGMENT : 0, 'the size of its segments');
    } else assert.equal(sum(frame, TCP, frame.length - TCP, pseudoSum(frame)), 0xffff, 'a complete checksum');
    const start = payloadAt(frame);
    const size = header === null ? SEGMENT : vnet.gsoSize(header, 0) || frame.length;
    const pieces: Buffer[] = [];
    for (let at = start; at < frame.length || at === start; at += size) {
      const isLast = at + size >= frame.length;
      const piece = Buffer.concat([frame.subarray(0, start), frame.subarray(at, at + size)]);
      piece.writeInt32BE((tcp.sequence(frame, TCP) + at - start) | 0, TCP + 4);
      if (!isLast) piece[TCP + 13] = tcp.flags(frame, TCP) & ~(tcp.FIN | tcp.PSH);
      finishIp(piece);
      piece.writeUInt16BE(0, TCP + tcp.CHECKSUM);
      piece.writeUInt16BE(finish(sum(piece, TCP, piece.length - TCP, pseudoSum(piece))), TCP + tcp.CHECKSUM);
      pieces.push(piece);
    }
    return pieces;
  }
}
