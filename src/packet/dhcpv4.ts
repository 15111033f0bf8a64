/** DHCP messages (RFC 2131 §2, RFC 2132): fixed fields, magic cookie, options. Rare: plain objects, checked while reading. */
import { i32, setU16, setU32, u16, u32 } from './bytes.ts';

export const BOOT_REQUEST = 1;
export const BOOT_REPLY = 2;

export const DISCOVER = 1;
export const OFFER = 2;
export const REQUEST = 3;
export const DECLINE = 4;
export const ACK = 5;
export const NAK = 6;
export const RELEASE = 7;
export const INFORM = 8;

export const OPTION_SUBNET_MASK = 1;
export const OPTION_ROUTER = 3;
export const OPTION_DNS = 6;
export const OPTION_HOST_NAME = 12;
export const OPTION_MTU = 26;
export const OPTION_REQUESTED_ADDRESS = 50;
export const OPTION_LEASE_TIME = 51;
export const OPTION_MESSAGE_TYPE = 53;
export const OPTION_SERVER_ID = 54;
export const OPTION_PARAMETERS = 55;
export const OPTION_RENEWAL_TIME = 58;
export const OPTION_REBINDING_TIME = 59;
export const OPTION_CLIENT_ID = 61;
export const OPTION_RELAY_AGENT = 82;
export const OPTION_SEARCH = 119;
const PAD = 0;
const END = 255;

const FIXED = 236;
const COOKIE = 0x63825363;
/** BOOTP's size, which old clients insist on (RFC 1542 §2.1). */
const MINIMUM = 300;

export interface DhcpMessage {
  op: number;
  hardwareType: number;
  hardwareLength: number;
  xid: number;
  flags: number;
  /** IPv4 addresses as signed words. */
  clientAddress: number;
  yourAddress: number;
  serverAddress: number;
  relayAddress: number;
  /** The whole field of 16 bytes. */
  hardwareAddress: Uint8Array;
  /** In the order written or found; an option that came in pieces is joined (RFC 3396). */
  options: Map<number, Uint8Array>;
}

/** Undefined when the fixed part or the cookie is not there. An option that runs past the end is left out with what follows. */
export function readDhcp(bytes: Uint8Array): DhcpMessage | undefined {
  if (bytes.length < FIXED + 4 || u32(bytes, FIXED) !== COOKIE) return undefined;
  return {
    op: bytes[0]!,
    hardwareType: bytes[1]!,
    hardwareLength: bytes[2]!,
    xid: u32(bytes, 4),
    flags: u16(bytes, 10),
    clientAddress: i32(bytes, 12),
    yourAddress: i32(bytes, 16),
    serverAddress: i32(bytes, 20),
    relayAddress: i32(bytes, 24),
    hardwareAddress: bytes.slice(28, 44),
    options: readOptions(bytes, FIXED + 4),
  };
}

function readOptions(bytes: Uint8Array, at: number): Map<number, Uint8Array> {
  const pieces = new Map<number, Uint8Array[]>();
  while (at < bytes.length) {
    const code = bytes[at]!;
    if (code === END) break;
    if (code === PAD) {
      at++;
      continue;
    }
    const length = bytes[at + 1];
    if (length === undefined || at + 2 + length > bytes.length) break;
    const value = bytes.slice(at + 2, at + 2 + length);
    const before = pieces.get(code);
    if (before === undefined) pieces.set(code, [value]);
    else before.push(value);
    at += 2 + length;
  }
  return new Map([...pieces].map(([code, values]) => [code, values.length === 1 ? values[0]! : join(values)]));
}

/** In one go: thousands of pieces of one code in a message must not cost their square. */
function join(pieces: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(pieces.reduce((length, piece) => length + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

/** Values over 255 bytes are split over several options of the same code (RFC 3396). Padded to 300 bytes. */
export function writeDhcp(message: DhcpMessage): Uint8Array {
  const pieces: number[] = [];
  for (const [code, value] of message.options) {
    let at = 0;
    do {
      const piece = value.subarray(at, at + 255);
      pieces.push(code, piece.length, ...piece);
      at += 255;
    } while (at < value.length);
  }
  pieces.push(END);
  const bytes = new Uint8Array(Math.max(FIXED + 4 + pieces.length, MINIMUM));
  bytes[0] = message.op;
  bytes[1] = message.hardwareType;
  bytes[2] = message.hardwareLength;
  setU32(bytes, 4, message.xid);
  setU16(bytes, 10, message.flags);
  setU32(bytes, 12, message.clientAddress);
  setU32(bytes, 16, message.yourAddress);
  setU32(bytes, 20, message.serverAddress);
  setU32(bytes, 24, message.relayAddress);
  bytes.set(message.hardwareAddress.subarray(0, 16), 28);
  setU32(bytes, FIXED, COOKIE);
  bytes.set(pieces, FIXED + 4);
  return bytes;
}
