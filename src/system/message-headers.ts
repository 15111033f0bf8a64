/**
 * An array of struct mmsghdr, each with one struct iovec, in memory that doesn't move: what recvmmsg and sendmmsg want. Offsets are
 * from `base`, the address of that memory.
 */
import { MSG_TRUNC } from './constants.ts';
import { IOVEC, MMSGHDR, MSGHDR } from './layout.ts';
import { writeIovec, writePointer } from './memory.ts';

export class MessageHeaders {
  /** Of the array. */
  readonly address: number;
  readonly #words: Uint32Array;
  readonly #base: number;
  readonly #headers: number;
  readonly #iovecs: number;

  /** Takes over `bytes(limit)` at offset `at`, a multiple of eight. */
  constructor(words: Uint32Array, base: number, at: number, limit: number) {
    this.address = base + at;
    this.#words = words;
    this.#base = base;
    this.#headers = at;
    this.#iovecs = at + limit * MMSGHDR.size;
    words.fill(0, at >> 2, (at + MessageHeaders.bytes(limit)) >> 2);
  }

  /** Needed for `limit` messages. */
  static bytes(limit: number): number {
    return limit * (MMSGHDR.size + IOVEC.size);
  }

  /** Where message `index` lies, or goes. */
  buffer(index: number, at: number, length: number): void {
    const header = this.#header(index);
    const iovec = this.#iovecs + index * IOVEC.size;
    writeIovec(this.#words, iovec, this.#base + at, length);
    writePointer(this.#words, header + MSGHDR.iov, this.#base + iovec);
    this.#words[(header + MSGHDR.iovCount) >> 2] = 1;
  }

  /** Whom message `index` is for, or where its sender's address goes; length 0 for nobody. */
  name(index: number, at: number, length: number): void {
    const header = this.#header(index);
    writePointer(this.#words, header + MSGHDR.name, length === 0 ? 0 : this.#base + at);
    this.#words[(header + MSGHDR.nameLength) >> 2] = length;
  }

  control(index: number, at: number, length: number): void {
    const header = this.#header(index);
    writePointer(this.#words, header + MSGHDR.control, this.#base + at);
    this.#words[(header + MSGHDR.controlLength) >> 2] = length;
  }

  /** Bytes of message `index` that recvmmsg has written. */
  length(index: number): number {
    return this.#words[(this.#header(index) + MMSGHDR.length) >> 2]!;
  }

  /** Bytes of its sender's address; 0 when the sender has none. */
  nameLength(index: number): number {
    return this.#words[(this.#header(index) + MSGHDR.nameLength) >> 2]!;
  }

  /** Message `index` was longer than its place. */
  truncated(index: number): boolean {
    return (this.#words[(this.#header(index) + MSGHDR.flags) >> 2]! & MSG_TRUNC) !== 0;
  }

  #header(index: number): number {
    return this.#headers + index * MMSGHDR.size;
  }
}
