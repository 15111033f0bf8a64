/** Host endpoints in memory, for scripted exchanges: what the flow wrote can be read, what it is to peek at can be put in. */
import type { EndpointHandler, HostNetwork, Spans, StreamEndpoint } from '../../../src/host/endpoint.ts';
import { HANGUP, READABLE, WRITABLE } from '../../../src/host/endpoint.ts';
import { EAGAIN, EINPROGRESS } from '../../../src/system/errno.ts';
import type { Arena } from '../../../src/runtime/arena.ts';

export class FakeStream implements StreamEndpoint {
  handler: EndpointHandler = { onReady: () => {} };
  /** Everything the flow has written. */
  written: Buffer = Buffer.alloc(0);
  /** Most bytes taken from now on; the rest gets EAGAIN. */
  room = Infinity;
  status = 0;
  shut = false;
  closed = false;
  /** Closed, but what was written still goes its way. */
  abandoned = false;
  wasReset = false;
  watched = false;
  /** Bytes the flow has discarded. */
  discarded = 0;
  #queue: Buffer = Buffer.alloc(0);
  #ended = false;
  #error = 0;
  #errorBehind = 0;
  readonly #arena: Arena;

  constructor(arena: Arena) {
    this.#arena = arena;
  }

  /** The host's server sends. */
  put(data: string | Buffer): void {
    this.#queue = Buffer.concat([this.#queue, Buffer.from(data)]);
    this.handler.onReady(READABLE);
  }

  /** The host's server ends its stream. */
  end(): void {
    this.#ended = true;
    this.handler.onReady(READABLE | HANGUP);
  }

  fail(errno: number): void {
    this.#error = errno;
    this.handler.onReady(READABLE | HANGUP);
  }

  /** A reset arrives, and is noticed by whoever looks behind the bytes that are queued. */
  failBehindData(errno: number): void {
    this.#errorBehind = errno;
    this.handler.onReady(READABLE | HANGUP);
  }

  /** The host takes `bytes` more. */
  open(bytes: number): void {
    this.room = bytes;
    this.handler.onReady(WRITABLE);
  }

  /** A connect that was under way ends. */
  finish(errno = 0): void {
    this.status = -errno;
    this.handler.onReady(errno === 0 ? WRITABLE : HANGUP);
  }

  get queued(): number {
    return this.#queue.length;
  }

  connectStatus(): number {
    return this.#error === 0 ? this.status : -this.#error;
  }

  peek(skip: number, at: number, size: number, stride: number, count: number): number {
    if (this.#error !== 0) return -this.#error;
    const data = this.#queue.subarray(skip, skip + size * count);
    if (data.length === 0 && this.#errorBehind !== 0) return -this.#errorBehind;
    if (data.length === 0) return this.#ended ? 0 : -EAGAIN;
    for (let i = 0; i * size < data.length; i++) this.#arena.bytes.set(data.subarray(i * size, (i + 1) * size), at + i * stride);
    return data.length;
  }

  discard(count: number): void {
    if (count > this.#queue.length) throw new Error(`discarded ${count} of ${this.#queue.length} bytes`);
    this.#queue = this.#queue.subarray(count);
    this.discarded += count;
  }

  write(spans: Spans): number {
    if (this.#error !== 0) return -this.#error;
    const parts: Buffer[] = [];
    for (let i = 0; i < spans.count; i++) {
      parts.push(Buffer.from(this.#arena.bytes.subarray(spans.offset[i]!, spans.offset[i]! + spans.length[i]!)));
    }
    const data = Buffer.concat(parts);
    const taken = Math.min(data.length, this.room);
    this.room -= taken;
    this.written = Buffer.concat([this.written, data.subarray(0, taken)]);
    return taken === 0 && data.length > 0 ? -EAGAIN : taken;
  }

  shutdownWrite(): void {
    this.shut = true;
  }

  keepAlive(): void {
    this.watched = true;
  }

  abandon(): void {
    this.abandoned = true;
    this.close();
  }

  close(): void {
    this.closed = true;
  }

  reset(): void {
    this.closed = true;
    this.wasReset = true;
  }
}

/** Connects to FakeStreams. */
export class FakeHost implements HostNetwork {
  readonly streams: FakeStream[] = [];
  readonly targets: string[] = [];
  /** What the next connects answer: 0, -EINPROGRESS (see FakeStream.finish) or another negative errno. */
  answer = 0;
  readonly #arena: Arena;

  constructor(arena: Arena) {
    this.#arena = arena;
  }

  connectStream(address: { toString(): string }, port: number, handler: EndpointHandler): StreamEndpoint | number {
    this.targets.push(`${address.toString()}:${port}`);
    if (this.answer < 0 && this.answer !== -EINPROGRESS) return this.answer;
    const stream = new FakeStream(this.#arena);
    stream.handler = handler;
    stream.status = this.answer;
    this.streams.push(stream);
    return stream;
  }

  openDatagram(): never {
    throw new Error('no datagrams here');
  }

  openPing(): never {
    throw new Error('no pings here');
  }

  listenStream(): never {
    throw new Error('no listeners here');
  }
}
