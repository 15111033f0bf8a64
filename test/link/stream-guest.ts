/** A soft guest behind a stream of frames, as a virtual machine monitor holds it. */
import type { Readable, Writable } from 'node:stream';
import { SoftGuest } from '../../src/testing/index.ts';

/** How lengths stand in front of frames, written out again: the tests share nothing with the links but the wire. */
export interface Lengths {
  readonly bytes: number;
  read(bytes: Buffer): number;
  write(length: number): Buffer;
}

export const BIG_32: Lengths = {
  bytes: 4,
  read: (bytes) => bytes.readUInt32BE(0),
  write(length) {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(length);
    return bytes;
  },
};

export const LITTLE_16: Lengths = {
  bytes: 2,
  read: (bytes) => bytes.readUInt16LE(0),
  write(length) {
    const bytes = Buffer.alloc(2);
    bytes.writeUInt16LE(length);
    return bytes;
  },
};

export function framed(lengths: Lengths, frame: Uint8Array): Buffer {
  return Buffer.concat([lengths.write(frame.length), frame]);
}

/** Asks who has the gateway's address: the shortest frame that is answered, with 42 bytes. */
export function arpRequest(mac: string): Buffer {
  const sender = mac.replaceAll(':', '');
  return Buffer.from(`ffffffffffff${sender}08060001080006040001${sender}c0a87f09000000000000c0a87f01`, 'hex');
}

export function plugStream(from: Readable, to: Writable, lengths: Lengths, mac: string): SoftGuest {
  const guest = new SoftGuest({
    mac,
    scheduler: {
      now: () => performance.now(),
      after(ms, run) {
        const timer = setTimeout(run, ms);
        return () => clearTimeout(timer);
      },
    },
    wire: {
      send(frame) {
        to.write(framed(lengths, frame));
        return true;
      },
    },
  });
  let pending = Buffer.alloc(0);
  from.on('data', (chunk: Buffer) => {
    pending = Buffer.concat([pending, chunk]);
    while (pending.length >= lengths.bytes && pending.length >= lengths.bytes + lengths.read(pending)) {
      const end = lengths.bytes + lengths.read(pending);
      guest.receive(pending.subarray(lengths.bytes, end), 0, end - lengths.bytes);
      pending = pending.subarray(end);
    }
  });
  return guest;
}
