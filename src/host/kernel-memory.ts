/** Arena memory that the system calls of one KernelNetwork share: iovecs, message headers, small values. And its counters. */
import { HostCounters } from './counters.ts';
import { Spans } from './endpoint.ts';
import { IOVEC, MMSGHDR, MSGHDR } from '../system/layout.ts';
import { writeIovec, writePointer } from '../system/memory.ts';
import { addressOf } from '../system/syscalls.ts';
import type { Arena } from '../runtime/arena.ts';
import { Leaving } from './leaving.ts';

/** Most messages of one recvmmsg or sendmmsg. */
export const MESSAGES = 64;
/** Bytes for an option value and its length, or a socket address and its length. */
const VALUE = 256;
/** Bytes of the region for what is thrown away. */
export const SINK = 65_536;

export class KernelMemory {
  readonly arena: Arena;
  readonly counters: HostCounters = new HostCounters();
  readonly leaving: Leaving = new Leaving();
  /** Address of arena offset 0. */
  readonly base: number;
  /** Offset of a scratch value of up to 128 bytes; a length word stands at `value + 128`. */
  readonly value: number;
  /** Whether TCP sockets can be peeked at from an offset (SO_PEEK_OFF, Linux 6.9). */
  readonly seeks: boolean;
  /** Offset of SINK bytes that nobody reads. */
  readonly sink: number;
  readonly #header: number;
  readonly #iovecs: number;
  readonly #messages: number;
  /** The slots that the iovecs for peeking describe now, so that a repeated peek doesn't write them again. */
  #slotsAt = -1;
  #slotSize = 0;
  #slotStride = 0;
  #slotCount = 0;

  constructor(arena: Arena, seeks: boolean) {
    this.arena = arena;
    this.seeks = seeks;
    this.sink = arena.allocate(SINK);
    this.base = addressOf(arena.memory.buffer);
    this.value = arena.allocate(VALUE);
    this.#header = arena.allocate(MSGHDR.size);
    // One region for peeking, one for sending: each holds as many entries as the kernel takes.
    this.#iovecs = arena.allocate(2 * (Spans.LIMIT + 1) * IOVEC.size);
    this.#messages = arena.allocate(MESSAGES * (MMSGHDR.size + IOVEC.size));
    arena.bytes.fill(0, this.#header, this.#header + MSGHDR.size);
    arena.bytes.fill(0, this.#messages, this.#messages + MESSAGES * MMSGHDR.size);
  }

  /** A msghdr over `count` slots of `size` bytes, `stride` apart. Returns its address. */
  slots(at: number, size: number, stride: number, count: number): number {
    const { words } = this.arena;
    if (at !== this.#slotsAt || size !== this.#slotSize || stride !== this.#slotStride || count > this.#slotCount) {
      for (let i = 0; i < count; i++) writeIovec(words, this.#iovecs + i * IOVEC.size, this.base + at + i * stride, size);
      this.#slotsAt = at;
      this.#slotSize = size;
      this.#slotStride = stride;
      this.#slotCount = count;
    }
    return this.#headerFor(this.#iovecs, count);
  }

  /** As `slots`, with `skip` bytes in front that are thrown away. -1 when they are too many for one call. */
  slotsBehind(skip: number, at: number, size: number, stride: number, count: number): number {
    const skipped = Math.ceil(skip / SINK);
    if (skipped + count > Spans.LIMIT) return -1;
    const { words } = this.arena;
    this.#slotsAt = -1;
    for (let i = 0; i < skipped; i++) {
      writeIovec(words, this.#iovecs + i * IOVEC.size, this.base + this.sink, Math.min(skip - i * SINK, SINK));
    }
    for (let i = 0; i < count; i++) {
      writeIovec(words, this.#iovecs + (skipped + i) * IOVEC.size, this.base + at + i * stride, size);
    }
    return this.#headerFor(this.#iovecs, skipped + count);
  }

  /** A msghdr over `spans`. Returns its address. */
  gather(spans: Spans): number {
    const at = this.#iovecs + (Spans.LIMIT + 1) * IOVEC.size;
    for (let i = 0; i < spans.count; i++) {
      writeIovec(this.arena.words, at + i * IOVEC.size, this.base + spans.offset[i]!, spans.length[i]!);
    }
    return this.#headerFor(at, spans.count);
  }

  #headerFor(iovecs: number, count: number): number {
    writePointer(this.arena.words, this.#header + MSGHDR.iov, this.base + iovecs);
    this.arena.words[(this.#header + MSGHDR.iovCount) >> 2] = count;
    return this.base + this.#header;
  }

  /** An array of mmsghdr, one buffer each, message `i` at `offset(i)`. Returns its address. */
  #message(index: number, address: number, length: number): void {
    const { words } = this.arena;
    const header = this.#messages + index * MMSGHDR.size;
    const iovec = this.#messages + MESSAGES * MMSGHDR.size + index * IOVEC.size;
    writeIovec(words, iovec, address, length);
    writePointer(words, header + MSGHDR.iov, this.base + iovec);
    words[(header + MSGHDR.iovCount) >> 2] = 1;
  }

  /** One message per span, from `first` on, at most MESSAGES. Returns the address of the array. */
  messagesOf(spans: Spans, first: number, count: number): number {
    for (let i = 0; i < count; i++) this.#message(i, this.base + spans.offset[first + i]!, spans.length[first + i]!);
    return this.base + this.#messages;
  }

  /** `count` (at most MESSAGES) messages to be received into slots. Returns the address of the array. */
  messageSlots(at: number, size: number, stride: number, count: number): number {
    for (let i = 0; i < count; i++) this.#message(i, this.base + at + i * stride, size);
    return this.base + this.#messages;
  }

  /** Bytes of message `index` after recvmmsg. */
  messageLength(index: number): number {
    return this.arena.words[(this.#messages + index * MMSGHDR.size + MMSGHDR.length) >> 2]!;
  }

  /** Writes an int at `value` and returns its address. */
  int(value: number): number {
    this.arena.words[this.value >> 2] = value;
    return this.base + this.value;
  }
}
