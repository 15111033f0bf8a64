/** A port that keeps what it is sent; the place of each frame is poisoned once it was copied, so that whoever reads it later is wrong. */
import { type FrameTap, type Port, portCounters, type PortCounters } from '../src/link/port.ts';
import type { Arena } from '../src/runtime/arena.ts';

const SIZE = 1 << 20;

export class FakePort implements Port {
  readonly id: number;
  readonly name: string = 'fake';
  readonly headroom: number = 4;
  readonly offload: boolean = false;
  readonly largestFrame: number = 0;
  readonly counters: PortCounters = portCounters();
  readonly frames: Buffer[] = [];
  tap: FrameTap | null = null;
  full = false;
  readonly #arena: Arena;
  readonly #at: number;

  constructor(arena: Arena, id = 0) {
    this.#arena = arena;
    this.id = id;
    this.#at = arena.allocate(SIZE);
    arena.bytes.fill(0xa5, this.#at, this.#at + SIZE);
  }

  claim(bytes: number): number {
    return this.full || bytes > SIZE ? -1 : this.#at;
  }

  commit(at: number, length: number): void {
    this.frames.push(Buffer.from(this.#arena.bytes.subarray(at, at + length)));
    this.#arena.bytes.fill(0xa5, at, at + length);
    this.counters.txFrames++;
  }

  take(): Buffer[] {
    return this.frames.splice(0);
  }
}
