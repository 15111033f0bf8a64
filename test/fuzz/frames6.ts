/** Well-formed IPv6 frames of a guest, made from the fields of a step; mutation comes after. */
import { IpAddress } from '../../src/packet/address.ts';
import { setU16, setU32 } from '../../src/packet/bytes.ts';
import { finish, pseudoIpv6, sum } from '../../src/packet/checksum.ts';
import * as dhcp from '../../src/packet/dhcpv6.ts';
import * as ethernet from '../../src/packet/ethernet.ts';
import * as icmp from '../../src/packet/icmpv6.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../../src/packet/ipv4.ts';
import * as ipv6 from '../../src/packet/ipv6.ts';
import { ExtensionWalk } from '../../src/packet/ipv6-extensions.ts';
import type { Mac } from '../../src/packet/mac.ts';
import * as ndp from '../../src/packet/ndp.ts';
import { DEVICE6, GATEWAY6, global6, HOST6, linkLocal6, linkLocalOf } from './addresses6.ts';
import type { Target } from './frames.ts';
import { pick, type Step } from './program.ts';
import { GATEWAY_MAC } from './world.ts';

export const UNSPECIFIED: IpAddress = new IpAddress(0, 0, 0, 0);
const GATEWAY_LINK = linkLocalOf(GATEWAY_MAC);
const ALL_NODES = IpAddress.parse('ff02::1')!;
const ALL_ROUTERS = IpAddress.parse('ff02::2')!;
const LISTENERS = IpAddress.parse('ff02::16')!;
const ALL_DHCP = IpAddress.parse('ff02::1:2')!;
const ELSEWHERE = IpAddress.parse('2001:db8::1')!;

/** Who is talked to: services of the gateway, hosts, addresses that are refused. */
export const TARGETS6: readonly Target[] = [
  { address: HOST6, port: 80 },
  { address: ELSEWHERE, port: 443 },
  { address: GATEWAY6, port: 53 },
  { address: IpAddress.parse('2001:db8::8')!, port: 53 },
  { address: GATEWAY6, port: 9 },
  { address: GATEWAY_LINK, port: 53 },
  { address: HOST6, port: 0 },
  { address: global6(1), port: 80 },
  { address: IpAddress.parse('fe80::9')!, port: 80 },
  { address: ALL_NODES, port: 5353 },
  { address: DEVICE6, port: 80 },
  { address: IpAddress.parse('::1')!, port: 80 },
];

/** A header between the IPv6 header and the payload; its first octet, which names the next, is filled in when they are linked. */
export interface Extension {
  readonly type: number;
  readonly bytes: Uint8Array;
}

/** What stands behind a header: of which kind it is, and its bytes. */
interface Linked {
  readonly next: number;
  readonly bytes: Uint8Array;
}

export function link(extensions: readonly Extension[], protocol: number, payload: Uint8Array): Linked {
  const headers = extensions.map(({ bytes }, i) => {
    const header = Uint8Array.from(bytes);
    header[0] = extensions[i + 1]?.type ?? protocol;
    return header;
  });
  return { next: extensions[0]?.type ?? protocol, bytes: Buffer.concat([...headers, payload]) };
}

export interface Addresses6 {
  readonly mac: Mac;
  readonly source: IpAddress;
  readonly destination: IpAddress;
  readonly hops?: number;
}

/** An Ethernet frame around an IPv6 packet. */
export function packet6(from: Addresses6, protocol: number, payload: Uint8Array, extensions: readonly Extension[] = []): Uint8Array {
  const { mac, source, destination, hops = 64 } = from;
  const { next, bytes } = link(extensions, protocol, payload);
  const header = ethernet.HEADER;
  const frame = new Uint8Array(header + ipv6.HEADER + bytes.length);
  const to = ipv6.isMulticast(destination.w0) ? { hi: ethernet.IPV6_GROUP, lo: destination.w3 } : GATEWAY_MAC;
  ethernet.write(frame, 0, to.hi, to.lo, mac.hi, mac.lo, ethernet.TYPE_IPV6);
  const [s, d] = [source, destination];
  ipv6.write(frame, header, bytes.length, next, hops, s.w0, s.w1, s.w2, s.w3, d.w0, d.w1, d.w2, d.w3);
  frame.set(bytes, header + ipv6.HEADER);
  return frame;
}

const WALK = new ExtensionWalk();
const CHECKSUM_AT: Readonly<Record<number, number>> = { [ipv6.PROTOCOL_ICMPV6]: 2, [PROTOCOL_TCP]: 16, [PROTOCOL_UDP]: 6 };

/** TCP, UDP and ICMPv6 checksums of a whole packet made right again, where the lengths in it allow it. */
export function mendChecksums6(frame: Uint8Array): void {
  const at = ethernet.HEADER;
  if (frame.length < at + ipv6.HEADER) return;
  const end = Math.min(at + ipv6.HEADER + ipv6.payloadLength(frame, at), frame.length);
  let named = at + ipv6.AT_NEXT_HEADER;
  if (!WALK.walk(frame, at + ipv6.HEADER, end, named, true)) return;
  if (WALK.protocol === ipv6.FRAGMENT) {
    named = WALK.payload;
    if (ipv6.fragmentOffset(frame, named) !== 0 || ipv6.moreFragments(frame, named)) return;
    if (!WALK.walk(frame, named + ipv6.FRAGMENT_HEADER, end, named, false)) return;
  }
  const { payload, protocol } = WALK;
  const length = end - payload;
  const place = CHECKSUM_AT[protocol];
  if (place === undefined || length < place + 2) return;
  setU16(frame, payload + place, 0);
  const word = (from: 's' | 'd', i: number): number => (from === 's' ? ipv6.source : ipv6.destination)(frame, at, i);
  const [s0, s1, s2, s3] = [word('s', 0), word('s', 1), word('s', 2), word('s', 3)];
  const [d0, d1, d2, d3] = [word('d', 0), word('d', 1), word('d', 2), word('d', 3)];
  const pseudo = pseudoIpv6(s0, s1, s2, s3, d0, d1, d2, d3, protocol, length);
  setU16(frame, payload + place, finish(sum(frame, payload, length, pseudo)));
}

const PADDING = [1, 4, 0, 0, 0, 0];
/** Six bytes of options: padding, router alert, jumbo payload, a tunnel's limit, unknown ones of each action, one that is cut off. */
const OPTIONS = [
  PADDING,
  PADDING,
  [5, 2, 0, 0, 1, 0],
  [0, 0, 0, 0, 0, 0],
  [0x1e, 4, 1, 2, 3, 4],
  [0xc2, 4, 0, 1, 0, 0],
  [4, 1, 0, 1, 1, 0],
  [0x5e, 4, 0, 0, 0, 0],
  [0x9e, 4, 0, 0, 0, 0],
  [0xde, 4, 0, 0, 0, 0],
  [1, 200, 0, 0, 0, 0],
  [0, 0, 0, 0, 0, 1],
];
const { DESTINATION_OPTIONS, FRAGMENT, HOP_BY_HOP, NO_NEXT_HEADER, ROUTING } = ipv6;
const AUTHENTICATION = 51;
const MOBILITY = 135;
const KINDS = [
  DESTINATION_OPTIONS,
  HOP_BY_HOP,
  ROUTING,
  DESTINATION_OPTIONS,
  FRAGMENT,
  DESTINATION_OPTIONS,
  AUTHENTICATION,
  MOBILITY,
  NO_NEXT_HEADER,
  253,
];

/** One header: `seed` chooses its kind and what is in it; `at` is its place in the chain. */
function extension(seed: number, at: number): Extension {
  const type = at === 0 && seed % 3 === 0 ? HOP_BY_HOP : pick(KINDS, seed >>> 2);
  if (type === FRAGMENT) return { type, bytes: Uint8Array.of(0, 0, 0, 0, 0, 0, 0, seed) };
  if (type === ROUTING) return { type, bytes: Uint8Array.of(0, 0, pick([0, 2, 3, 4], seed >>> 3), seed % 5 === 0 ? 1 : 0, 0, 0, 0, 0) };
  const more = seed % 7 === 0 ? pick([1, 8, 30, 31, 255], seed >>> 4) : 0;
  const bytes = new Uint8Array(8 + more * 8);
  bytes[1] = more;
  bytes.set(pick(OPTIONS, seed), 2);
  // Padding of at most 255 bytes each, to the end.
  for (let i = 8; i < bytes.length; i += 2 + bytes[i + 1]!) bytes.set([1, Math.min(255, bytes.length - i - 2)], i);
  return { type, bytes };
}

/** None, a few, or more than are taken. */
export function extensions({ options, position, value }: Step): readonly Extension[] {
  if (options < 208) return [];
  const count = value >= 248 ? 7 + (position % 4) : 1 + (position & 3);
  return Array.from({ length: count }, (_, i) => extension(((position >>> 2) + i * 37 + value * (i + 1)) & 0xffff, i));
}

/** The piece of a packet that begins at `at` of its fragmentable part. */
export function fragment(at: number, more: boolean, id: number): Extension {
  const bytes = new Uint8Array(ipv6.FRAGMENT_HEADER);
  ipv6.writeFragment(bytes, 0, 0, at, more, id);
  return { type: FRAGMENT, bytes };
}

export function echoBytes6({ flags, extra }: Step, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(icmp.HEADER + payload.length);
  setU32(bytes, 0, icmp.ECHO_REQUEST << 24);
  setU32(bytes, 4, (flags << 16) | extra);
  bytes.set(payload, icmp.HEADER);
  return bytes;
}

const ERRORS = [icmp.PACKET_TOO_BIG, icmp.PACKET_TOO_BIG, icmp.UNREACHABLE, icmp.TIME_EXCEEDED, icmp.PARAMETER_PROBLEM, 5, 127];
const MTUS = [1280, 1279, 1400, 68, 0, 1500, 9000, 65_535, 0xffffffff];

/** An error about a packet that the guest was sent; its quotation ends where the step says. */
export function errorBytes6({ flags, extra, length }: Step, quoted: Uint8Array): Uint8Array {
  const quotation = quoted.subarray(0, length % 4 === 0 ? length % 96 : 1232);
  const bytes = new Uint8Array(icmp.HEADER + quotation.length);
  const type = pick(ERRORS, flags);
  setU32(bytes, 0, (type << 24) | ((type === icmp.PACKET_TOO_BIG ? 0 : extra % 7) << 16));
  setU32(bytes, 4, pick(MTUS, extra));
  bytes.set(quotation, icmp.HEADER);
  return bytes;
}

/** A message of neighbour discovery, and who sends it to whom. */
export interface Discovery {
  readonly source: IpAddress;
  readonly destination: IpAddress;
  readonly hops: number;
  readonly bytes: Uint8Array;
}

const MESSAGES = [
  ndp.NEIGHBOUR_SOLICITATION,
  ndp.NEIGHBOUR_ADVERTISEMENT,
  ndp.ROUTER_SOLICITATION,
  ndp.NEIGHBOUR_SOLICITATION,
  ndp.NEIGHBOUR_ADVERTISEMENT,
  ndp.ROUTER_ADVERTISEMENT,
  ndp.REDIRECT,
];

export function discovery(vm: number, mac: Mac, { flags, extra, options, value, length }: Step, turn = 0): Discovery {
  const type = pick(MESSAGES, flags);
  const own = [global6(vm), linkLocal6(vm), global6(vm, 1 + extra + turn), linkLocal6(vm, 1 + extra + turn)];
  const ours = [GATEWAY6, GATEWAY_LINK, HOST6];
  const others = [global6((vm + 1) & 3), linkLocal6((vm + 1) & 3), ALL_NODES, UNSPECIFIED, ELSEWHERE, DEVICE6];
  const targets = type === ndp.NEIGHBOUR_SOLICITATION ? [...ours, ...own] : own;
  const target = pick(extra >= 224 ? others : targets, extra);
  const source = pick([own[0]!, own[1]!, own[2]!, UNSPECIFIED, own[0]!, own[1]!, others[0]!], length);
  const group = new IpAddress(0xff020000, 0, 1, 0xff000000 | (target.w3 & 0xffffff));
  const isRouter = type === ndp.ROUTER_SOLICITATION || type === ndp.ROUTER_ADVERTISEMENT;
  const destination = pick([isRouter ? ALL_ROUTERS : group, GATEWAY_LINK, GATEWAY6, ALL_NODES], length >>> 4);
  const head = new Uint8Array(type === ndp.REDIRECT ? 40 : type === ndp.ROUTER_ADVERTISEMENT ? 16 : isRouter ? 8 : 24);
  head[0] = type;
  head[4] = type === ndp.NEIGHBOUR_ADVERTISEMENT ? value & 0xe0 : 0;
  if (!isRouter) head.set(dhcp.words(target.w0, target.w1, target.w2, target.w3), 8);
  const bytes = Buffer.concat([head, ...discoveryOptions(mac, options)]);
  return { source, destination, hops: value % 16 === 15 ? 64 : 255, bytes };
}

/** Link-layer addresses, a prefix, an MTU, a nonce, a redirected header; one without a length, one that is too long. */
function discoveryOptions(mac: Mac, options: number): Uint8Array[] {
  const address = (code: number): Uint8Array => {
    const bytes = new Uint8Array(8);
    setU32(bytes, 0, (code << 24) | (1 << 16) | mac.hi);
    setU32(bytes, 4, mac.lo);
    return bytes;
  };
  const prefix = Buffer.concat([Uint8Array.of(3, 4, 64, 0xc0), new Uint8Array(12).fill(255), dhcp.words(0x20010db8, 0, 0, 0)]);
  const all = [
    address(1),
    address(2),
    prefix,
    Uint8Array.of(5, 1, 0, 0, 0, 0, 5, 0),
    Uint8Array.of(14, 1, 1, 2, 3, 4, 5, 6),
    Buffer.concat([Uint8Array.of(4, 6), new Uint8Array(46).fill(0x60)]),
    Uint8Array.of(14, 0, 0, 0, 0, 0, 0, 0),
    Uint8Array.of(14, 40, 0, 0, 0, 0, 0, 0),
  ];
  // The wrong ones seldom: only together.
  const wrong = (options & 0xc0) === 0xc0;
  return all.filter((_, i) => (options & (1 << i)) !== 0 && (i < 6 || wrong));
}

/** Reports of both versions, a query, a leaving; to whom they go. */
export function listener({ flags, extra, length }: Step): { readonly destination: IpAddress; readonly bytes: Uint8Array } {
  const type = pick([icmp.LISTENER_REPORT_2, 131, icmp.LISTENER_DONE, icmp.LISTENER_QUERY], flags);
  const group = new IpAddress(0xff020000, 0, 1, 0xff000000 | extra);
  const groups = dhcp.words(group.w0, group.w1, group.w2, group.w3);
  if (type !== icmp.LISTENER_REPORT_2) {
    return { destination: flags & 4 ? ALL_NODES : group, bytes: Buffer.concat([Uint8Array.of(type, 0, 0, 0, 0, 0, 0, 0), groups]) };
  }
  // The count lies at times.
  const records = Array.from({ length: length % 5 }, () => Buffer.concat([Uint8Array.of(4, 0, 0, 0), groups]));
  const count = flags & 8 ? length : records.length;
  return { destination: LISTENERS, bytes: Buffer.concat([Uint8Array.of(type, 0, 0, 0, 0, 0, count >>> 8, count), ...records]) };
}

const DHCP_MESSAGES = [
  dhcp.SOLICIT,
  dhcp.REQUEST,
  dhcp.RENEW,
  dhcp.REBIND,
  dhcp.CONFIRM,
  dhcp.RELEASE,
  dhcp.DECLINE,
  dhcp.INFORMATION_REQUEST,
  dhcp.SOLICIT,
  dhcp.REPLY,
  12,
  0,
];

/** To whom a message goes: the servers' group, the gateway, whoever serves nothing. */
export function dhcpServer({ value }: Step): IpAddress {
  return pick([ALL_DHCP, ALL_DHCP, GATEWAY6, GATEWAY_LINK, ALL_NODES], value);
}

/** `turn` makes other identity associations of one step. */
export function dhcpBytes6(mac: Mac, step: Step, turn = 0): Uint8Array {
  const { flags, extra, options, length } = step;
  const type = pick(DHCP_MESSAGES, flags);
  const duid = options & 1 ? new Uint8Array(length % 140).fill(extra) : dhcp.duidOf(mac.hi, mac.lo ^ (options & 2 ? extra : 0));
  const chosen: [number, Uint8Array][] = [];
  if ((options & 12) !== 12) chosen.push([dhcp.OPTION_CLIENT_ID, duid]);
  const toServer = [dhcp.REQUEST, dhcp.RENEW, dhcp.RELEASE, dhcp.DECLINE] as number[];
  if (toServer.includes(type) !== (options & 0x30) > 0x20) {
    chosen.push([dhcp.OPTION_SERVER_ID, dhcp.duidOf(GATEWAY_MAC.hi, GATEWAY_MAC.lo)]);
  }
  if (options & 0x40) chosen.push([dhcp.OPTION_RAPID_COMMIT, new Uint8Array(0)]);
  const count = type === dhcp.INFORMATION_REQUEST && extra < 240 ? 0 : pick([1, 1, 2, 12, 0, 60], length >>> 8);
  for (let i = 0; i < count; i++) {
    const words = pick([[GATEWAY6.w0, GATEWAY6.w1, 0x5894efff, extra + i] as const, [0x20010db8, 0, 0, i] as const], extra >>> 4);
    const addresses = options & 0x80 ? [{ words, preferred: 0, valid: 1 }] : [];
    chosen.push([dhcp.OPTION_IA_NA, dhcp.writeAssociation({ id: extra + i + turn * 8, renew: 0, rebind: 0, addresses })]);
  }
  chosen.push([6, Uint8Array.of(0, 23, 0, 24)]);
  return dhcp.writeDhcp6({ type, transaction: (flags << 8) | extra, options: chosen });
}
