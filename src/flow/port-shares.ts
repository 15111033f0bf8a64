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

  /** Takes one for the VM behind `port`. False when it has its share already, or none is left. */
  take(port: Port): boolean {
    const held = this.#held.get(port) ?? 0;
    const holders = held > 0 ? this.#held.size : this.#held.size + 1;
    if (this.total >= this.limit || held * (holders + 1) >= this.limit) return false;
    this.#held.set(port, held + 1);
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

  /** The VM that holds the most; null while nothing is held. */
  get greediest(): Port | null {
    let found: Port | null = null;
    let most = 0;
    for (const [port, held] of this.#held) {
      if (held <= most) continue;
      found = port;
      most = held;
    }
    return found;
  }
}
