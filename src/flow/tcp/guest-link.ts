/** What the flows of one VM share: the link that leads to it. */
import type { Port } from '../../link/port.ts';
import type { TcpFlow } from './flow.ts';

export class GuestLink {
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
