/** Host connects take turns: a guest that opens thousands at once must not hold up the others. */
import type { TcpFlow } from './flow.ts';

/** Host connects started within one batch, and later in each round. */
const DIALS = 32;

export class Dialling {
  /** How many may still be started in this batch. */
  #left = DIALS;
  /** Flows whose connect waits for a later round. One that ends leaves at once: guests can end theirs faster than rounds come. */
  readonly #waiting: Set<TcpFlow> = new Set();
  readonly #connect: (flow: TcpFlow) => void;

  constructor(connect: (flow: TcpFlow) => void) {
    this.#connect = connect;
  }

  get waiting(): boolean {
    return this.#waiting.size > 0;
  }

  /** False when the flow has to wait for its turn. */
  start(flow: TcpFlow): boolean {
    if (this.#left === 0) {
      this.#waiting.add(flow);
      return false;
    }
    this.#left--;
    this.#connect(flow);
    return true;
  }

  /** The flow has ended. */
  delete(flow: TcpFlow): void {
    this.#waiting.delete(flow);
  }

  endOfBatch(): void {
    this.#left = DIALS;
  }

  /** A round's share of those that wait. */
  more(): void {
    let left = DIALS;
    for (const flow of this.#waiting) {
      if (left-- === 0) return;
      this.#waiting.delete(flow);
      this.#connect(flow);
    }
  }
}
