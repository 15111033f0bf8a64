/** The gateway's bench with IPv6, and frames of IPv6 guests; what comes back is checked for lengths and checksums. */
import assert from 'node:assert/strict';
import type { Ipv6Gateway } from '../../src/gateway/ipv6-gateway.ts';
import { IpAddress } from '../../src/packet/address.ts';
import { finish, pseudoIpv6, sum } from '../../src/packet/checksum.ts';
import * as ipv6 from '../../src/packet/ipv6.ts';
import type { FakePort } from '../fake-port.ts';
import { GATEWAY_MAC, GatewayBench, GUEST_MAC } from './bench.ts';

export const GATEWAY = 'fd01:2:3:4::1';
export const HOST = 'fd01:2:3:4::254';
export const GUEST = 'fd01:2:3:4::2';
/** Of the gateway's MAC address. */
export const ROUTER = 'fe80::5894:efff:fee4:cdd';
export const GUEST_LOCAL = 'fe80::5894:efff:fee4:cee';
export const OUTSIDE = '2001:db8::1';

export class Bench6 extends GatewayBench {
  readonly ipv6: Ipv6Gateway;

  constructor(mtu = 1500) {
    super(mtu, {
      address: IpAddress.parse(GATEWAY)!,
      virtualAddresses: [IpAddress.parse(HOST)!],
      searchList: [Buffer.from('\x03lan\x00', 'latin1')],
    });
    this.ipv6 = this.gateway.ipv6!;
  }

  /** What came back, taken apart. */
  answers(port: FakePort = this.port): Packet6[] {
    return port.take().map(decode6);
  }
}

export interface Packet6 {
  to: string;
  source: string;
  destination: string;
  next: number;
  hops: number;
  payload: Buffer;
}

/** Fails when a length or the checksum of ICMPv6, UDP or TCP is wrong. */
export function decode6(frame: Buffer): Packet6 {
  assert.equal(frame.subarray(6, 14).toString('hex'), `${GATEWAY_MAC}86dd`);
  assert.equal(ipv6.version(frame, 14), 6);
  assert.equal(ipv6.payloadLength(frame, 14), frame.length - 54, 'payload length');
  const words = (at: typeof ipv6.source): [number, number, number, number] => [
    at(frame, 14, 0),
    at(frame, 14, 1),
    at(frame, 14, 2),
    at(frame, 14, 3),
  ];
  const [source, destination] = [words(ipv6.source), words(ipv6.destination)];
  const next = ipv6.nextHeader(frame, 14);
  const payload = frame.subarray(54);
  if (next === ipv6.PROTOCOL_ICMPV6 || next === 17 || next === 6)
    assert.equal(sum(payload, 0, payload.length, pseudoIpv6(...source, ...destination, next, payload.length)), 0xffff, 'checksum');
  return {
    to: frame.toString('hex', 0, 6),
    source: new IpAddress(...source).toString(),
    destination: new IpAddress(...destination).toString(),
    next,
    hops: ipv6.hopLimit(frame, 14),
    payload,
  };
}

export interface Fields6 {
  source?: string;
  destination?: string;
  /** Of what stands behind the IPv6 header. */
  next?: number;
  hops?: number;
  payload?: Uint8Array;
  mac?: string;
  /** Bytes behind the packet. */
  padding?: number;
}

/** A frame with an IPv6 packet from the guest. */
export function frame6({ source = GUEST, destination = OUTSIDE, next = 17, hops = 64, padding = 0, ...fields }: Fields6): Buffer {
  const payload = fields.payload ?? Buffer.alloc(20);
  const frame = Buffer.alloc(54 + payload.length + padding, 0xee);
  const to = IpAddress.parse(destination)!;
  const group = Buffer.alloc(6);
  group.writeUInt16BE(0x3333);
  group.writeInt32BE(to.w3, 2);
  frame.write((destination.startsWith('ff') ? group.toString('hex') : GATEWAY_MAC) + (fields.mac ?? GUEST_MAC) + '86dd', 'hex');
  const from = IpAddress.parse(source)!;
  ipv6.write(frame, 14, payload.length, next, hops, from.w0, from.w1, from.w2, from.w3, to.w0, to.w1, to.w2, to.w3);
  frame.set(payload, 54);
  return frame;
}

/** An ICMPv6 message from the guest; `body` begins behind the checksum. */
export function icmp6(type: number, body: Uint8Array, fields: Fields6 = {}, code = 0): Buffer {
  const { source = GUEST, destination = GATEWAY } = fields;
  const payload = Buffer.concat([Buffer.from([type, code, 0, 0]), body]);
  const [from, to] = [IpAddress.parse(source)!, IpAddress.parse(destination)!];
  const pseudo = pseudoIpv6(from.w0, from.w1, from.w2, from.w3, to.w0, to.w1, to.w2, to.w3, 58, payload.length);
  payload.writeUInt16BE(finish(sum(payload, 0, payload.length, pseudo)), 2);
  return frame6({ hops: 255, ...fields, source, destination, next: 58, payload });
}

export function words(text: string): Buffer {
  const bytes = Buffer.alloc(16);
  const { w0, w1, w2, w3 } = IpAddress.parse(text)!;
  [w0, w1, w2, w3].forEach((word, i) => bytes.writeInt32BE(word, i * 4));
  return bytes;
}

/** The group that an address is asked for in. */
export function groupOf(address: string): string {
  const { w3 } = IpAddress.parse(address)!;
  return new IpAddress(0xff020000, 0, 1, 0xff000000 | (w3 & 0xffffff)).toString();
}

export interface SolicitationFields extends Fields6 {
  code?: number;
  /** Behind the target. */
  options?: Uint8Array;
}

export const SOURCE_OPTION: Buffer = Buffer.from('01015a94efe40cee', 'hex');

/** Who has `target`? */
export function solicitation(target: string, { code = 0, options = SOURCE_OPTION, ...fields }: SolicitationFields = {}): Buffer {
  return icmp6(135, Buffer.concat([Buffer.alloc(4), words(target), options]), { destination: groupOf(target), ...fields }, code);
}

/** `target` is at the sender's. */
export function advertisement(target: string, fields: Fields6 = {}, flags = 0x60000000): Buffer {
  const body = Buffer.concat([Buffer.alloc(4), words(target), Buffer.from('02015a94efe40cee', 'hex')]);
  body.writeUInt32BE(flags, 0);
  return icmp6(136, body, { source: target, ...fields });
}
