/**
 * A datagram conversation inside this process as DatagramEndpoint: one end is the flow, the other a program.
 *
 *     guest ─► send() ─► `receive` callback, a copy each          guest ◄─ receive() ◄─ queue, at most LIMIT bytes ◄─ post()
 */
import type { Arena } from '../runtime/arena.ts';
import { type DatagramEndpoint, type EndpointHandler, READABLE, type Spans } from './endpoint.ts';
import { EAGAIN } from './errno.ts';

/** Bytes and datagrams that wait for the guest; beyond, they are dropped, as a network does. */
const LIMIT = 256 * 1024;
const COUNT = 256;
/** Payload of the largest datagram there is over IPv4. */
export const LARGEST_DATAGRAM = 65_507;

export interface MessageReceiver {
  /** A datagram of the guest; the receiver's own copy. */
  message(payload: Buffer): void;
  /** The conversation has ended: it was quiet for long, or its VM has gone. */
  closed(): void;
}

export class MessageEndpoint implements DatagramEndpoint {
  handler: EndpointHandler = { onReady: () => {} };
  readonly #arena: Arena;
  readonly #receiver: MessageReceiver;
  readonly #queue: Uint8Array[] = [];
  #queued = 0;
  #closed = false;

  constructor(arena: Arena, receiver: MessageReceiver) {
    this.#arena = arena;
    this.#receiver = receiver;
  }

  /** Sends to the guest. False: dropped, because it is too large, too many wait, or the conversation has ended. */
  post(payload: Uint8Array): boolean {
    const full = this.#queued + payload.length > LIMIT || this.#queue.length >= COUNT;
    if (this.#closed || full || payload.length > LARGEST_DATAGRAM) return false;
    this.#queue.push(Uint8Array.from(payload));
    this.#queued += payload.length;
    this.handler.onReady(READABLE);
    return true;
  }

  send(spans: Spans): number {
    for (let i = 0; i < spans.count && !this.#closed; i++) {
      const at = spans.offset[i]!;
      this.#receiver.message(Buffer.from(this.#arena.bytes.subarray(at, at + spans.length[i]!)));
    }
    return spans.count;
  }

  receive(at: number, size: number, stride: number, count: number, lengths: Int32Array): number {
    const taken = this.#queue.splice(0, count);
    for (const [slot, payload] of taken.entries()) {
      const length = Math.min(payload.length, size);
      this.#arena.bytes.set(payload.subarray(0, length), at + slot * stride);
      lengths[slot] = length;
      this.#queued -= payload.length;
    }
    return taken.length === 0 ? -EAGAIN : taken.length;
  }

  nextReport(): boolean {
    return false;
  }

  dontFragment(): void {
    // There is no path behind it.
  }

  limitHops(): void {
    // As above.
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#queue.length = 0;
    this.#receiver.closed();
  }
}
