/**
 * Memory that frames live in: one WebAssembly.Memory of fixed size, so that the checksum routine works in place and the
 * addresses handed to the operating system never move. The size is a reservation; pages become resident when touched.
 *
 * Regions are powers of two (see buddies.ts). What the network and its VMs can't do without is allocated, once and early;
 * what traffic makes grow is lent on behalf of someone, and all that is lent stays below half of the arena.
 */
import { Buddies } from './buddies.ts';
import { FairShares } from './fair-shares.ts';

/** Smallest region, bytes. */
const MINIMUM = 4096;
/** Part of the arena that may be lent. */
const LENT = 1 / 2;

declare const WebAssembly: { Memory: new (limits: { initial: number; maximum: number }) => { readonly buffer: ArrayBuffer } };

export class Arena {
  /** The WebAssembly.Memory, to instantiate routines that work in place. */
  readonly memory: { readonly buffer: ArrayBuffer };
  readonly bytes: Uint8Array;
  /** The same memory as native-endian words: `offset >> 2`. */
  readonly words: Uint32Array;
  readonly size: number;
  /** Offset 0 stays unused: a region never looks like "none". */
  readonly #regions: Buddies;
  readonly #lent: FairShares<object>;

  /** `size` in bytes, rounded up to 64 KiB pages. */
  constructor(size: number) {
    const pages = Math.ceil(size / 65536);
    this.memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    this.bytes = new Uint8Array(this.memory.buffer);
    this.words = new Uint32Array(this.memory.buffer);
    this.size = pages * 65536;
    this.#regions = new Buddies(this.size / MINIMUM);
    this.#lent = new FairShares(this.size * LENT);
  }

  /** Bytes lent. */
  get lent(): number {
    return this.#lent.total;
  }

  /** Offset of a region of at least `bytes`, aligned to its size; -1 when the arena is full. Contents are undefined. */
  allocate(bytes: number): number {
    if (bytes > this.size) return -1;
    return this.#regions.take(orderOf(bytes)) * MINIMUM || -1;
  }

  /** `bytes` as given to `allocate`. Throws when there is no such region: whoever frees twice would write to another's memory next. */
  free(at: number, bytes: number): void {
    if (!this.#regions.give(at / MINIMUM, orderOf(bytes))) throw new RangeError(`no region of ${bytes} bytes is in use at ${at}`);
  }

  /** As `allocate`, for `owner`; -1 also when it has its share already, or half of the arena is lent. */
  lend(owner: object, bytes: number): number {
    const size = MINIMUM * 2 ** orderOf(bytes);
    if (bytes > this.size || !this.#lent.take(owner, size)) return -1;
    const at = this.allocate(bytes);
    if (at < 0) this.#lent.give(owner, size);
    return at;
  }

  /** Frees what was lent to `owner`. */
  takeBack(owner: object, at: number, bytes: number): void {
    this.free(at, bytes);
    this.#lent.give(owner, MINIMUM * 2 ** orderOf(bytes));
  }
}

/** Regions of this many bytes have 2^order times the smallest size. */
function orderOf(bytes: number): number {
  return bytes <= MINIMUM ? 0 : 32 - Math.clz32((bytes - 1) / MINIMUM);
}
