/** What the flows of one VM share: the link that leads to it. */
import type { Port } from '../../link/port.ts';
import type { TcpFlow } from './flow.ts';

/** Milliseconds for which a flow counts as one that sends. */
const PERIOD = 200;

/** How many flows of a VM have sent much lately. */
class Senders {
  #period = 0;
  #now = 0;
  #before = 0;

  /** `flow` sends at the time `now`. Returns their number, which is at least 1. */
  count(flow: TcpFlow, now: number): number {
    const period = Math.floor(now / PERIOD);
    if (period !== this.#period) {
      this.#before = period === this.#period + 1 ? this.#now : 0;
      this.#now = 0;
      this.#period = period;
    }
    if (flow.sentIn !== period) {
      flow.sentIn = period;
      this.#now++;
    }
    return Math.max(this.#now, this.#before);
  }
}

export class GuestLink {
  readonly senders: Senders = new Senders();
  /** Flows that wait for room on the VM's port, in the order they came; the others queue behind them. */
  waiting: Set<TcpFlow> = new Set();
  /** It has lost segments, or acknowledgments. */
  lossy = false;
  /** Milliseconds of a round trip lately, smoothed over all flows: they wait in one queue. */
  roundTrip = 0;

  measured(sample: number): void {
    this.roundTrip += (sample - this.roundTrip) / 8;
  }

  /** Those that waited, who now may go on. */
  release(): Set<TcpFlow> {
    const flows = this.waiting;
    this.waiting = new Set();
    return flows;
  }
}

export class GuestLinks {
  readonly #links: WeakMap<Port, GuestLink> = new WeakMap();

  of(port: Port): GuestLink {
    let link = this.#links.get(port);
    if (link === undefined) this.#links.set(port, (link = new GuestLink()));
    return link;
  }
}
