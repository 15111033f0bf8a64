/** Memory for calls outside the packet path: one address, one length or one number at a time, used before anything else runs. */
import { addressOf } from './syscalls.ts';

const SIZE = 512;
const LENGTH_AT = 256;
/** Bytes of a sockaddr_storage. */
const ADDRESS_SIZE = 128;

const memory = new ArrayBuffer(SIZE);

export const scratchBytes: Uint8Array = new Uint8Array(memory);
export const scratchWords: Uint32Array = new Uint32Array(memory);

/** Where the memory lies. */
export function scratchAddress(): number {
  return addressOf(memory);
}

/** Where a length lies that a call reads and writes, set to `length`; 128, which any address fits into, unless told otherwise. */
export function scratchLength(length: number = ADDRESS_SIZE): number {
  scratchWords[LENGTH_AT >> 2] = length;
  return scratchAddress() + LENGTH_AT;
}
