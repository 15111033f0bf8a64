/**
 * Which VM has which DNS connections: beyond the limit the VM with the most loses the one that asked longest ago.
 *
 * A VM that opens many and asks nothing therefore gets in its own way only. Alone it may have them all.
 */
import type { Duplex } from 'node:stream';
import type { Vm } from '../../flow/listener.ts';

export class Connections {
  readonly #limit: number;
  /** Of each VM in the order of use, the one that asked longest ago first. */
  readonly #vms: Map<Vm, Set<Duplex>> = new Map();
  #total = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Adds a connection. Returns the one that must go for it. */
  add(connection: Duplex, vm: Vm): Duplex | undefined {
    const own = this.#vms.get(vm) ?? new Set();
    this.#vms.set(vm, own.add(connection));
    this.#total++;
    if (this.#total <= this.#limit) return undefined;
    let greediest = vm;
    let most = own;
    for (const [other, connections] of this.#vms) {
      if (connections.size <= most.size) continue;
      greediest = other;
      most = connections;
    }
    const [victim] = most;
    if (victim !== undefined) this.delete(victim, greediest);
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
    this.#total--;
    if (connections.size === 0) this.#vms.delete(vm);
  }
}
