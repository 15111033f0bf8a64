/**
 * Which MAC address has which IPv4 address.
 *
 * Static leases first, then what a MAC had before, then the lowest free address. An address that was only offered is
 * held for a minute; a lease is remembered for good, but when nothing is free the lease that was heard of longest ago,
 * and has run out, makes room. A flood of made-up MACs can therefore use up offers, not leases, and never memory.
 */
import { formatIpv4 } from '../../packet/address.ts';

/** Milliseconds an offer is held. */
const OFFER_TIME = 60_000;
/** Seconds (contract §11.2). */
export const LEASE_TIME = 3600;
/** Addresses handed out at most, however large the subnet. */
export const LEASE_LIMIT = 4096;

interface Lease {
  readonly mac: string;
  readonly address: number;
  /** Not an offer any more. */
  bound: boolean;
  /** When it was last asked for. */
  seen: number;
}

export interface PoolOptions {
  /** Network address and mask as signed words. */
  readonly subnet: number;
  readonly mask: number;
  /** Addresses that nobody is given but the holder of a static lease: gateway, host, device, virtual addresses. */
  readonly reserved: readonly number[];
  /** Address → lower-case MAC. */
  readonly statics: ReadonlyMap<number, string>;
  readonly now: () => number;
}

export class LeasePool {
  readonly #options: PoolOptions;
  readonly #staticByMac: Map<string, number> = new Map();
  readonly #byMac: Map<string, Lease> = new Map();
  readonly #byAddress: Map<number, Lease> = new Map();
  readonly #reserved: Set<number>;

  constructor(options: PoolOptions) {
    this.#options = options;
    this.#reserved = new Set([...options.reserved, ...options.statics.keys()]);
    for (const [address, mac] of options.statics) if (!this.#staticByMac.has(mac)) this.#staticByMac.set(mac, address);
  }

  /** The address to offer to `mac`; undefined when there is none. */
  offer(mac: string): number | undefined {
    return this.#lease(mac)?.address ?? this.#staticByMac.get(mac);
  }

  /** As `offer`, and from now on it is `mac`'s. */
  bind(mac: string): number | undefined {
    const fixed = this.#staticByMac.get(mac);
    if (fixed !== undefined) return fixed;
    const lease = this.#lease(mac);
    if (lease !== undefined) lease.bound = true;
    return lease?.address;
  }

  /** Lets the address go: `mac` gets the lowest free one when it asks again. */
  release(mac: string): void {
    const lease = this.#byMac.get(mac);
    if (lease !== undefined) this.#drop(lease);
  }

  /** Address → MAC of static and bound leases (contract §13.6: `/services/dhcp/leases`). */
  list(): Map<string, string> {
    const all = new Map<string, string>();
    for (const [address, mac] of this.#options.statics) all.set(formatIpv4(address), mac);
    for (const { address, mac, bound } of this.#byMac.values()) if (bound) all.set(formatIpv4(address), mac);
    return all;
  }

  get size(): number {
    return this.#byMac.size;
  }

  #lease(mac: string): Lease | undefined {
    if (this.#staticByMac.has(mac)) return undefined;
    const now = this.#options.now();
    const known = this.#byMac.get(mac);
    if (known !== undefined) {
      known.seen = now;
      // The order of the map is the order of use, for `#reclaim`.
      this.#byMac.delete(mac);
      this.#byMac.set(mac, known);
      return known;
    }
    const address = this.#free() ?? this.#reclaim(now);
    if (address === undefined) return undefined;
    const lease: Lease = { mac, address, bound: false, seen: now };
    this.#byMac.set(mac, lease);
    this.#byAddress.set(address, lease);
    return lease;
  }

  #free(): number | undefined {
    const { subnet, mask } = this.#options;
    const hosts = Math.min(~mask >>> 0, LEASE_LIMIT + this.#reserved.size + 1);
    if (this.#byMac.size >= LEASE_LIMIT) return undefined;
    for (let host = 1; host < hosts; host++) {
      const address = (subnet + host) | 0;
      if (!this.#reserved.has(address) && !this.#byAddress.has(address)) return address;
    }
    return undefined;
  }

  /** Takes the address of the oldest offer or lease that has run out. */
  #reclaim(now: number): number | undefined {
    for (const lease of this.#byMac.values()) {
      if (now - lease.seen < (lease.bound ? LEASE_TIME * 1000 : OFFER_TIME)) continue;
      this.#drop(lease);
      return lease.address;
    }
    return undefined;
  }

  #drop(lease: Lease): void {
    this.#byMac.delete(lease.mac);
    this.#byAddress.delete(lease.address);
  }
}
