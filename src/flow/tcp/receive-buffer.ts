/**
 * Bytes of one flow that the host has not taken: in-order bytes it refused, and bytes that came out of order.
 *
 * A ring in the arena indexed by sequence number (its size divides 2^32), so a byte is copied once, to the place where it
 * will be read from.
 *
 *     hostNxt ─────────► rcvNxt ···gap··· [left0,right0) ··· [left1,right1)
 *     └ in order, refused ┘                └──────── out of order ────────┘
 */
import type { Arena } from '../../runtime/arena.ts';
import type { Spans } from '../../host/endpoint.ts';
import { SequenceRanges } from './sequence-ranges.ts';

export class ReceiveBuffer {
  readonly size: number;
  readonly outOfOrder: SequenceRanges = new SequenceRanges();
  readonly #arena: Arena;
  readonly #at: number;

  private constructor(arena: Arena, at: number, size: number) {
    this.#arena = arena;
    this.#at = at;
    this.size = size;
  }

  /** A buffer for a window of `bytes`; null when the arena has no room. */
  static create(arena: Arena, bytes: number): ReceiveBuffer | null {
    let size = 4096;
    while (size < bytes) size *= 2;
    const at = arena.allocate(size);
    return at < 0 ? null : new ReceiveBuffer(arena, at, size);
  }

  free(): void {
    this.#arena.free(this.#at, this.size);
  }

  /** Copies arena bytes to the place of sequence number `sequence`. The caller keeps within one ring of hostNxt. */
  store(sequence: number, from: number, length: number): void {
    const bytes = this.#arena.bytes;
    const position = sequence & (this.size - 1);
    const first = Math.min(length, this.size - position);
    bytes.copyWithin(this.#at + position, from, from + first);
    if (first < length) bytes.copyWithin(this.#at, from + first, from + length);
  }

  /** Adds the stored bytes of [from, to) to `spans`. */
  span(spans: Spans, from: number, to: number): void {
    const length = (to - from) | 0;
    const position = from & (this.size - 1);
    const first = Math.min(length, this.size - position);
    spans.add(this.#at + position, first);
    if (first < length) spans.add(this.#at, length - first);
  }
}
