/** QEMU's framing on a stream socket of Node: a length of four bytes, big-endian, in front of each frame. */
import type { Socket } from 'node:net';

export function framed(frame: Uint8Array): Buffer {
  const bytes = Buffer.alloc(4 + frame.length);
  bytes.writeUInt32BE(frame.length);
  bytes.set(frame, 4);
  return bytes;
}

/** Calls `receive` with each frame; it may keep it. */
export function onFrames(socket: Socket, receive: (frame: Buffer) => void): void {
  let pending: Buffer = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    let at = 0;
    while (pending.length - at >= 4 && pending.length - at - 4 >= pending.readUInt32BE(at)) {
      const length = pending.readUInt32BE(at);
      receive(pending.subarray(at + 4, at + 4 + length));
      at += 4 + length;
    }
    pending = pending.subarray(at);
  });
}
