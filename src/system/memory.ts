/** Writing C structures into arena memory: native-endian 32-bit words at byte offsets that are multiples of four. */
import { AF_INET, AF_INET6, AF_UNIX } from './constants.ts';
import { IOVEC, SOCKADDR_IN, SOCKADDR_IN6, SOCKADDR_UN } from './layout.ts';

const WORD = 2 ** 32;
const MAPPED = 0x0000ffff;

/** Writes a 64-bit pointer or size below 2^53. */
export function writePointer(words: Uint32Array, at: number, value: number): void {
  words[at >> 2] = value >>> 0;
  words[(at >> 2) + 1] = Math.floor(value / WORD);
}

export function writeIovec(words: Uint32Array, at: number, address: number, length: number): void {
  writePointer(words, at + IOVEC.base, address);
  words[(at + IOVEC.length) >> 2] = length;
  words[((at + IOVEC.length) >> 2) + 1] = 0;
}

/** An address as four words (IPv4 as IPv4-mapped IPv6) becomes sockaddr_in or sockaddr_in6. Returns its size. */
export function writeSockaddr(bytes: Uint8Array, at: number, w0: number, w1: number, w2: number, w3: number, port: number): number {
  const v4 = w0 === 0 && w1 === 0 && w2 === MAPPED;
  bytes.fill(0, at, at + SOCKADDR_IN6);
  bytes[at] = v4 ? AF_INET : AF_INET6;
  bytes[at + 2] = port >>> 8;
  bytes[at + 3] = port;
  if (v4) {
    writeWord(bytes, at + 4, w3);
    return SOCKADDR_IN;
  }
  writeWord(bytes, at + 8, w0);
  writeWord(bytes, at + 12, w1);
  writeWord(bytes, at + 16, w2);
  writeWord(bytes, at + 20, w3);
  return SOCKADDR_IN6;
}

/** Path of a unix socket, at most 107 bytes. Returns the size, or -1 when the path does not fit. */
export function writeUnixSockaddr(bytes: Uint8Array, at: number, path: string): number {
  const text = Buffer.from(path);
  if (text.length === 0 || text.length > SOCKADDR_UN - 3 || text.includes(0)) return -1;
  bytes.fill(0, at, at + SOCKADDR_UN);
  bytes[at] = AF_UNIX;
  bytes.set(text, at + 2);
  return SOCKADDR_UN;
}

export interface SocketAddress {
  readonly words: readonly [number, number, number, number];
  readonly port: number;
}

/** Reads sockaddr_in or sockaddr_in6; undefined for other families. */
export function readSockaddr(bytes: Uint8Array, at: number): SocketAddress | undefined {
  const port = (bytes[at + 2]! << 8) | bytes[at + 3]!;
  if (bytes[at] === AF_INET) return { words: [0, 0, MAPPED, readWord(bytes, at + 4)], port };
  if (bytes[at] !== AF_INET6) return undefined;
  return { words: [readWord(bytes, at + 8), readWord(bytes, at + 12), readWord(bytes, at + 16), readWord(bytes, at + 20)], port };
}

function writeWord(bytes: Uint8Array, at: number, word: number): void {
  bytes[at] = word >>> 24;
  bytes[at + 1] = word >>> 16;
  bytes[at + 2] = word >>> 8;
  bytes[at + 3] = word;
}

function readWord(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;
}
