/** Frames of the guest from what a script says of them, and what comes back read into plain objects. Shares only the wire formats with the product. */
import { parseIpv4 } from '../../src/packet/address.ts';
import { i32 } from '../../src/packet/bytes.ts';
import { finish, pseudoIpv4, sum } from '../../src/packet/checksum.ts';
import * as icmp from '../../src/packet/icmpv4.ts';
import * as ethernet from '../../src/packet/ethernet.ts';
import * as ipv4 from '../../src/packet/ipv4.ts';
import { type Mac, parseMac } from '../../src/packet/mac.ts';
import * as tcp from '../../src/packet/tcp.ts';
import type { SegmentSpec } from './script.ts';

export const GUEST_MAC: Mac = parseMac('5a:94:ef:e4:0c:ee')!;
export const HOST_MAC_TEXT = '5a:94:ef:e4:0c:dd';
export const HOST_MAC: Mac = parseMac(HOST_MAC_TEXT)!;
export const GUEST: number = parseIpv4('192.168.127.2')!;
/** The host as guests see it, and whom its own connections to guests come from. */
export const HOST: number = parseIpv4('192.168.127.254')!;
export const GATEWAY: number = parseIpv4('192.168.127.1')!;

const LETTERS = 'FSRPAUEW';
const SHORTEST_FRAME = 60;

/** Byte `offset` of every stream of these tests. The application has the same in Python. */
export function streamByte(offset: number): number {
  return (offset * 31 + Math.floor(offset / 256) * 7) & 0xff;
}

export function flagBits(letters: string): number {
  return letters.split('').reduce((bits, letter) => bits | (1 << LETTERS.indexOf(letter)), 0);
}

/** A segment with everything decided: sequence numbers as they go on the wire. */
export interface Placed {
  readonly spec: SegmentSpec;
  readonly seq: number;
  readonly ack: number;
  /** Offset of the payload in the guest's stream. */
  readonly offset: number;
  readonly sack: readonly (readonly [number, number])[];
  readonly remote: number;
  readonly guestPort: number;
  readonly remotePort: number;
}

function word(value: number): number[] {
  return [value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff];
}

function optionBytes({ spec, sack }: Placed): number[] {
  const bytes: number[] = [];
  if (spec.mss !== undefined) bytes.push(2, 4, spec.mss >>> 8, spec.mss & 0xff);
  if (spec.scale !== undefined) bytes.push(3, 3, spec.scale, 1);
  if (spec.sackPermitted === true) bytes.push(4, 2, 1, 1);
  if (spec.timestamps === true) bytes.push(8, 10, ...word(1000), ...word(0), 1, 1);
  if (sack.length > 0) bytes.push(1, 1, 5, 2 + 8 * sack.length, ...sack.flatMap(([left, right]) => [...word(left), ...word(right)]));
  if (spec.rawOptions !== undefined) bytes.push(...spec.rawOptions);
  while (bytes.length % 4 !== 0) bytes.push(0);
  return bytes;
}

export function segmentFrame(placed: Placed): Uint8Array {
  const { spec } = placed;
  const options = optionBytes(placed);
  const ipOptions = spec.ipOptions ?? [];
  const header = tcp.HEADER + options.length;
  const length = header + (spec.data ?? 0);
  const at = ethernet.HEADER + ipv4.HEADER + ipOptions.length;
  const frame = new Uint8Array(Math.max(at + length, spec.padded === true ? SHORTEST_FRAME : 0)).fill(0xee);
  ethernet.write(frame, 0, HOST_MAC.hi, HOST_MAC.lo, GUEST_MAC.hi, GUEST_MAC.lo, ethernet.TYPE_IPV4);
  writeIp(frame, placed, ipOptions, length);
  const flags = flagBits(spec.flags ?? 'A');
  tcp.write(frame, at, placed.guestPort, placed.remotePort, placed.seq, placed.ack, header, flags, spec.window ?? 0xffff);
  frame[at + 12] = ((spec.dataOffset ?? header >>> 2) << 4) | (spec.reserved ?? 0);
  frame[at + 18] = (spec.urgent ?? 0) >>> 8;
  frame[at + 19] = (spec.urgent ?? 0) & 0xff;
  frame.set(options, at + tcp.HEADER);
  for (let i = 0; i < (spec.data ?? 0); i++) frame[at + header + i] = streamByte(placed.offset + i);
  const total = sum(frame, at, length, pseudoIpv4(GUEST, placed.remote, ipv4.PROTOCOL_TCP, length));
  tcp.setChecksum(frame, at, finish(total) ^ (spec.badChecksum === true ? 0x5555 : 0));
  return frame;
}

function writeIp(frame: Uint8Array, placed: Placed, options: readonly number[], length: number): void {
  const at = ethernet.HEADER;
  const header = ipv4.HEADER + options.length;
  ipv4.write(frame, at, header + length, 0, ipv4.FLAG_DF, 64, ipv4.PROTOCOL_TCP, GUEST, placed.remote);
  frame[at] = 0x40 | (header >>> 2);
  frame[at + 1] = placed.spec.ecn ?? 0;
  frame.set(options, at + ipv4.HEADER);
  frame.set([0, 0], at + 10);
  const checksum = finish(sum(frame, at, header));
  frame.set([checksum >>> 8, checksum & 0xff], at + 10);
}

/** A segment of the host, or an ICMP error about one of the guest's. */
export interface Arrived {
  readonly at: number;
  readonly remote: number;
  readonly remotePort: number;
  /** Text for an ICMP error; what follows is then without meaning. */
  readonly icmp?: string;
  readonly flags: number;
  readonly seq: number;
  readonly ack: number;
  readonly window: number;
  readonly payload: Uint8Array;
  readonly options: ReadonlyMap<number, readonly number[]>;
}

/** `identifier` is a word: ICMP's identifier and sequence number. */
export function echoRequest(identifier: number): Uint8Array {
  const at = ethernet.HEADER + ipv4.HEADER;
  const frame = new Uint8Array(at + icmp.HEADER);
  ethernet.write(frame, 0, HOST_MAC.hi, HOST_MAC.lo, GUEST_MAC.hi, GUEST_MAC.lo, ethernet.TYPE_IPV4);
  ipv4.write(frame, ethernet.HEADER, ipv4.HEADER + icmp.HEADER, 0, 0, 64, ipv4.PROTOCOL_ICMP, GUEST, HOST);
  icmp.write(frame, at, icmp.ECHO_REQUEST, 0, identifier);
  icmp.setChecksum(frame, at, finish(sum(frame, at, icmp.HEADER)));
  return frame;
}

/** The identifier of an echo reply; undefined for other frames. */
export function echoReply(frame: Uint8Array): number | undefined {
  const at = ethernet.HEADER + ipv4.HEADER;
  if (ethernet.type(frame, 0) !== ethernet.TYPE_IPV4 || ipv4.protocol(frame, ethernet.HEADER) !== ipv4.PROTOCOL_ICMP) return undefined;
  return icmp.type(frame, at) === icmp.ECHO_REPLY ? i32(frame, at + 4) : undefined;
}

/** Reads TCP and ICMP errors about TCP for the guest; undefined for other frames. Throws when a checksum is wrong. */
export function readFrame(frame: Uint8Array): { guestPort: number; arrived: Arrived } | undefined {
  if (ethernet.type(frame, 0) !== ethernet.TYPE_IPV4) return undefined;
  const at = ethernet.HEADER;
  const end = at + ipv4.totalLength(frame, at);
  const payload = at + ipv4.headerLength(frame, at);
  const remote = ipv4.source(frame, at);
  if (ipv4.destination(frame, at) !== GUEST) return undefined;
  if (ipv4.protocol(frame, at) === ipv4.PROTOCOL_ICMP) return readIcmp(frame, payload, remote);
  if (ipv4.protocol(frame, at) !== ipv4.PROTOCOL_TCP) return undefined;
  if (finish(sum(frame, payload, end - payload, pseudoIpv4(remote, GUEST, ipv4.PROTOCOL_TCP, end - payload))) !== 0) {
    throw new Error('a segment of the host has a wrong checksum');
  }
  const data = payload + tcp.headerLength(frame, payload);
  const arrived: Arrived = {
    at: performance.now(),
    remote,
    remotePort: tcp.sourcePort(frame, payload),
    flags: tcp.flags(frame, payload),
    seq: tcp.sequence(frame, payload),
    ack: tcp.acknowledgment(frame, payload),
    window: tcp.window(frame, payload),
    payload: frame.slice(data, end),
    options: readOptions(frame.subarray(payload + tcp.HEADER, data)),
  };
  return { guestPort: tcp.destinationPort(frame, payload), arrived };
}

function readIcmp(frame: Uint8Array, at: number, remote: number): { guestPort: number; arrived: Arrived } | undefined {
  const quoted = at + 8;
  const ports = quoted + ipv4.headerLength(frame, quoted);
  if (frame.length < ports + 4) return undefined;
  const icmp = `ICMP type ${frame[at]} code ${frame[at + 1]}`;
  const nothing = { flags: 0, seq: 0, ack: 0, window: 0, payload: new Uint8Array(0), options: new Map() };
  const arrived = { at: performance.now(), remote, remotePort: tcp.destinationPort(frame, ports), icmp, ...nothing };
  return { guestPort: tcp.sourcePort(frame, ports), arrived };
}

function readOptions(bytes: Uint8Array): Map<number, readonly number[]> {
  const options = new Map<number, readonly number[]>();
  for (let at = 0; at < bytes.length && bytes[at] !== 0;) {
    if (bytes[at] === 1) {
      at++;
      continue;
    }
    const length = bytes[at + 1]!;
    if (length < 2 || at + length > bytes.length) throw new Error('the host sent a malformed option');
    options.set(bytes[at]!, [...bytes.subarray(at + 2, at + length)]);
    at += length;
  }
  return options;
}
