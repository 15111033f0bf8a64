/**
 * Where links read to: one region of the arena shared by every stream port of a network, since whatever a read brings is
 * dealt with before the next read. Only the beginning of a frame whose end has not come yet is kept, by its port.
 */
import type { Arena } from '../runtime/arena.ts';
import type { Framing } from './framing.ts';

export class ReceiveRegion {
  readonly at: number;
  readonly size: number;
  readonly arena: Arena;

  /** `size` bytes, more than the largest frame. */
  constructor(arena: Arena, size: number) {
    this.arena = arena;
    this.size = size;
    this.at = arena.allocate(size);
  }
}

/** Called with each complete frame. */
export type Deliver = (at: number, length: number) => void;

/** Cuts one VM's byte stream into frames. */
export class Deframer {
  readonly #region: ReceiveRegion;
  readonly #framing: Framing;
  readonly #deliver: Deliver;
  /** The beginning of a frame: `#held` bytes in a region of the port's own, taken when first needed. */
  #stash = -1;
  #held = 0;
  /** The length that was out of bounds, once `consume` has returned false. */
  invalid = 0;

  constructor(region: ReceiveRegion, framing: Framing, deliver: Deliver) {
    this.#region = region;
    this.#framing = framing;
    this.#deliver = deliver;
  }

  get #stashSize(): number {
    return this.#framing.limit + this.#framing.prefix;
  }

  free(): void {
    if (this.#stash >= 0) this.#region.arena.free(this.#stash, this.#stashSize);
    this.#stash = -1;
  }

  /** Puts the held bytes in front and returns the arena offset to read to: up to `room` bytes. -1: the arena is full. */
  begin(): number {
    const { at, arena } = this.#region;
    if (this.#held > 0) arena.bytes.copyWithin(at, this.#stash, this.#stash + this.#held);
    return at + this.#held;
  }

  get room(): number {
    return this.#region.size - this.#held;
  }

  /**
   * `count` bytes were read to where `begin` said: delivers the frames that are complete and holds the rest. False when a
   * length is out of bounds (frames in front of it were delivered), or when the arena has no room for the rest.
   */
  consume(count: number): boolean {
    const { arena } = this.#region;
    const { prefix, limit } = this.#framing;
    let at = this.#region.at;
    const end = at + this.#held + count;
    while (end - at >= prefix) {
      const length = this.#framing.read(arena.bytes, at);
      if (length > limit) {
        this.invalid = length;
        return false;
      }
      if (end - at - prefix < length) break;
      this.#deliver(at + prefix, length);
      at += prefix + length;
    }
    this.#held = end - at;
    if (this.#held === 0) return true;
    if (this.#stash < 0) this.#stash = arena.allocate(this.#stashSize);
    if (this.#stash < 0) return false;
    arena.bytes.copyWithin(this.#stash, at, end);
    return true;
  }
}
