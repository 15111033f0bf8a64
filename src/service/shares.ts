/** How the VMs share what a service has little of. Services see of flow only its listener; `PortShares` of flow fits. */
import type { Peer } from '../flow/listener.ts';

/** A VM, by its link. */
export type Vm = Peer['vm'];

export interface Shares {
  /** Takes one for `vm`. False when it has its share already, or none is left. */
  take(vm: Vm): boolean;
  /** Gives one back. */
  give(vm: Vm): void;
}

/** Makes the shares of `limit` things. */
export type ShareOut = (limit: number) => Shares;
