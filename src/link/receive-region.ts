/**
 * Where links read to: one region of the arena shared by every stream port of a network, since whatever a read brings is
 * dealt with before the next read. Only the beginning of a frame whose end has not come yet is kept, by its port.
 */
import type { Arena } from '../runtime/arena.ts';
import type { Framing } from './framing.ts';
import { CapacityError } from '../errors.ts';

export class ReceiveRegion {
  readonly at: number;
  readonly size: number;
  readonly arena: Arena;

  /** `size` bytes, more than the largest frame. Throws when the arena is full. */
  constructor(arena: Arena, size: number) {
    this.arena = arena;
    this.size = size;
    this.at = arena.allocate(size);
    if (this.at < 0) throw new CapacityError('no-room', 'the arena has no room to read frames to');
  }

  free(): void {
    this.arena.free(this.at, this.size);
  }
}

/** Called with each complete frame. */
export type Deliver = (at: number, length: number) => void;

/** Cuts one VM's byte stream into frames. */
export class Deframer {
  readonly #region: ReceiveRegion;
  readonly #framing: Framing;
  /** The beginning of a frame: `#held` bytes in a region of the port's own, so that a VM once attached never lacks it. */
  readonly #stash: number;
  #held = 0;
  #freed = false;
  /** The length that was out of bounds, once `consume` has returned false. */
  invalid = 0;

  private constructor(region: ReceiveRegion, framing: Framing, stash: number) {
    this.#region = region;
    this.#framing = framing;
    this.#stash = stash;
  }

  /** Null when the arena is full. */
  static create(region: ReceiveRegion, framing: Framing): Deframer | null {
    const stash = region.arena.allocate(framing.limit + framing.prefix);
    return stash < 0 ? null : new Deframer(region, framing, stash);
  }

  /** What is delivered may lead to this: then nothing more is. */
  free(): void {
    this.#freed = true;
    this.#region.arena.free(this.#stash, this.#framing.limit + this.#framing.prefix);
  }

  /** Puts the held bytes in front and returns the arena offset to read to: up to `room` bytes. */
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
   * length is out of bounds (frames in front of it were delivered).
   */
  consume(count: number, deliver: Deliver): boolean {
    const { arena } = this.#region;
    const { prefix, limit } = this.#framing;
    let at = this.#region.at;
    const end = at + this.#held + count;
    while (end - at >= prefix && !this.#freed) {
      const length = this.#framing.read(arena.bytes, at);
      if (length > limit) {
        this.invalid = length;
        return false;
      }
      if (end - at - prefix < length) break;
      deliver(at + prefix, length);
      at += prefix + length;
    }
    this.#held = end - at;
    if (this.#held > 0 && !this.#freed) arena.bytes.copyWithin(this.#stash, at, end);
    return true;
  }
}
