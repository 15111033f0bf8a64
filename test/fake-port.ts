/** A port that keeps what it is sent; the place of each frame is poisoned once it was copied, so that whoever reads it later is wrong. */
import assert from 'node:assert/strict';
import { type FrameTap, type Port, portCounters, type PortCounters } from '../src/link/port.ts';
import { finish, sum } from '../src/packet/checksum.ts';
import * as vnet from '../src/packet/vnet-header.ts';
import type { Arena } from '../src/runtime/arena.ts';

export interface FakePortOptions {
  readonly offload?: boolean;
  readonly largestFrame?: number;
}

const SIZE = 1 << 20;

export class FakePort implements Port {
  readonly id: number;
  readonly name: string = 'fake';
  readonly headroom: number;
  readonly offload: boolean;
  readonly largestFrame: number;
  readonly counters: PortCounters = portCounters();
  readonly frames: Buffer[] = [];
  /** What stood in front of them, on a port with offload. */
  readonly headers: Buffer[] = [];
  tap: FrameTap | null = null;
  full = false;
  /** Bytes that it takes before it is full. */
  room: number = Infinity;
  readonly #arena: Arena;
  readonly #at: number;

  constructor(arena: Arena, id = 0, { offload = false, largestFrame = 0 }: FakePortOptions = {}) {
    this.#arena = arena;
    this.offload = offload;
    this.largestFrame = largestFrame;
    this.headroom = 4 + (offload ? vnet.VNET_HEADER : 0);
    this.id = id;
    this.#at = arena.allocate(SIZE);
    arena.bytes.fill(0xa5, this.#at, this.#at + SIZE);
  }

  claim(bytes: number): number {
    return this.full || bytes > SIZE || bytes > this.room ? -1 : this.#at;
  }

  commit(at: number, length: number, described = false): void {
    const frame = Buffer.from(this.#arena.bytes.subarray(at, at + length));
    if (this.offload) {
      const header = Buffer.from(this.#arena.bytes.subarray(at - vnet.VNET_HEADER, at));
      if (!described) vnet.clear(header, 0);
      complete(frame, header);
      this.headers.push(header);
    }
    this.frames.push(frame);
    this.#arena.bytes.fill(0xa5, at, at + length);
    this.counters.txFrames++;
    this.room -= length;
  }

  take(): Buffer[] {
    return this.frames.splice(0);
  }
}

/** Completes a partial checksum, as a kernel does before the frame leaves it. */
function complete(frame: Buffer, header: Buffer): void {
  assert.ok(vnet.isPossible(header, 0, frame.length), header.toString('hex'));
  if (vnet.flags(header, 0) !== vnet.NEEDS_CHECKSUM) return;
  const start = vnet.checksumStart(header, 0);
  frame.writeUInt16BE(finish(sum(frame, start, frame.length - start)), start + vnet.checksumOffset(header, 0));
}
