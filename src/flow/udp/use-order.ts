/**
 * Which of a VM's conversations makes room: in the order of their last use, those that never became a talk first.
 * A guest that scans the world so pushes out its own questions, not calls and tunnels.
 */
import type { Port } from '../../link/port.ts';
import type { UdpFlow } from './flow.ts';

/** Milliseconds: the order is kept to the second, so that a flow is moved per second and not per batch. */
const GRAIN = 1000;
/** Answers that make a talk. */
export const TALK = 2;

class Conversations {
  readonly brief: Set<UdpFlow> = new Set();
  readonly talks: Set<UdpFlow> = new Set();
}

export class UseOrder {
  readonly #ofVm: Map<Port, Conversations> = new Map();

  /** The flow is new, or was used. */
  touch(flow: UdpFlow, now: number): void {
    let of = this.#ofVm.get(flow.vm);
    if (of === undefined) {
      of = new Conversations();
      this.#ofVm.set(flow.vm, of);
    }
    const set = flow.received >= TALK ? of.talks : of.brief;
    if (now - flow.ordered < GRAIN && set.has(flow)) return;
    flow.ordered = now;
    if (!of.brief.delete(flow)) of.talks.delete(flow);
    set.add(flow);
  }

  delete(flow: UdpFlow): void {
    const of = this.#ofVm.get(flow.vm);
    if (of === undefined) return;
    if (!of.brief.delete(flow)) of.talks.delete(flow);
    if (of.brief.size === 0 && of.talks.size === 0) this.#ofVm.delete(flow.vm);
  }

  /** The flow of this VM to go first; undefined when it has none. */
  first(vm: Port): UdpFlow | undefined {
    const of = this.#ofVm.get(vm);
    if (of === undefined) return undefined;
    for (const flow of of.brief) return flow;
    for (const flow of of.talks) return flow;
    return undefined;
  }
}
