/** How a stream link marks where frames begin: a length in front of each. */
import { VNET_HEADER } from '../packet/vnet-header.ts';
import { setU32, u32 } from '../packet/bytes.ts';

export interface Framing {
  /** Bytes of the length field. */
  readonly prefix: number;
  /** Bytes of virtio-net header that the length counts and that stand in front of the frame: VNET_HEADER or 0. */
  readonly vnet: number;
  /** Largest length the link accepts. */
  readonly limit: number;
  read(bytes: Uint8Array, at: number): number;
  write(bytes: Uint8Array, at: number, length: number): void;
}

/** QEMU's stream and socket netdevs (contract §6.1): 32 bits, big-endian; longer than 128 KiB is an error. */
export const QEMU_FRAMING: Framing = { prefix: 4, vnet: 0, limit: 131_072, read: u32, write: setU32 };

/** HyperKit, stdio and `/connect` (contract §6.2 to 6.4): 16 bits, little-endian. */
export const VPNKIT_FRAMING: Framing = { prefix: 2, vnet: 0, limit: 65_535, read: readLittle, write: writeLittle };

/** QEMU's length, then a virtio-net header: what gvforwarder and guestwire's gvproxy speak with each other (docs/compatibility.md). */
export const VNET_FRAMING: Framing = { ...QEMU_FRAMING, vnet: VNET_HEADER };

function readLittle(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8);
}

function writeLittle(bytes: Uint8Array, at: number, length: number): void {
  bytes[at] = length;
  bytes[at + 1] = length >>> 8;
}
