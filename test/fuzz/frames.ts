/** Well-formed frames of a guest, made from the fields of a step; mutation comes after. */
import { IpAddress } from '../../src/packet/address.ts';
import * as arp from '../../src/packet/arp.ts';
import { setU16, setU32 } from '../../src/packet/bytes.ts';
import { finish, pseudoIpv4, sum } from '../../src/packet/checksum.ts';
import * as dhcp from '../../src/packet/dhcpv4.ts';
import * as ethernet from '../../src/packet/ethernet.ts';
import * as icmp from '../../src/packet/icmpv4.ts';
import * as ipv4 from '../../src/packet/ipv4.ts';
import type { Mac } from '../../src/packet/mac.ts';
import * as tcp from '../../src/packet/tcp.ts';
import { writeSynOptions } from '../../src/packet/tcp-options.ts';
import * as udp from '../../src/packet/udp.ts';
import { mendChecksums6 } from './frames6.ts';
import { pick, type Step } from './program.ts';
import { GATEWAY, GATEWAY_MAC, HOST_ADDRESS, SUBNET } from './world.ts';

export const PAYLOAD_AT: number = ethernet.HEADER + ipv4.HEADER;
const LARGEST = 65_535 - ipv4.HEADER - tcp.HEADER - 40;

export interface Target {
  readonly address: IpAddress;
  readonly port: number;
}

/** Who is talked to: services of the gateway, hosts, addresses that are refused. */
export const TARGETS: readonly Target[] = [
  { address: IpAddress.v4(HOST_ADDRESS), port: 80 },
  { address: IpAddress.parse('1.2.3.4')!, port: 443 },
  { address: IpAddress.v4(GATEWAY), port: 53 },
  { address: IpAddress.parse('8.8.8.8')!, port: 53 },
  { address: IpAddress.v4(GATEWAY), port: 9 },
  { address: IpAddress.parse('169.254.169.254')!, port: 80 },
  { address: IpAddress.v4(HOST_ADDRESS), port: 0 },
  { address: IpAddress.v4(SUBNET + 11), port: 80 },
];

const LENGTHS = [0, 0, 1, 2, 100, 536, 1000, 1448, 1460];

/** Bytes of payload that a step asks for. */
export function payloadLength({ length }: Step): number {
  if (length < 0x8000) return pick(LENGTHS, length);
  if (length < 0xc000) return length % 1500;
  return length % ((length >= 0xf000 ? LARGEST : 9000) + 1);
}

/** Payload of VM `vm`: the upper half of each byte is its number plus one. */
export function tagged(vm: number, length: number): Uint8Array {
  return new Uint8Array(length).fill(((vm + 1) << 4) | (length & 15));
}

export interface Addresses {
  readonly mac: Mac;
  readonly source: number;
  readonly destination: number;
}

/** An Ethernet frame around an IPv4 packet with `options` (a multiple of four bytes). */
export function packet(from: Addresses, protocol: number, payload: Uint8Array, options: Uint8Array = new Uint8Array(0)): Uint8Array {
  const { mac, source, destination } = from;
  const frame = new Uint8Array(PAYLOAD_AT + options.length + payload.length);
  const to = destination === -1 ? { hi: 0xffff, lo: -1 } : GATEWAY_MAC;
  ethernet.write(frame, 0, to.hi, to.lo, mac.hi, mac.lo, ethernet.TYPE_IPV4);
  ipv4.write(frame, ethernet.HEADER, frame.length - ethernet.HEADER, 0, 0, 64, protocol, source, destination);
  if (options.length > 0) {
    frame[ethernet.HEADER] = 0x45 + options.length / 4;
    frame.set(options, PAYLOAD_AT);
  }
  frame.set(payload, PAYLOAD_AT + options.length);
  return frame;
}

/** TCP, UDP and ICMP checksums of a frame made right again, where the lengths in it allow it. */
export function mendChecksums(frame: Uint8Array): void {
  const at = ethernet.HEADER;
  if (frame.length < PAYLOAD_AT) return;
  if (ethernet.type(frame, 0) === ethernet.TYPE_IPV6) return mendChecksums6(frame);
  if (ethernet.type(frame, 0) !== ethernet.TYPE_IPV4) return;
  const header = ipv4.headerLength(frame, at);
  const length = Math.min(ipv4.totalLength(frame, at), frame.length - at) - header;
  const payload = at + header;
  if (header < ipv4.HEADER || length < 0 || (ipv4.fragment(frame, at) & (ipv4.FLAG_MF | ipv4.OFFSET_MASK)) !== 0) return;
  setU16(frame, at + 10, 0);
  setU16(frame, at + 10, finish(sum(frame, at, header)));
  const protocol = ipv4.protocol(frame, at);
  const place = { [ipv4.PROTOCOL_ICMP]: 2, [ipv4.PROTOCOL_TCP]: 16, [ipv4.PROTOCOL_UDP]: 6 }[protocol];
  if (place === undefined || length < place + 2) return;
  setU16(frame, payload + place, 0);
  const start = protocol === ipv4.PROTOCOL_ICMP ? 0 : pseudoIpv4(ipv4.source(frame, at), ipv4.destination(frame, at), protocol, length);
  setU16(frame, payload + place, finish(sum(frame, payload, length, start)));
}

export function arpFrame(mac: Mac, sender: number, { flags, extra }: Step): Uint8Array {
  const frame = new Uint8Array(ethernet.HEADER + arp.LENGTH);
  ethernet.write(frame, 0, 0xffff, -1, mac.hi, mac.lo, ethernet.TYPE_ARP);
  const target = pick([GATEWAY, HOST_ADDRESS, sender, SUBNET + 11, 0], extra);
  arp.write(frame, ethernet.HEADER, flags & 1 ? arp.REPLY : arp.REQUEST, mac.hi, mac.lo, flags & 6 ? sender : SUBNET + extra, 0, 0, target);
  return frame;
}

export function udpBytes(from: number, to: number, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(udp.HEADER + payload.length);
  udp.write(bytes, 0, from, to, bytes.length);
  bytes.set(payload, udp.HEADER);
  return bytes;
}

export function echoBytes({ flags, extra }: Step, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(icmp.HEADER + payload.length);
  icmp.write(bytes, 0, icmp.ECHO_REQUEST, 0, (flags << 16) | extra);
  bytes.set(payload, icmp.HEADER);
  return bytes;
}

const ERRORS = [icmp.UNREACHABLE, icmp.UNREACHABLE, icmp.UNREACHABLE, icmp.TIME_EXCEEDED, icmp.PARAMETER_PROBLEM, 5, 13];
const CODES = [icmp.CODE_FRAGMENTATION_NEEDED, icmp.CODE_PORT, icmp.CODE_FRAGMENTATION_NEEDED, icmp.CODE_NET, icmp.CODE_PROHIBITED];

/** An error about a packet that the guest was sent; its quotation ends where the step says. */
export function errorBytes({ flags, extra, length }: Step, quoted: Uint8Array): Uint8Array {
  const quotation = quoted.subarray(0, length % 4 === 0 ? length % 64 : 28);
  const bytes = new Uint8Array(icmp.HEADER + quotation.length);
  const mtu = pick([576, 68, 300, 0, 67, 1400, 1500, 9000, 65_535], extra);
  icmp.write(bytes, 0, pick(ERRORS, flags), pick(CODES, extra), mtu);
  bytes.set(quotation, icmp.HEADER);
  return bytes;
}

const MESSAGES = [dhcp.DISCOVER, dhcp.REQUEST, dhcp.REQUEST, dhcp.RELEASE, dhcp.DECLINE, dhcp.INFORM, 0, 255];

export function dhcpBytes(mac: Mac, step: Step): Uint8Array {
  const { flags, extra, options, length } = step;
  const hardwareAddress = new Uint8Array(16);
  setU16(hardwareAddress, 0, mac.hi);
  // Others than the VM's own, too.
  setU32(hardwareAddress, 2, options & 1 ? mac.lo : mac.lo ^ extra);
  const requested = new Uint8Array(4);
  setU32(requested, 0, SUBNET + extra);
  const chosen: [number, Uint8Array][] = [[dhcp.OPTION_MESSAGE_TYPE, Uint8Array.of(pick(MESSAGES, flags))]];
  if (options & 2) chosen.push([dhcp.OPTION_REQUESTED_ADDRESS, requested]);
  if (options & 4) chosen.push([dhcp.OPTION_SERVER_ID, requested]);
  if (options & 8) chosen.push([dhcp.OPTION_PARAMETERS, Uint8Array.of(1, 3, 6, 15, 26, 119, 121)]);
  if (options & 16) chosen.push([dhcp.OPTION_CLIENT_ID, new Uint8Array(length % 255).fill(extra)]);
  return dhcp.writeDhcp({
    op: options & 32 ? dhcp.BOOT_REPLY : dhcp.BOOT_REQUEST,
    hardwareType: 1,
    hardwareLength: options & 64 ? extra : 6,
    xid: 0x12345678,
    flags: options & 128 ? 0x8000 : 0,
    clientAddress: flags & 16 ? SUBNET + extra : 0,
    yourAddress: 0,
    serverAddress: 0,
    relayAddress: flags & 32 ? GATEWAY : 0,
    hardwareAddress,
    options: new Map(chosen),
  });
}

const NAMES = [
  'host.containers.internal',
  'gateway.docker.internal',
  'nobody.containers.internal',
  'known',
  'example.com',
  '',
  'a.b.c.d.e',
];
const TYPES = [1, 1, 28, 12, 255, 16, 0];

export function dnsBytes({ flags, extra, options, length }: Step): Uint8Array {
  const labels = pick(NAMES, flags).split('.');
  if (options & 1) labels.unshift('x'.repeat(length % 70));
  const name = labels.filter((label) => label !== '').map((label) => Buffer.from([label.length, ...Buffer.from(label)]));
  const additional = options & 2 ? Uint8Array.of(0, 0, 41, length >>> 8, length, 0, 0, 0, 0, 0, 0) : new Uint8Array(0);
  const question = Uint8Array.of(0, 0, pick(TYPES, extra), 0, 1);
  const header = Uint8Array.of(extra, flags, options & 4 ? flags : 1, 0, 0, 1, 0, 0, 0, 0, 0, additional.length > 0 ? 1 : 0);
  return Buffer.concat([header, ...name, question, additional]);
}

export interface SegmentFields {
  readonly port: number;
  readonly remotePort: number;
  readonly seq: number;
  readonly ack: number;
  readonly flags: number;
  readonly window: number;
}

export function tcpBytes(fields: SegmentFields, options: Uint8Array, payload: Uint8Array): Uint8Array {
  const header = tcp.HEADER + options.length;
  const bytes = new Uint8Array(header + payload.length);
  tcp.write(bytes, 0, fields.port, fields.remotePort, fields.seq, fields.ack, header, fields.flags, fields.window);
  bytes.set(options, tcp.HEADER);
  bytes.set(payload, header);
  return bytes;
}

const SIZES = [1460, 1460, 536, 65_495, 0, 1, 88, 28];

/** SYN: MSS, scale, SACK. Otherwise blocks of SACK around `ack`. At times nonsense. */
export function tcpOptions({ options, extra, value }: Step, isSyn: boolean, ack: number): Uint8Array {
  if (options < 96) return isSyn ? synOptions(1460, 7, true) : new Uint8Array(0);
  if (options >= 240) return new Uint8Array((options % 11) * 4).fill(value);
  if (isSyn) return synOptions(pick(SIZES, extra), (options % 17) - 1, (options & 1) === 0);
  return sackOptions(ack, 1 + (options % 4), extra);
}

function synOptions(mss: number, scale: number, sack: boolean): Uint8Array {
  const bytes = new Uint8Array(12);
  return bytes.subarray(0, writeSynOptions(bytes, 0, mss, scale, sack));
}

function sackOptions(ack: number, count: number, extra: number): Uint8Array {
  const bytes = new Uint8Array(4 + count * 8);
  setU32(bytes, 0, 0x01010500 | (2 + count * 8));
  const unit = pick([1, 100, 536, 1460, 0x7fffffff, -1000], extra);
  for (let i = 0; i < count; i++) {
    setU32(bytes, 4 + i * 8, ack + unit * (2 * i + 1));
    setU32(bytes, 8 + i * 8, ack + unit * (2 * i + 2));
  }
  return bytes;
}
