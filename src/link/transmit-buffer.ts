/**
 * Frames on their way to one VM: a region of the arena filled from the left and written out in one call per turn.
 *
 *     head ── to be written ── tail ── free ──► size
 *
 * When everything is out both ends go back to the left. While the VM doesn't read, the region fills and `claim` fails.
 */
import type { Arena } from '../runtime/arena.ts';
import { clear } from '../packet/vnet-header.ts';
import type { Framing } from './framing.ts';

/** A remainder up to this size is moved to the left rather than waited for. */
const CHEAP = 16_384;

export class TransmitBuffer {
  head: number;
  tail: number;
  /** A claim failed: whoever made it waits for `drained`. */
  starved = false;
  readonly #arena: Arena;
  readonly #framing: Framing;
  readonly #at: number;
  readonly #size: number;

  private constructor(arena: Arena, framing: Framing, at: number, size: number) {
    this.#arena = arena;
    this.#framing = framing;
    this.#at = at;
    this.#size = size;
    this.head = this.tail = at;
  }

  /** `size` bytes; null when the arena is full. */
  static create(arena: Arena, framing: Framing, size: number): TransmitBuffer | null {
    const at = arena.allocate(size);
    return at < 0 ? null : new TransmitBuffer(arena, framing, at, size);
  }

  free(): void {
    this.#arena.free(this.#at, this.#size);
  }

  get pending(): number {
    return this.tail - this.head;
  }

  /** See Port.claim. */
  claim(bytes: number): number {
    if (this.tail + bytes <= this.#at + this.#size) return this.tail;
    if (this.head > this.#at && this.pending <= CHEAP && this.#at + this.pending + bytes <= this.#at + this.#size) {
      this.#arena.bytes.copyWithin(this.#at, this.head, this.tail);
      this.tail = this.#at + this.pending;
      this.head = this.#at;
      return this.tail;
    }
    this.starved = true;
    return -1;
  }

  /** See Port.commit. */
  commit(at: number, length: number, described = false): void {
    const { prefix, vnet } = this.#framing;
    const { bytes } = this.#arena;
    if (vnet > 0 && !described) clear(bytes, at - vnet);
    this.#framing.write(bytes, at - vnet - prefix, vnet + length);
    this.tail = at + length;
  }

  /** `count` bytes from the head were written. */
  wrote(count: number): void {
    this.head += count;
    if (this.head === this.tail) this.head = this.tail = this.#at;
  }

  /** Bytes of the length in front of each frame. */
  get prefix(): number {
    return this.#framing.prefix;
  }

  /** Bytes of the frame whose length stands at `at`, its virtio-net header included. */
  messageLength(at: number): number {
    return this.#framing.read(this.#arena.bytes, at);
  }

  /** The frame at the head was sent, or given up. */
  wroteMessage(): void {
    this.wrote(this.prefix + this.messageLength(this.head));
  }

  /** There is room worth waking up for. */
  get roomy(): boolean {
    return this.pending <= this.#size / 2;
  }
}
