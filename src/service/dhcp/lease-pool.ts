/**
 * Which MAC address of which VM has which IPv4 address.
 *
 *     static lease ─ else what the VM's MAC has ─ else what the MAC had with a VM that has gone ─ else the lowest free address
 *                  ─ else one of a VM that has gone
 *
 * An address that was only offered is held for a minute; a lease is remembered for good. Leases belong to the VM that asked for
 * them: the same MAC on another VM, be it made up or a clone, gets an address of its own and doesn't touch the first one's. When
 * a VM detaches its offers end, and its leases wait for their MACs to come back, on whatever VM; they are taken back first.
 *
 * A VM has no more than its share of the addresses. One that wants more, and everyone when all addresses are with attached VMs,
 * makes room by its own oldest offer if its minute is over, else by its own oldest lease if it has run out; when all are taken,
 * by such an offer or lease of another VM; else by its own oldest offer whatever its age; and when all are taken by the oldest
 * offer of a VM that has more. A flood of made-up MACs therefore keeps nobody out, takes no one's lease, and takes no memory:
 * there are never more entries than addresses, or than the limit.
 *
 * Static leases belong to their MACs only: no VM can keep another from its own by asking first.
 */
import { formatIpv4 } from '../../packet/address.ts';
import type { Vm } from '../../flow/listener.ts';
import { FairShares } from '../../runtime/fair-shares.ts';

/** Milliseconds an offer is held. */
const OFFER_TIME = 60_000;
/** Seconds (contract §11.2). */
export const LEASE_TIME = 3600;
/** Addresses handed out at most, however large the subnet. */
export const LEASE_LIMIT = 4096;

interface Holding {
  readonly address: number;
  /** When it was last asked for. */
  readonly seen: number;
}

export interface PoolOptions {
  /** Network address and mask as signed words. */
  readonly subnet: number;
  readonly mask: number;
  /** Addresses that nobody is given but the holder of a static lease: gateway, host, device, virtual addresses. */
  readonly reserved: readonly number[];
  /** Address → MAC. */
  readonly statics: ReadonlyMap<number, string>;
  readonly now: () => number;
}

/** One VM's part of the pool, by MAC. The order of both maps is the order of use, oldest first. */
class Holdings {
  readonly offers: Map<string, Holding> = new Map();
  readonly leases: Map<string, Holding> = new Map();

  get size(): number {
    return this.offers.size + this.leases.size;
  }

  /** Forgets `mac`. */
  drop(mac: string): void {
    this.offers.delete(mac);
    this.leases.delete(mac);
  }
}

/** Someone who can be asked to make room. */
interface Candidate {
  readonly vm: Vm;
  readonly mac: string;
  readonly holding: Holding;
}

export class LeasePool {
  readonly #options: PoolOptions;
  readonly #staticByMac: Map<string, number> = new Map();
  readonly #vms: Map<Vm, Holdings> = new Map();
  /** Leases of VMs that have gone, by MAC, the one gone longest first. */
  readonly #orphans: Map<string, Holding> = new Map();
  /** Addresses of all holdings. */
  readonly #taken: Set<number> = new Set();
  readonly #reserved: Set<number>;
  /** Host numbers: no address below `#lowest` is free, none from `#end` on is handed out. */
  #lowest = 1;
  readonly #end: number;
  /** Addresses that can be handed out. */
  readonly #capacity: number;
  readonly #shares: FairShares<Vm>;

  constructor(options: PoolOptions) {
    this.#options = options;
    this.#reserved = new Set([...options.reserved, ...options.statics.keys()]);
    this.#end = Math.min(~options.mask >>> 0, LEASE_LIMIT + this.#reserved.size + 1);
    let capacity = 0;
    for (let host = 1; host < this.#end; host++) if (!this.#reserved.has((options.subnet + host) | 0)) capacity++;
    this.#capacity = Math.min(capacity, LEASE_LIMIT);
    this.#shares = new FairShares(this.#capacity);
    for (const [address, holder] of options.statics) {
      const mac = holder.toLowerCase();
      if (!this.#staticByMac.has(mac)) this.#staticByMac.set(mac, address);
    }
  }

  /** The address to offer to `mac` of `vm`; undefined when there is none. */
  offer(mac: string, vm: Vm): number | undefined {
    return this.#staticByMac.get(mac) ?? this.#hold(mac, vm, false);
  }

  /** As `offer`, and from now on it is `mac`'s. */
  bind(mac: string, vm: Vm): number | undefined {
    return this.#staticByMac.get(mac) ?? this.#hold(mac, vm, true);
  }

  /** The VM has gone: whoever has one of its MACs next gets that address, unless somebody had to have it meanwhile. */
  detached(vm: Vm): void {
    const holdings = this.#vms.get(vm);
    if (holdings === undefined) return;
    this.#vms.delete(vm);
    for (const { address } of holdings.offers.values()) this.#free(address);
    for (const [mac, lease] of holdings.leases) {
      const older = this.#orphans.get(mac);
      if (older !== undefined) this.#free(older.address);
      this.#orphans.delete(mac);
      this.#orphans.set(mac, lease);
    }
    for (let i = holdings.size; i > 0; i--) this.#shares.give(vm);
  }

  /** Address → MAC of static and bound leases (contract §13.5: `/services/dhcp/leases`). */
  list(): Map<string, string> {
    const all = new Map<string, string>();
    for (const [address, mac] of this.#options.statics) all.set(formatIpv4(address), mac.toLowerCase());
    for (const leases of [this.#orphans, ...[...this.#vms.values()].map((holdings) => holdings.leases)])
      for (const [mac, { address }] of leases) all.set(formatIpv4(address), mac);
    return all;
  }

  /** Offers and leases, without static ones. */
  get size(): number {
    return this.#taken.size;
  }

  #hold(mac: string, vm: Vm, binding: boolean): number | undefined {
    const now = this.#options.now();
    const known = this.#vms.get(vm);
    // A lease stays one when its holder asks for an offer.
    const isLease = binding || (known?.leases.has(mac) ?? false) || this.#orphans.has(mac);
    let address = (known?.leases.get(mac) ?? known?.offers.get(mac))?.address;
    if (address === undefined) {
      if (!this.#admit(vm, now)) return undefined;
      address = this.#orphan(mac) ?? this.#lowestFree() ?? this.#orphan(this.#orphans.keys().next().value);
      // There is one for whoever is admitted: shares and orphans together are never more than the addresses.
      if (address === undefined) throw new Error('the shares of the VMs exceed the pool');
      this.#taken.add(address);
    }
    const holdings = known ?? new Holdings();
    this.#vms.set(vm, holdings);
    holdings.drop(mac);
    (isLease ? holdings.leases : holdings.offers).set(mac, { address, seen: now });
    return address;
  }

  /** Counts one more for `vm`, having made room if there was none, in the order the head of this file gives. */
  #admit(vm: Vm, now: number): boolean {
    if (this.#shares.take(vm)) return true;
    const own = this.#vms.get(vm);
    const mine = own === undefined ? [] : [[vm, own] as const];
    const all = this.#taken.size - this.#orphans.size >= this.#capacity ? [...this.#vms] : [];
    const victim =
      stale(mine, now) ??
      stale(all, now) ??
      oldest(mine, 'offers') ??
      oldest(
        all.filter(([, { size }]) => size > (own?.size ?? 0)),
        'offers',
      );
    if (victim === undefined) return false;
    this.#vms.get(victim.vm)!.drop(victim.mac);
    this.#free(victim.holding.address);
    // One of its own for another is no more than before, however small its share has become.
    if (victim.vm === vm) return true;
    this.#shares.give(victim.vm);
    if (this.#vms.get(victim.vm)!.size === 0) this.#vms.delete(victim.vm);
    this.#shares.claim(vm);
    return true;
  }

  #lowestFree(): number | undefined {
    if (this.size >= LEASE_LIMIT) return undefined;
    for (; this.#lowest < this.#end; this.#lowest++) {
      const address = (this.#options.subnet + this.#lowest) | 0;
      if (!this.#reserved.has(address) && !this.#taken.has(address)) return address;
    }
    return undefined;
  }

  #free(address: number): void {
    this.#taken.delete(address);
    this.#lowest = Math.min(this.#lowest, (address - this.#options.subnet) >>> 0);
  }

  /** Takes the lease of a VM that has gone out of the list; its address is still counted as taken. */
  #orphan(mac: string | undefined): number | undefined {
    if (mac === undefined) return undefined;
    const address = this.#orphans.get(mac)?.address;
    this.#orphans.delete(mac);
    return address;
  }
}

type Vms = readonly (readonly [Vm, Holdings])[];

/** The offer or lease of longest ago. */
function oldest(among: Vms, which: 'offers' | 'leases'): Candidate | undefined {
  let found: Candidate | undefined;
  for (const [vm, holdings] of among) {
    const [first] = holdings[which];
    if (first !== undefined && (found === undefined || first[1].seen < found.holding.seen))
      found = { vm, mac: first[0], holding: first[1] };
  }
  return found;
}

/** An offer whose minute is over, else a lease that has run out. */
function stale(among: Vms, now: number): Candidate | undefined {
  const offer = oldest(among, 'offers');
  if (offer !== undefined && now - offer.holding.seen >= OFFER_TIME) return offer;
  const lease = oldest(among, 'leases');
  return lease !== undefined && now - lease.holding.seen >= LEASE_TIME * 1000 ? lease : undefined;
}
