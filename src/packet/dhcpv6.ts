/** DHCPv6 messages (RFC 8415 §8, §21): type, transaction, options. Rare: plain objects, checked while reading. */
import { i32, setU16, setU32, u16, u32 } from './bytes.ts';

export const SOLICIT = 1;
export const ADVERTISE = 2;
export const REQUEST = 3;
export const CONFIRM = 4;
export const RENEW = 5;
export const REBIND = 6;
export const REPLY = 7;
export const RELEASE = 8;
export const DECLINE = 9;
export const INFORMATION_REQUEST = 11;

export const OPTION_CLIENT_ID = 1;
export const OPTION_SERVER_ID = 2;
export const OPTION_IA_NA = 3;
export const OPTION_IA_ADDRESS = 5;
export const OPTION_PREFERENCE = 7;
export const OPTION_STATUS = 13;
export const OPTION_RAPID_COMMIT = 14;
export const OPTION_DNS = 23;
export const OPTION_SEARCH = 24;

export const STATUS_SUCCESS = 0;
export const STATUS_NO_ADDRESSES = 2;
export const STATUS_NO_BINDING = 3;
export const STATUS_NOT_ON_LINK = 4;

/** RFC 8415 §11.1. */
export const DUID_LIMIT = 130;
const DUID_LINK_LAYER = 3;
const DUID_LINK_LAYER_TIME = 1;
const ETHERNET = 1;

/** In the order written or found; a code may come more than once. */
export type Options = readonly (readonly [code: number, value: Uint8Array])[];

export interface Dhcp6Message {
  readonly type: number;
  /** 24 bits. */
  readonly transaction: number;
  readonly options: Options;
}

/** An identity association: what a client's interface is called, and the addresses in it. */
export interface Association {
  readonly id: number;
  /** Seconds until renewal, and until any server is asked; what clients write there does not count. */
  readonly renew: number;
  readonly rebind: number;
  readonly addresses: readonly LeasedAddress[];
  readonly status?: Status;
}

export interface LeasedAddress {
  /** Four words. */
  readonly words: readonly [number, number, number, number];
  /** Seconds. */
  readonly preferred: number;
  readonly valid: number;
}

export interface Status {
  readonly code: number;
  readonly text: string;
}

/** Undefined when the header or an option is cut off. */
export function readDhcp6(bytes: Uint8Array): Dhcp6Message | undefined {
  if (bytes.length < 4) return undefined;
  const options = readOptions(bytes, 4);
  return options === undefined ? undefined : { type: bytes[0]!, transaction: u32(bytes, 0) & 0xffffff, options };
}

function readOptions(bytes: Uint8Array, at: number): Options | undefined {
  const options: [number, Uint8Array][] = [];
  while (at < bytes.length) {
    const length = bytes.length - at < 4 ? Infinity : u16(bytes, at + 2);
    if (at + 4 + length > bytes.length) return undefined;
    options.push([u16(bytes, at), bytes.slice(at + 4, at + 4 + length)]);
    at += 4 + length;
  }
  return options;
}

/** The first option of this code. */
export function option(options: Options, code: number): Uint8Array | undefined {
  return options.find(([known]) => known === code)?.[1];
}

/** All IA_NA; undefined when one of them is malformed. */
export function readAssociations(options: Options): Association[] | undefined {
  const found: Association[] = [];
  for (const [code, value] of options) {
    if (code !== OPTION_IA_NA) continue;
    const inner = value.length < 12 ? undefined : readOptions(value, 12);
    if (inner === undefined) return undefined;
    const addresses = inner.flatMap(([kind, body]) => (kind === OPTION_IA_ADDRESS && body.length >= 24 ? [readAddress(body)] : []));
    found.push({ id: i32(value, 0), renew: u32(value, 4), rebind: u32(value, 8), addresses });
  }
  return found;
}

function readAddress(bytes: Uint8Array): LeasedAddress {
  const words = [i32(bytes, 0), i32(bytes, 4), i32(bytes, 8), i32(bytes, 12)] as const;
  return { words, preferred: u32(bytes, 16), valid: u32(bytes, 20) };
}

export function writeDhcp6({ type, transaction, options }: Dhcp6Message): Uint8Array {
  const header = new Uint8Array(4);
  setU32(header, 0, transaction);
  header[0] = type;
  return Buffer.concat([header, writeOptions(options)]);
}

function writeOptions(options: Options): Uint8Array {
  return Buffer.concat(
    options.map(([code, value]) => {
      const bytes = new Uint8Array(4 + value.length);
      setU16(bytes, 0, code);
      setU16(bytes, 2, value.length);
      bytes.set(value, 4);
      return bytes;
    }),
  );
}

/** The value of an IA_NA. */
export function writeAssociation({ id, renew, rebind, addresses, status }: Association): Uint8Array {
  const head = words(id, renew, rebind);
  const inner = addresses.map(({ words: address, preferred, valid }) => [OPTION_IA_ADDRESS, words(...address, preferred, valid)] as const);
  return Buffer.concat([head, writeOptions(status === undefined ? inner : [...inner, [OPTION_STATUS, writeStatus(status)]])]);
}

/** The value of a status option. */
export function writeStatus({ code, text }: Status): Uint8Array {
  const head = new Uint8Array(2);
  setU16(head, 0, code);
  return Buffer.concat([head, Buffer.from(text)]);
}

/** The words one behind the other: addresses, times. */
export function words(...values: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(values.length * 4);
  for (const [i, value] of values.entries()) setU32(bytes, i * 4, value);
  return bytes;
}

/** DUID-LL of an Ethernet interface (RFC 8415 §11.4). */
export function duidOf(macHi: number, macLo: number): Uint8Array {
  const bytes = new Uint8Array(10);
  setU16(bytes, 0, DUID_LINK_LAYER);
  setU16(bytes, 2, ETHERNET);
  setU16(bytes, 4, macHi);
  setU32(bytes, 6, macLo);
  return bytes;
}

/** The MAC address in a DUID-LL or DUID-LLT, as `5a:94:ef:e4:0c:ee`; undefined when it has none of Ethernet. */
export function macOfDuid(duid: Uint8Array): string | undefined {
  if (duid.length < 4 || u16(duid, 2) !== ETHERNET) return undefined;
  const at = u16(duid, 0) === DUID_LINK_LAYER ? 4 : u16(duid, 0) === DUID_LINK_LAYER_TIME ? 8 : 0;
  if (at === 0 || duid.length !== at + 6) return undefined;
  return [...duid.subarray(at)].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}
