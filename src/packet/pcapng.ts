/**
 * Capture files that Wireshark opens: pcapng (draft-ietf-opsawg-pcapng), one section, one Ethernet interface.
 *
 * Blocks are little-endian and padded to 32 bits. Timestamps are microseconds since 1970.
 */

const SECTION = 0x0a0d0d0a;
const INTERFACE = 1;
const STATISTICS = 5;
const PACKET = 6;
const BYTE_ORDER = 0x1a2b3c4d;
const LINK_ETHERNET = 1;
const OPTION_NAME = 2;
const OPTION_FLAGS = 2;
const OPTION_RECEIVED = 4;
const OPTION_DROPPED = 5;
const OPTION_END = 0;

/** Direction as the epb_flags option has it, seen from the network: from the VM, to the VM. */
export const INBOUND = 1;
export const OUTBOUND = 2;

/** Bytes of a statistics block. */
export const STATISTICS_BLOCK = 52;

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
  view.setUint32(to + 8, 0, true);
  timestamp(view, to + 12, milliseconds);
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

/** Writes what the interface has seen until now, and what of it is missing from the file. Returns the size of the block. */
export function writeStatisticsBlock(view: DataView, to: number, received: number, dropped: number, milliseconds: number): number {
  block(view, to, STATISTICS, STATISTICS_BLOCK);
  view.setUint32(to + 8, 0, true);
  timestamp(view, to + 12, milliseconds);
  counter(view, to + 20, OPTION_RECEIVED, received);
  counter(view, to + 32, OPTION_DROPPED, dropped);
  view.setUint32(to + 44, OPTION_END, true);
  return STATISTICS_BLOCK;
}

/** The upper half stands first, whatever the byte order of the file. */
function timestamp(view: DataView, at: number, milliseconds: number): void {
  const microseconds = milliseconds * 1000;
  view.setUint32(at, Math.floor(microseconds / 2 ** 32), true);
  view.setUint32(at + 4, microseconds % 2 ** 32, true);
}

/** An option of 64 bits. */
function counter(view: DataView, at: number, option: number, value: number): void {
  view.setUint16(at, option, true);
  view.setUint16(at + 2, 8, true);
  view.setUint32(at + 4, value % 2 ** 32, true);
  view.setUint32(at + 8, Math.floor(value / 2 ** 32), true);
}

function block(view: DataView, at: number, type: number, size: number): void {
  view.setUint32(at, type, true);
  view.setUint32(at + 4, size, true);
  view.setUint32(at + size - 4, size, true);
}

function padded(length: number): number {
  return (length + 3) & ~3;
}
