/** What a DHCP client sends, and what it learns from an answer (RFC 2131 §4.4, RFC 2132). */
import { i32, setU16, setU32, u16, u32 } from './bytes.ts';
import {
  BOOT_REQUEST,
  type DhcpMessage,
  OPTION_DNS,
  OPTION_LEASE_TIME,
  OPTION_MESSAGE_TYPE,
  OPTION_MTU,
  OPTION_REBINDING_TIME,
  OPTION_RENEWAL_TIME,
  OPTION_ROUTER,
  OPTION_SEARCH,
  OPTION_SERVER_ID,
  OPTION_SUBNET_MASK,
  writeDhcp,
} from './dhcpv4.ts';
import type { Mac } from './mac.ts';

export const CLIENT_PORT = 68;
export const SERVER_PORT = 67;

/** A lease without an end. */
const FOREVER = 0xffffffff;

/** IPv4 addresses are signed words, 0 what the server didn't say. */
export interface DhcpLease {
  readonly address: number;
  readonly mask: number;
  readonly router: number;
  readonly nameservers: readonly number[];
  /** Domains for names without a dot. */
  readonly search: readonly string[];
  readonly server: number;
  /** 0 when the server didn't say. */
  readonly mtu: number;
  /** Seconds from the request on; Infinity without an end. T1 and T2 as the server says, or RFC 2131's halves and seven eighths. */
  readonly time: number;
  readonly renewal: number;
  readonly rebinding: number;
}

export interface ClientMessage {
  readonly type: number;
  readonly xid: number;
  readonly mac: Mac;
  /** The client's own, once it has one. Default 0. */
  readonly address?: number;
  readonly options?: readonly (readonly [code: number, value: Uint8Array])[];
}

export function writeClientMessage({ type, xid, mac, address = 0, options = [] }: ClientMessage): Uint8Array {
  const hardwareAddress = new Uint8Array(16);
  setU16(hardwareAddress, 0, mac.hi);
  setU32(hardwareAddress, 2, mac.lo);
  return writeDhcp({
    op: BOOT_REQUEST,
    hardwareType: 1,
    hardwareLength: 6,
    xid,
    flags: 0,
    clientAddress: address,
    yourAddress: 0,
    serverAddress: 0,
    relayAddress: 0,
    hardwareAddress,
    options: new Map([[OPTION_MESSAGE_TYPE, Uint8Array.of(type)], ...options]),
  });
}

/** A word as the value of an option. */
export function wordOption(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  setU32(bytes, 0, value);
  return bytes;
}

export function messageType({ options }: DhcpMessage): number {
  return options.get(OPTION_MESSAGE_TYPE)?.[0] ?? 0;
}

/** What an OFFER or an ACK gives. Options that are too short count as not said. */
export function leaseOf({ yourAddress, options }: DhcpMessage): DhcpLease {
  const words = (code: number): number[] => {
    const value = options.get(code) ?? new Uint8Array(0);
    return Array.from({ length: value.length >> 2 }, (_, i) => i32(value, i * 4));
  };
  const seconds = (code: number): number | undefined => {
    const value = options.get(code);
    return value === undefined || value.length < 4 ? undefined : u32(value, 0);
  };
  const said = seconds(OPTION_LEASE_TIME) ?? FOREVER;
  const time = said === FOREVER ? Infinity : said;
  const mtu = options.get(OPTION_MTU);
  return {
    address: yourAddress,
    mask: words(OPTION_SUBNET_MASK)[0] ?? 0,
    router: words(OPTION_ROUTER)[0] ?? 0,
    nameservers: words(OPTION_DNS).slice(0, SERVER_LIMIT),
    search: readSearch(options.get(OPTION_SEARCH) ?? new Uint8Array(0)),
    server: words(OPTION_SERVER_ID)[0] ?? 0,
    mtu: mtu === undefined || mtu.length < 2 ? 0 : u16(mtu, 0),
    time,
    renewal: Math.min(seconds(OPTION_RENEWAL_TIME) ?? time / 2, time),
    rebinding: Math.min(seconds(OPTION_REBINDING_TIME) ?? (time * 7) / 8, time),
  };
}

const POINTER = 0xc0;
/** Bytes of a name (RFC 1035 §3.1). Without a limit pointers to one long name make gigabytes of a message. */
const NAME_LIMIT = 255;
/** Domains and name servers that are taken: more than any resolver uses. */
const SEARCH_LIMIT = 32;
const SERVER_LIMIT = 8;
/** Characters that a name in a resolver's file may have. */
const PLAIN = /^[\w-]+$/;

/** RFC 3397. What is malformed ends the list; names that no file should get are left out. */
function readSearch(bytes: Uint8Array): string[] {
  const names: string[] = [];
  for (let at = 0; at < bytes.length && names.length < SEARCH_LIMIT;) {
    const name = readName(bytes, at);
    if (name === undefined) break;
    if (name.labels.length > 0 && name.labels.every((label) => PLAIN.test(label))) names.push(name.labels.join('.'));
    at = name.end;
  }
  return names;
}

/** Labels that may end in those of a name further ahead; pointers lead back only, so there is an end. */
function readName(bytes: Uint8Array, start: number): { labels: string[]; end: number } | undefined {
  const labels: string[] = [];
  let end = -1;
  let piece = start;
  let size = 1;
  for (let at = start; ;) {
    const length = bytes[at];
    if (length === undefined) return undefined;
    if (length === 0) return { labels, end: end < 0 ? at + 1 : end };
    if (length >= POINTER) {
      const target = ((length & ~POINTER) << 8) | (bytes[at + 1] ?? 0);
      if (target >= piece) return undefined;
      if (end < 0) end = at + 2;
      at = piece = target;
      continue;
    }
    size += 1 + length;
    if (at + 1 + length > bytes.length || size > NAME_LIMIT) return undefined;
    labels.push(Buffer.from(bytes.subarray(at + 1, at + 1 + length)).toString('latin1'));
    at += 1 + length;
  }
}
