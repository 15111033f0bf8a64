/**
 * Neighbour discovery (RFC 4861): solicitations and advertisements of neighbours and routers. Offsets are those of the ICMPv6
 * header; checksums are the caller's.
 */
import { setU16, setU32 } from './bytes.ts';
import { MINIMUM_MTU } from './ipv6.ts';

export const ROUTER_SOLICITATION = 133;
export const ROUTER_ADVERTISEMENT = 134;
export const NEIGHBOUR_SOLICITATION = 135;
export const NEIGHBOUR_ADVERTISEMENT = 136;
export const REDIRECT = 137;

/** Length without options: header and target; of a router solicitation only the header. */
export const NEIGHBOUR_MESSAGE = 24;
export const SOLICITATION = 8;
/** Where the target stands in messages about neighbours. */
export const TARGET = 8;
/** Length of a neighbour message with one link-layer address. */
export const WITH_ADDRESS: number = NEIGHBOUR_MESSAGE + 8;

/** Flags of a neighbour advertisement, as its first word has them. */
export const ROUTER = 0x80000000;
export const SOLICITED = 0x40000000;
export const OVERRIDE = 0x20000000;

/** RFC 4861 §4.2: never forgotten. */
export const FOREVER = 0xffffffff;

const SOURCE_LINK_LAYER = 1;
const TARGET_LINK_LAYER = 2;
const PREFIX = 3;
const MTU = 5;
const RDNSS = 25;
const DNSSL = 31;

/** Options that a message has, as bits. */
export const HAS_SOURCE_ADDRESS = 1;

/** RFC 4861 §6.1, §7.1: which known options stand from `at` to `end`, as bits; -1 when one has no length, or runs past the end. */
export function options(bytes: Uint8Array, at: number, end: number): number {
  let found = 0;
  while (at < end) {
    const length = end - at < 2 ? 0 : bytes[at + 1]! * 8;
    if (length === 0 || length > end - at) return -1;
    if (bytes[at] === SOURCE_LINK_LAYER) found |= HAS_SOURCE_ADDRESS;
    at += length;
  }
  return found;
}

/** Type, code 0, no checksum, and the word behind. */
function writeHeader(bytes: Uint8Array, at: number, type: number, word: number): void {
  setU32(bytes, at, type << 24);
  setU32(bytes, at + 4, word);
}

function writeLinkLayer(bytes: Uint8Array, at: number, option: number, macHi: number, macLo: number): void {
  setU16(bytes, at, (option << 8) | 1);
  setU16(bytes, at + 2, macHi);
  setU32(bytes, at + 4, macLo);
}

function writeWords(bytes: Uint8Array, at: number, w0: number, w1: number, w2: number, w3: number): void {
  setU32(bytes, at, w0);
  setU32(bytes, at + 4, w1);
  setU32(bytes, at + 8, w2);
  setU32(bytes, at + 12, w3);
}

/** Asks who has an address; WITH_ADDRESS bytes, the asker's link-layer address among them. */
export function writeSolicitation(
  bytes: Uint8Array,
  at: number,
  t0: number,
  t1: number,
  t2: number,
  t3: number,
  macHi: number,
  macLo: number,
): void {
  writeHeader(bytes, at, NEIGHBOUR_SOLICITATION, 0);
  writeWords(bytes, at + TARGET, t0, t1, t2, t3);
  writeLinkLayer(bytes, at + NEIGHBOUR_MESSAGE, SOURCE_LINK_LAYER, macHi, macLo);
}

/** Says who has an address; WITH_ADDRESS bytes. */
export function writeAdvertisement(
  bytes: Uint8Array,
  at: number,
  flags: number,
  t0: number,
  t1: number,
  t2: number,
  t3: number,
  macHi: number,
  macLo: number,
): void {
  writeHeader(bytes, at, NEIGHBOUR_ADVERTISEMENT, flags);
  writeWords(bytes, at + TARGET, t0, t1, t2, t3);
  writeLinkLayer(bytes, at + NEIGHBOUR_MESSAGE, TARGET_LINK_LAYER, macHi, macLo);
}

/** What a router says of the network. Addresses as four words. */
export interface RouterAdvertisement {
  readonly macHi: number;
  readonly macLo: number;
  /** A /64, on the link and for addresses that guests make themselves. */
  readonly prefix: readonly [number, number];
  readonly mtu: number;
  /** Seconds for which the router is one, and for which the resolver may be used. */
  readonly lifetime: number;
  readonly resolver: readonly [number, number, number, number];
  /** Domains as DNS writes names (RFC 1035 §3.1), without compression. What makes the message larger than any link's MTU is left out. */
  readonly searchList: readonly Uint8Array[];
}

const HOPS = 64;
/** Addresses, and more, can be asked for by DHCPv6. */
const MANAGED = 0x80;
const OTHER = 0x40;
const ON_LINK = 0x80;
const AUTONOMOUS = 0x40;
/** Bytes before DNSSL: header, link-layer address, MTU, prefix, RDNSS. */
const FIXED = 16 + 8 + 8 + 32 + 24;
/** Largest message that needs no fragments anywhere. */
export const ADVERTISEMENT_LIMIT: number = MINIMUM_MTU - 40;

/** Returns its length. */
export function writeRouterAdvertisement(bytes: Uint8Array, at: number, router: RouterAdvertisement): number {
  const { lifetime, prefix, resolver } = router;
  writeHeader(bytes, at, ROUTER_ADVERTISEMENT, (HOPS << 24) | ((MANAGED | OTHER) << 16) | lifetime);
  // Times for reachability and between solicitations: not said.
  setU32(bytes, at + 8, 0);
  setU32(bytes, at + 12, 0);
  writeLinkLayer(bytes, at + 16, SOURCE_LINK_LAYER, router.macHi, router.macLo);
  setU32(bytes, at + 24, (MTU << 24) | (1 << 16));
  setU32(bytes, at + 28, router.mtu);
  setU32(bytes, at + 32, (PREFIX << 24) | (4 << 16) | (64 << 8) | ON_LINK | AUTONOMOUS);
  setU32(bytes, at + 36, FOREVER);
  setU32(bytes, at + 40, FOREVER);
  setU32(bytes, at + 44, 0);
  writeWords(bytes, at + 48, prefix[0], prefix[1], 0, 0);
  setU32(bytes, at + 64, (RDNSS << 24) | (3 << 16));
  setU32(bytes, at + 68, lifetime);
  writeWords(bytes, at + 72, ...resolver);
  return FIXED + writeSearchList(bytes, at + FIXED, router);
}

/** RFC 8106 §5.2: names one after the other, zeros up to a multiple of eight. */
function writeSearchList(bytes: Uint8Array, at: number, { lifetime, searchList }: RouterAdvertisement): number {
  let length = 8;
  for (const name of searchList) {
    if (FIXED + length + name.length > ADVERTISEMENT_LIMIT - 7) break;
    bytes.set(name, at + length);
    length += name.length;
  }
  if (length === 8) return 0;
  const padded = (length + 7) & ~7;
  bytes.fill(0, at + length, at + padded);
  setU32(bytes, at, (DNSSL << 24) | ((padded / 8) << 16));
  setU32(bytes, at + 4, lifetime);
  return padded;
}
