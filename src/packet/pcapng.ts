/**
 * Capture files that Wireshark opens: pcapng (draft-ietf-opsawg-pcapng), one section, one Ethernet interface.
 *
 * Blocks are little-endian and padded to 32 bits. Timestamps are microseconds since 1970.
 */

const SECTION = 0x0a0d0d0a;
const INTERFACE = 1;
const PACKET = 6;
const BYTE_ORDER = 0x1a2b3c4d;
const LINK_ETHERNET = 1;
const OPTION_NAME = 2;
const OPTION_FLAGS = 2;
const OPTION_END = 0;

/** Direction as the epb_flags option has it, seen from the network: from the VM, to the VM. */
export const INBOUND = 1;
export const OUTBOUND = 2;

/** Bytes of a packet block around a frame of `length` bytes. */
export function packetBlockSize(length: number): number {
  return 28 + padded(length) + 8 + 4 + 4;
}

/** The blocks that open a file: section header, and one interface called `name`. */
export function fileHeader(name: string): Uint8Array {
  const text = Buffer.from(name);
  const options = 4 + padded(text.length) + 4;
  const bytes = new Uint8Array(28 + 20 + options);
  const view = new DataView(bytes.buffer);
  block(view, 0, SECTION, 28);
  view.setUint32(8, BYTE_ORDER, true);
  view.setUint16(12, 1, true);
  // Section length: not said.
  view.setUint32(16, 0xffffffff, true);
  view.setUint32(20, 0xffffffff, true);
  const at = 28;
  block(view, at, INTERFACE, 20 + options);
  view.setUint16(at + 8, LINK_ETHERNET, true);
  view.setUint16(at + 16, OPTION_NAME, true);
  view.setUint16(at + 18, text.length, true);
  bytes.set(text, at + 20);
  return bytes;
}

/** Writes one frame at `to` of `bytes`; `view` is over the same memory. Returns the size of the block. */
export function writePacketBlock(
  bytes: Uint8Array,
  view: DataView,
  to: number,
  frame: Uint8Array,
  at: number,
  length: number,
  direction: number,
  milliseconds: number,
): number {
  const size = packetBlockSize(length);
  block(view, to, PACKET, size);
  const microseconds = milliseconds * 1000;
  view.setUint32(to + 8, 0, true);
  view.setUint32(to + 12, Math.floor(microseconds / 2 ** 32), true);
  view.setUint32(to + 16, microseconds % 2 ** 32, true);
  view.setUint32(to + 20, length, true);
  view.setUint32(to + 24, length, true);
  bytes.set(frame.subarray(at, at + length), to + 28);
  const options = to + 28 + padded(length);
  bytes.fill(0, to + 28 + length, options);
  view.setUint16(options, OPTION_FLAGS, true);
  view.setUint16(options + 2, 4, true);
  view.setUint32(options + 4, direction, true);
  view.setUint32(options + 8, OPTION_END, true);
  return size;
}

function block(view: DataView, at: number, type: number, size: number): void {
  view.setUint32(at, type, true);
  view.setUint32(at + 4, size, true);
  view.setUint32(at + size - 4, size, true);
}

function padded(length: number): number {
  return (length + 3) & ~3;
}
