/** What the flows of one VM share: the link that leads to it. */
import type { Port } from '../../link/port.ts';
import type { TcpFlow } from './flow.ts';

/** Milliseconds of the shortest round trip up to which a link counts as one without delay. */
const NEAR = 2;
/** Windows of a flow alone that all flows of one direction share on such a link, and bytes that each has at least. */
const LINK_WINDOWS = 2;
const LEAST = 32 * 1024;
/** Milliseconds for which a flow counts as one that moves much. */
const PERIOD = 200;

/**
 * A guest's queues hold a thousand frames or so, whichever flows they are of. What overruns them is dropped, data or acknowledgments, and
 * flows that lose their last ones wait for a timeout while others go on. So on a link without delay the flows that move much share
 * some windows; a smaller one costs none of them anything there.
 */
class SharedWindows {
  readonly #countedIn: 'sentIn' | 'gotIn';
  #period = 0;
  #now = 0;
  #before = 0;

  /** `countedIn`: where a flow notes the period in which it was counted last. */
  constructor(countedIn: 'sentIn' | 'gotIn') {
    this.#countedIn = countedIn;
  }

  /** Bytes that are `flow`'s at the time `now`; `isMuch`: it moves much. `alone` is the window of one that is alone. */
  of(flow: TcpFlow, now: number, alone: number, isMuch: boolean): number {
    if (flow.link.shortest > NEAR) return Infinity;
    const count = this.#count(flow, now, isMuch);
    if (count === 1) return Infinity;
    const share = (LINK_WINDOWS * alone) / count;
    return Math.max(Math.floor(share), LEAST, 2 * flow.mss);
  }

  /** How many there are; at least 1. */
  #count(flow: TcpFlow, now: number, isMuch: boolean): number {
    const period = Math.floor(now / PERIOD);
    if (period !== this.#period) {
      this.#before = period === this.#period + 1 ? this.#now : 0;
      this.#now = 0;
      this.#period = period;
    }
    if (isMuch && flow[this.#countedIn] !== period) {
      flow[this.#countedIn] = period;
      this.#now++;
    }
    return Math.max(this.#now, this.#before, 1);
  }
}

export class GuestLink {
  /** Of flows whose guest sends, and of those whose guest gets. */
  readonly sending: SharedWindows = new SharedWindows('sentIn');
  readonly getting: SharedWindows = new SharedWindows('gotIn');
  /** Flows that wait for room on the VM's port, in the order they came; the others queue behind them. */
  waiting: Set<TcpFlow> = new Set();
  /** It has lost segments, or acknowledgments. */
  lossy = false;
  /** Milliseconds of a round trip lately, smoothed over all flows: they wait in one queue. */
  roundTrip = 0;
  /** The shortest ever measured; Infinity before. */
  shortest: number = Infinity;

  /** A round trip took `sample` milliseconds; nothing was measured when that is negative. */
  measured(sample: number): void {
    if (sample < 0) return;
    if (sample < this.shortest) this.shortest = sample;
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
