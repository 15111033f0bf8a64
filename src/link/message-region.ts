/**
 * Where links with one frame per message receive and send: slots that a whole batch is received into, and the headers that the system
 * calls want. Shared by all such links of an arena, since whatever a call brings is dealt with before the next call.
 */
import { MSG_DONTWAIT, MSG_NOSIGNAL } from '../system/constants.ts';
import { EINTR } from '../system/errno.ts';
import { SOCKADDR_UN } from '../system/layout.ts';
import { MessageHeaders } from '../system/message-headers.ts';
import { addressOf, read, recvmmsg, sendmmsg, write } from '../system/syscalls.ts';
import type { Arena } from '../runtime/arena.ts';
import type { TransmitBuffer } from './transmit-buffer.ts';
import { CapacityError } from '../errors.ts';

/** Bytes of the largest message: what QEMU takes. The largest IPv4 packet with its Ethernet and virtio-net headers needs 65,561. */
export const MESSAGE_LIMIT = 69_632;
/** Messages received at a time: what four megabytes hold. */
const SLOTS = 60;
/** Slots begin at different places of their pages, or small frames would all want the same lines of the cache. */
const STRIDE: number = MESSAGE_LIMIT + 256;
/** Messages sent at a time. */
const SENDS = 64;
/** Bytes kept for an address. */
const NAME = 128;

const regions: WeakMap<Arena, MessageRegion> = new WeakMap();

export class MessageRegion {
  readonly #arena: Arena;
  readonly #base: number;
  readonly #slots: number;
  readonly #names: number;
  readonly #received: MessageHeaders;
  readonly #sent: MessageHeaders;
  /** -1 for what was too long. */
  readonly #lengths: Int32Array = new Int32Array(SLOTS);

  /** Slots that the last call has filled. */
  #used = 0;

  private constructor(arena: Arena) {
    const size = MessageHeaders.bytes(SLOTS) + MessageHeaders.bytes(SENDS) + (SLOTS + 1) * NAME;
    this.#slots = arena.allocate(SLOTS * STRIDE);
    const headers = arena.allocate(size);
    if (this.#slots < 0 || headers < 0) {
      if (this.#slots >= 0) arena.free(this.#slots, SLOTS * STRIDE);
      if (headers >= 0) arena.free(headers, size);
      throw new CapacityError('no-room', 'the arena has no room to receive messages to');
    }
    this.#arena = arena;
    this.#base = addressOf(arena.memory.buffer);
    this.#received = new MessageHeaders(arena.words, this.#base, headers, SLOTS);
    this.#sent = new MessageHeaders(arena.words, this.#base, headers + MessageHeaders.bytes(SLOTS), SENDS);
    this.#names = headers + MessageHeaders.bytes(SLOTS) + MessageHeaders.bytes(SENDS);
    for (let i = 0; i < SLOTS; i++) {
      this.#received.buffer(i, this.at(i), MESSAGE_LIMIT);
      this.#received.name(i, this.senderAt(i), SOCKADDR_UN);
    }
  }

  /** Throws RangeError when the arena is full. It stays as long as its arena. */
  static of(arena: Arena): MessageRegion {
    let region = regions.get(arena);
    if (region === undefined) {
      region = new MessageRegion(arena);
      regions.set(arena, region);
    }
    return region;
  }

  /** Receives what a socket has, at most a batch. Returns the number of messages, or a negative errno. */
  receive(fd: number): number {
    // The kernel has written over the lengths of the names.
    for (let i = 0; i < this.#used; i++) this.#received.name(i, this.senderAt(i), SOCKADDR_UN);
    const count = recvmmsg(fd, this.#received.address, SLOTS, MSG_DONTWAIT);
    this.#used = Math.max(count, 0);
    for (let i = 0; i < count; i++) this.#lengths[i] = this.#received.truncated(i) ? -1 : this.#received.length(i);
    return count;
  }

  /** As `receive`, from a device: one call for each frame. */
  read(fd: number): number {
    for (let count = 0; count < SLOTS; count++) {
      const got = read(fd, this.#base + this.at(count), MESSAGE_LIMIT);
      if (got < 0) return count === 0 ? got : count;
      this.#lengths[count] = got;
    }
    return SLOTS;
  }

  /** Where message `index` of the last batch lies. */
  at(index: number): number {
    return this.#slots + index * STRIDE;
  }

  /** Its bytes; -1 when it was longer than MESSAGE_LIMIT. */
  length(index: number): number {
    return this.#lengths[index]!;
  }

  /** Where its sender's address lies, as a sockaddr. */
  senderAt(index: number): number {
    return this.#names + (index + 1) * NAME;
  }

  /** Bytes of that address; 0 for a sender on a connected socket, 2 for one without a name. */
  senderLength(index: number): number {
    return this.#received.nameLength(index);
  }

  /** Its sender's address begins with `sockaddr`. */
  isFrom(index: number, sockaddr: Uint8Array): boolean {
    const { bytes } = this.#arena;
    const at = this.senderAt(index);
    for (let i = 0; i < sockaddr.length; i++) if (bytes[at + i] !== sockaddr[i]) return false;
    return true;
  }

  /** Sends frames from the head of `transmit`, to `to` (a sockaddr) or whom the socket is connected to. Returns 0, or a negative errno. */
  send(fd: number, transmit: TransmitBuffer, to: Uint8Array | null): number {
    const { bytes } = this.#arena;
    if (to !== null) bytes.set(to, this.#names);
    const nameLength = to === null ? 0 : to.length;
    let count = 0;
    for (let at = transmit.head; at < transmit.tail && count < SENDS; count++) {
      const length = transmit.messageLength(at);
      this.#sent.buffer(count, at + transmit.prefix, length);
      this.#sent.name(count, this.#names, nameLength);
      at += transmit.prefix + length;
    }
    const sent = sendmmsg(fd, this.#sent.address, count, MSG_DONTWAIT | MSG_NOSIGNAL);
    for (let i = 0; i < sent; i++) transmit.wroteMessage();
    return sent < 0 ? sent : 0;
  }

  /** As `send`, to a device. */
  write(fd: number, transmit: TransmitBuffer): number {
    while (transmit.pending > 0) {
      const written = write(fd, this.#base + transmit.head + transmit.prefix, transmit.messageLength(transmit.head));
      if (written < 0 && written !== -EINTR) return written;
      if (written >= 0) transmit.wroteMessage();
    }
    return 0;
  }
}
