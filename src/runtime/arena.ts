/**
 * Memory that frames live in: one WebAssembly.Memory of fixed size, so that the checksum routine works in place and the
 * addresses handed to the operating system never move. The size is a reservation; pages become resident when touched.
 *
 * Regions are handed out in sizes that are powers of two and go back to a list of their size when freed.
 */

/** Smallest region, bytes. */
const MINIMUM = 4096;

declare const WebAssembly: { Memory: new (limits: { initial: number; maximum: number }) => { readonly buffer: ArrayBuffer } };

export class Arena {
  /** The WebAssembly.Memory, to instantiate routines that work in place. */
  readonly memory: { readonly buffer: ArrayBuffer };
  readonly bytes: Uint8Array;
  /** The same memory as native-endian words: `offset >> 2`. */
  readonly words: Uint32Array;
  readonly size: number;
  #used: number;
  readonly #free: Map<number, number[]> = new Map();

  /** `size` in bytes, rounded up to 64 KiB pages. */
  constructor(size: number) {
    const pages = Math.ceil(size / 65536);
    this.memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    this.bytes = new Uint8Array(this.memory.buffer);
    this.words = new Uint32Array(this.memory.buffer);
    this.size = pages * 65536;
    // Offset 0 stays unused: a region never looks like "none".
    this.#used = MINIMUM;
  }

  /** Offset of a region of at least `bytes`, aligned to 4 KiB; -1 when the arena is full. Contents are undefined. */
  allocate(bytes: number): number {
    const size = regionSize(bytes);
    const free = this.#free.get(size)?.pop();
    if (free !== undefined) return free;
    if (this.#used + size > this.size) return -1;
    const at = this.#used;
    this.#used += size;
    return at;
  }

  /** `bytes` as given to `allocate`. */
  free(at: number, bytes: number): void {
    const size = regionSize(bytes);
    const list = this.#free.get(size);
    if (list) list.push(at);
    else this.#free.set(size, [at]);
  }
}

function regionSize(bytes: number): number {
  let size = MINIMUM;
  while (size < bytes) size *= 2;
  return size;
}
