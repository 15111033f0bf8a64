/**
 * Lets channels send one after the other while the wire takes it. What a guest grants in channel windows is no bound: it may
 * grant 4 GiB and then read nothing, or begin a key exchange and never finish it.
 */
import type { Writable } from 'node:stream';

/** What the gate needs of `Wire`. */
export interface GateWire {
  readonly taken: number;
  readonly writableNeedDrain: boolean;
}

export class SendGate {
  readonly #wire: GateWire;
  readonly #waiting: (() => void)[] = [];
  /** ssh2 took data and sent nothing: it queues while keys are exchanged. */
  #stalled = false;

  constructor(wire: GateWire) {
    this.#wire = wire;
  }

  /** Writes `chunk` when the wire is clear; `done` when it has left for the wire, and the channel may be given more. */
  send(channel: Writable, chunk: Buffer, done: () => void): void {
    if (this.#waiting.length === 0 && this.#isClear()) this.#write(channel, chunk, done);
    else this.#waiting.push(() => this.#write(channel, chunk, done));
  }

  /** To be called when the wire has drained, and when something was sent. */
  release(): void {
    this.#stalled = false;
    while (this.#waiting.length > 0 && this.#isClear()) this.#waiting.shift()!();
  }

  /** Forgets what waits: the connection is gone. */
  clear(): void {
    this.#waiting.length = 0;
  }

  #isClear(): boolean {
    return !this.#stalled && !this.#wire.writableNeedDrain;
  }

  #write(channel: Writable, chunk: Buffer, done: () => void): void {
    const before = this.#wire.taken;
    channel.write(chunk, () => done());
    // A channel that waits for its window still holds the chunk; one that holds nothing has given it to ssh2's queue.
    this.#stalled = channel.writableLength === 0 && this.#wire.taken === before;
  }
}
