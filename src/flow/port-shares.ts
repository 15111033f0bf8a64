/**
 * Shares a limited thing among VMs: whoever wants much leaves something for the next one who wants any.
 *
 * A VM may hold 1/(n+1) of the limit, n being the VMs that hold some: alone it has half, and half is left for others.
 */
import type { Port } from '../link/port.ts';

export class PortShares {
  readonly limit: number;
  /** Held by all VMs together. */
  total = 0;
  readonly #held: Map<Port, number> = new Map();

  constructor(limit: number) {
    this.limit = limit;
  }

  held(port: Port): number {
    return this.#held.get(port) ?? 0;
  }

  /** Whether `take` would succeed. */
  allows(port: Port): boolean {
    return this.total < this.limit && !this.#hasShare(port);
  }

  #hasShare(port: Port): boolean {
    const held = this.held(port);
    const holders = held > 0 ? this.#held.size : this.#held.size + 1;
    return held * (holders + 1) >= this.limit;
  }

  /** Takes one for the VM behind `port`. False when it has its share already, or none is left. */
  take(port: Port): boolean {
    if (!this.allows(port)) return false;
    this.#held.set(port, this.held(port) + 1);
    this.total++;
    return true;
  }

  /** Gives one back. Throws when the VM holds none. */
  give(port: Port): void {
    const held = this.#held.get(port);
    if (held === undefined) throw new Error('the port holds nothing');
    if (held > 1) this.#held.set(port, held - 1);
    else this.#held.delete(port);
    this.total--;
  }

  /** Where something can be given up, the VM that should do so when `port` wants one: itself when it has its share, or who holds most. */
  donor(port: Port): Port {
    if (this.#hasShare(port)) return port;
    let greediest = port;
    let most = 0;
    for (const [holder, held] of this.#held) {
      if (held <= most) continue;
      greediest = holder;
      most = held;
    }
    return greediest;
  }
}
