/**
 * Who makes room when there is none: conversations in the order of their last use, those that never became a talk first.
 * A guest that scans the world so pushes out its own questions, not calls and tunnels.
 */
import type { UdpFlow } from './flow.ts';

/** Milliseconds: the order is kept to the second, so that a flow is moved per second and not per batch. */
const GRAIN = 1000;
/** Answers that make a talk. */
export const TALK = 2;

export class UseOrder {
  readonly #brief: Set<UdpFlow> = new Set();
  readonly #talks: Set<UdpFlow> = new Set();

  /** The flow is new, or was used. */
  touch(flow: UdpFlow, now: number): void {
    const talks = flow.received >= TALK;
    const set = talks ? this.#talks : this.#brief;
    if (now - flow.ordered < GRAIN && set.has(flow)) return;
    flow.ordered = now;
    this.delete(flow);
    set.add(flow);
  }

  delete(flow: UdpFlow): void {
    if (!this.#brief.delete(flow)) this.#talks.delete(flow);
  }

  /** The flow to go first; undefined when there is none. */
  first(): UdpFlow | undefined {
    for (const flow of this.#brief) return flow;
    for (const flow of this.#talks) return flow;
    return undefined;
  }
}
