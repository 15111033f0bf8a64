/**
 * A stream inside this process as StreamEndpoint: one end is the flow, the other a Node Duplex for a service or a caller.
 *
 *     guest ─► write() ─► copied, at most LIMIT bytes ahead of the reader ─► duplex readable
 *     guest ◄─ peek()/discard() ◄─ queue of buffers, at most LIMIT bytes ◄─ duplex writable
 */
import { Duplex } from 'node:stream';
import type { Arena } from '../runtime/arena.ts';
import { type EndpointHandler, HANGUP, READABLE, type Spans, type StreamEndpoint, WRITABLE } from './endpoint.ts';
import { EAGAIN, ECONNRESET } from './errno.ts';

/** Bytes that wait in either direction. */
const LIMIT = 256 * 1024;

export class DuplexEndpoint implements StreamEndpoint {
  handler: EndpointHandler = { onReady: () => {} };
  readonly duplex: Duplex;
  readonly #arena: Arena;
  readonly #handed: () => void;
  /** From the service, oldest first; `#head` bytes of the first are discarded already. */
  readonly #queue: Buffer[] = [];
  #head = 0;
  #queued = 0;
  #accepted: (() => void) | null = null;
  #ended = false;
  /** errno that the flow is to see. */
  #failed = 0;
  /** The flow was told that the reader is behind. */
  #full = false;
  #closed = false;

  /** `handed` is told when the reader in this process has something new. */
  constructor(arena: Arena, handed: () => void = () => {}) {
    this.#arena = arena;
    this.#handed = handed;
    this.duplex = new Duplex({
      allowHalfOpen: true,
      readableHighWaterMark: LIMIT,
      writableHighWaterMark: LIMIT,
      read: () => this.#read(),
      write: (chunk: Buffer, _encoding, done) => this.#write(chunk, done),
      final: (done) => {
        this.#ended = true;
        done();
        this.handler.onReady(READABLE | HANGUP);
      },
      destroy: (error, done) => {
        this.#destroyed();
        done(error);
      },
    });
  }

  #read(): void {
    if (!this.#full) return;
    this.#full = false;
    this.handler.onReady(WRITABLE);
  }

  #write(chunk: Buffer, done: () => void): void {
    this.#queue.push(chunk);
    this.#queued += chunk.length;
    if (this.#queued < LIMIT) done();
    else this.#accepted = done;
    this.handler.onReady(READABLE);
  }

  /** The service has dropped the stream: what it did not finish in order is a reset to the guest. */
  #destroyed(): void {
    if (this.#closed || (this.#ended && this.duplex.readableEnded)) return;
    this.#failed = ECONNRESET;
    this.handler.onReady(READABLE | HANGUP);
  }

  connectStatus(): number {
    return this.#failed === 0 ? 0 : -this.#failed;
  }

  peek(skip: number, at: number, size: number, stride: number, count: number): number {
    if (this.#failed !== 0) return -this.#failed;
    const available = this.#queued - skip;
    if (available <= 0) return this.#ended ? 0 : -EAGAIN;
    const wanted = Math.min(available, size * count);
    let copied = 0;
    let offset = this.#head + skip;
    for (const buffer of this.#queue) {
      if (offset >= buffer.length) {
        offset -= buffer.length;
        continue;
      }
      while (offset < buffer.length && copied < wanted) {
        const inSlot = copied % size;
        const length = Math.min(size - inSlot, buffer.length - offset, wanted - copied);
        this.#arena.bytes.set(buffer.subarray(offset, offset + length), at + Math.floor(copied / size) * stride + inSlot);
        copied += length;
        offset += length;
      }
      if (copied === wanted) break;
      offset = 0;
    }
    return copied;
  }

  discard(count: number): void {
    this.#queued -= count;
    this.#head += count;
    let whole = 0;
    while (whole < this.#queue.length && this.#head >= this.#queue[whole]!.length) this.#head -= this.#queue[whole++]!.length;
    this.#queue.splice(0, whole);
    if (this.#accepted === null || this.#queued >= LIMIT) return;
    const done = this.#accepted;
    this.#accepted = null;
    // Out of the flow's call: the stream may write again at once.
    queueMicrotask(done);
  }

  write(spans: Spans): number {
    if (this.#failed !== 0) return -this.#failed;
    const room = LIMIT - this.duplex.readableLength;
    if (room <= 0) {
      this.#full = true;
      return -EAGAIN;
    }
    let taken = 0;
    let offered = 0;
    for (let i = 0; i < spans.count; i++) offered += spans.length[i]!;
    const copy = Buffer.allocUnsafe(Math.min(room, offered));
    for (let i = 0; i < spans.count && taken < copy.length; i++) {
      const length = Math.min(spans.length[i]!, copy.length - taken);
      copy.set(this.#arena.bytes.subarray(spans.offset[i]!, spans.offset[i]! + length), taken);
      taken += length;
    }
    if (taken < offered) this.#full = true;
    this.duplex.push(copy);
    this.#handed();
    return taken;
  }

  shutdownWrite(): void {
    this.duplex.push(null);
    this.#handed();
  }

  keepAlive(): void {
    // A stream of this process does not vanish.
  }

  close(): void {
    this.#closed = true;
    if (!this.duplex.destroyed && !this.#ended) this.duplex.destroy();
  }

  abandon(): void {
    this.#closed = true;
    // Whoever is behind the stream may go on writing; it leads nowhere.
    const drop = (): void => this.discard(this.#queued);
    this.handler = { onReady: drop };
    drop();
  }

  reset(): void {
    this.#closed = true;
    if (this.duplex.destroyed) return;
    const error = Object.assign(new Error('connection reset by the guest'), { code: 'ECONNRESET' });
    this.duplex.destroy(error);
  }
}
