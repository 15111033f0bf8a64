/**
 * Flows with work for the next pump. One that has used up its quota comes behind those that are new, and those that have waited for
 * room: else a few flows with large windows would take all there is.
 */
import type { TcpFlow } from './flow.ts';

/** An array that grew beyond the first number is cut to the second when it is hardly used. */
const LARGE = 1024;
const SMALL = 256;

export class WorkList {
  /** Used up to their counts, so that they never shrink and regrow. */
  #next: TcpFlow[] = [];
  #count = 0;
  #running: TcpFlow[] = [];
  readonly #last: TcpFlow[] = [];
  #lastCount = 0;

  get empty(): boolean {
    return this.#count + this.#lastCount === 0;
  }

  /** False: it is in already. */
  add(flow: TcpFlow): boolean {
    if (flow.queued) return false;
    flow.queued = true;
    this.#next[this.#count++] = flow;
    return true;
  }

  /** Behind all that are added before the next run. */
  addLast(flow: TcpFlow): void {
    if (flow.queued) return;
    flow.queued = true;
    this.#last[this.#lastCount++] = flow;
  }

  /** Hands each flow that is in to `work`, which may add flows for the next run. */
  run(work: (flow: TcpFlow) => void): void {
    if (this.empty) return;
    for (let i = 0; i < this.#lastCount; i++) this.#next[this.#count++] = this.#last[i]!;
    this.#lastCount = 0;
    const flows = this.#next;
    const count = this.#count;
    this.#next = this.#running;
    this.#running = flows;
    this.#count = 0;
    for (let i = 0; i < count; i++) {
      const flow = flows[i]!;
      flow.queued = false;
      work(flow);
    }
    if (flows.length > LARGE && count < SMALL) flows.length = SMALL;
  }
}
