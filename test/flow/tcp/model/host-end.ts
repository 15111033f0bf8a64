/**
 * The application behind an engine's host endpoint: a socket of the kernel without the kernel.
 *
 * It is as strict as a kernel is lenient: bytes that don't follow the pattern, and calls after the end, are faults.
 */
import { type EndpointHandler, HANGUP, READABLE, type Spans, type StreamEndpoint, WRITABLE } from '../../../../src/host/endpoint.ts';
import { EAGAIN, ECONNREFUSED, ECONNRESET, EINPROGRESS } from '../../../../src/system/errno.ts';
import { type End, Fault, type Outcome } from './end.ts';
import type { Pattern } from './pattern.ts';

const NOBODY: EndpointHandler = { onReady: () => {} };

export class HostEnd implements StreamEndpoint, End {
  readonly name: string;
  written = 0;
  finished = false;
  aborted = false;
  received = 0;
  ended = false;
  outcome: Outcome = 'open';
  established = false;
  /** The engine's flow, once there is one. */
  handler: EndpointHandler = NOBODY;
  /** The connect takes until `connected`. */
  pending = false;
  /** The other end of the connection. */
  peer: End | null = null;
  readonly #bytes: Uint8Array;
  readonly #out: Pattern;
  readonly #in: Pattern;
  /** Bytes the engine has discarded: the first of the queue. */
  #head = 0;
  /** Bytes that are still taken. */
  #room = Infinity;
  #wantsRoom = false;

  /** `bytes` are the arena's. */
  constructor(name: string, bytes: Uint8Array, outgoing: Pattern, incoming: Pattern) {
    this.name = name;
    this.#bytes = bytes;
    this.#out = outgoing;
    this.#in = incoming;
  }

  // As the application sees it.

  send(count: number): void {
    this.written += count;
    this.#notify(READABLE);
  }

  finish(): void {
    this.finished = true;
    this.#notify(READABLE | HANGUP);
  }

  abort(): void {
    if (this.outcome !== 'open') return;
    this.aborted = true;
    this.#notify(READABLE | HANGUP);
  }

  read(count: number): void {
    this.#room = count === Infinity ? Infinity : Math.max(this.#room === Infinity ? 0 : this.#room, 0) + count;
    if (this.#room === 0 || !this.#wantsRoom) return;
    this.#wantsRoom = false;
    this.#notify(WRITABLE);
  }

  /** The connect has ended, or the kernel begins to watch the socket: it reports what is there already. */
  connected(): void {
    this.pending = false;
    this.#notify(WRITABLE | (this.written > 0 ? READABLE : 0) | (this.finished || this.aborted ? HANGUP : 0));
  }

  get engaged(): boolean {
    return this.handler !== NOBODY || this.outcome !== 'open';
  }

  #notify(events: number): void {
    if (this.outcome === 'open') this.handler.onReady(events);
  }

  // As the engine sees it.

  connectStatus(): number {
    this.#expectOpen('connectStatus');
    if (this.pending) return -EINPROGRESS;
    if (this.aborted) return this.established ? -ECONNRESET : -ECONNREFUSED;
    return 0;
  }

  peek(skip: number, at: number, size: number, stride: number, count: number): number {
    this.#expectOpen('peek');
    if (this.aborted) return -ECONNRESET;
    const position = this.#head + skip;
    const total = Math.min(this.written - position, size * count);
    if (total < 0) throw new Fault(`${this.name}: peeks ${-total} bytes behind what was written`);
    if (total === 0) return this.finished ? 0 : -EAGAIN;
    for (let done = 0; done < total; done += size, at += stride) {
      this.#out.copy(this.#bytes, at, position + done, Math.min(size, total - done));
    }
    return total;
  }

  discard(count: number): void {
    this.#expectOpen('discard');
    this.#head += count;
    if (this.#head > this.written) throw new Fault(`${this.name}: discards ${this.#head - this.written} bytes that were never written`);
  }

  write(spans: Spans): number {
    this.#expectOpen('write');
    if (this.aborted) return -ECONNRESET;
    if (this.ended) throw new Fault(`${this.name}: bytes come behind the end`);
    let taken = 0;
    for (let i = 0; i < spans.count; i++) {
      const length = Math.min(spans.length[i]!, this.#room);
      if (!this.#in.matches(this.#bytes, spans.offset[i]!, this.received, length)) {
        throw new Fault(`${this.name}: wrong bytes at ${this.received}`);
      }
      taken += length;
      this.received += length;
      this.#room -= length;
      if (length < spans.length[i]!) {
        this.#wantsRoom = true;
        break;
      }
    }
    return taken === 0 && this.#wantsRoom ? -EAGAIN : taken;
  }

  shutdownWrite(): void {
    this.#expectOpen('shutdownWrite');
    if (this.ended) throw new Fault(`${this.name}: is ended twice`);
    const { peer } = this;
    if (peer !== null && !(peer.finished && peer.written === this.received))
      throw new Fault(`${this.name}: is ended after ${this.received} bytes, too early`);
    this.ended = true;
  }

  keepAlive(): void {
    this.#expectOpen('keepAlive');
  }

  abandon(): void {
    this.#expectOpen('abandon');
    if (!this.ended) throw new Fault(`${this.name}: is abandoned before its end`);
    this.outcome = 'closed';
    this.handler = NOBODY;
  }

  close(): void {
    this.#expectOpen('close');
    if (!this.aborted && !(this.finished && this.ended)) throw new Fault(`${this.name}: is closed as if all were well`);
    this.outcome = this.aborted ? 'reset' : 'closed';
    this.handler = NOBODY;
  }

  reset(): void {
    this.#expectOpen('reset');
    this.outcome = 'reset';
    this.handler = NOBODY;
  }

  #expectOpen(call: string): void {
    if (this.outcome !== 'open') throw new Fault(`${this.name}: ${call} after the end`);
  }
}
