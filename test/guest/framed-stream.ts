/** Frames on a byte stream of Node, each behind its length. */
import type { Readable } from 'node:stream';

/** `qemu`: lengths of four bytes, big-endian; `vpnkit`: of two, little-endian. */
export type FramingName = 'qemu' | 'vpnkit';

const PREFIX: Readonly<Record<FramingName, number>> = { qemu: 4, vpnkit: 2 };

export function framed(frame: Uint8Array, framing: FramingName = 'qemu'): Buffer {
  const prefix = PREFIX[framing];
  const bytes = Buffer.alloc(prefix + frame.length);
  if (framing === 'qemu') bytes.writeUInt32BE(frame.length);
  else bytes.writeUInt16LE(frame.length);
  bytes.set(frame, prefix);
  return bytes;
}

/** Calls `receive` with each frame; it may keep it. */
export function onFrames(stream: Readable, receive: (frame: Buffer) => void, framing: FramingName = 'qemu'): void {
  const prefix = PREFIX[framing];
  const lengthAt = (bytes: Buffer, at: number): number => (framing === 'qemu' ? bytes.readUInt32BE(at) : bytes.readUInt16LE(at));
  let pending: Buffer = Buffer.alloc(0);
  stream.on('data', (chunk: Buffer) => {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    let at = 0;
    while (pending.length - at >= prefix && pending.length - at - prefix >= lengthAt(pending, at)) {
      const end = at + prefix + lengthAt(pending, at);
      receive(pending.subarray(at + prefix, end));
      at = end;
    }
    pending = pending.subarray(at);
  });
}
