/**
 * Which VM has which DNS connections: beyond the limit the VM with the most loses the one that asked longest ago.
 *
 * A VM that opens many and asks nothing therefore gets in its own way only. Alone it may have them all.
 */
import type { Duplex } from 'node:stream';
import type { Vm } from '../../flow/listener.ts';
import { FairShares } from '../../runtime/fair-shares.ts';

export class Connections {
  readonly #shares: FairShares<Vm>;
  /** Of each VM in the order of use, the one that asked longest ago first. */
  readonly #vms: Map<Vm, Set<Duplex>> = new Map();

  constructor(limit: number) {
    this.#shares = new FairShares(limit);
  }

  /** Adds a connection. Returns the one that must go for it. */
  add(connection: Duplex, vm: Vm): Duplex | undefined {
    const victim = this.#shares.total < this.#shares.limit ? undefined : this.#giveUp(this.#shares.donor(vm));
    this.#shares.claim(vm);
    const own = this.#vms.get(vm) ?? new Set();
    this.#vms.set(vm, own.add(connection));
    return victim;
  }

  #giveUp(vm: Vm): Duplex | undefined {
    const [victim] = this.#vms.get(vm) ?? [];
    if (victim !== undefined) this.delete(victim, vm);
    return victim;
  }

  /** The guest has asked. */
  used(connection: Duplex, vm: Vm): void {
    const connections = this.#vms.get(vm);
    if (connections?.delete(connection) === true) connections.add(connection);
  }

  /** Harmless for one that has gone already. */
  delete(connection: Duplex, vm: Vm): void {
    const connections = this.#vms.get(vm);
    if (connections?.delete(connection) !== true) return;
    this.#shares.give(vm);
    if (connections.size === 0) this.#vms.delete(vm);
  }
}
