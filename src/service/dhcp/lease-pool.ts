/**
 * Which MAC address has which IPv4 address.
 *
 *     static lease ─ else what the MAC had before ─ else the lowest free address ─ else one that can be taken back
 *
 * An address that was only offered is held for a minute; a lease is remembered for good. When nothing is free, room is made
 * by the oldest offer if its minute is over, else by the lease that was heard of longest ago if it has run out, else by the
 * oldest offer whatever its age. A flood of made-up MACs that ask for offers therefore keeps nobody out, one that takes
 * leases takes no one else's, and neither takes memory: there are never more entries than addresses, or than the limit.
 */
import { formatIpv4 } from '../../packet/address.ts';

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

export class LeasePool {
  readonly #options: PoolOptions;
  readonly #staticByMac: Map<string, number> = new Map();
  /** By MAC. The order of both maps is the order of use, oldest first. */
  readonly #offers: Map<string, Holding> = new Map();
  readonly #leases: Map<string, Holding> = new Map();
  /** Addresses in either map. */
  readonly #taken: Set<number> = new Set();
  readonly #reserved: Set<number>;
  /** Host numbers: no address below `#lowest` is free, none from `#end` on is handed out. */
  #lowest = 1;
  readonly #end: number;

  constructor(options: PoolOptions) {
    this.#options = options;
    this.#reserved = new Set([...options.reserved, ...options.statics.keys()]);
    this.#end = Math.min(~options.mask >>> 0, LEASE_LIMIT + this.#reserved.size + 1);
    for (const [address, holder] of options.statics) {
      const mac = holder.toLowerCase();
      if (!this.#staticByMac.has(mac)) this.#staticByMac.set(mac, address);
    }
  }

  /** The address to offer to `mac`; undefined when there is none. */
  offer(mac: string): number | undefined {
    return this.#staticByMac.get(mac) ?? this.#hold(mac, this.#leases.has(mac) ? this.#leases : this.#offers);
  }

  /** As `offer`, and from now on it is `mac`'s. */
  bind(mac: string): number | undefined {
    return this.#staticByMac.get(mac) ?? this.#hold(mac, this.#leases);
  }

  /** Lets the address go: `mac` gets the lowest free one when it asks again. */
  release(mac: string): void {
    const address = this.#drop(mac);
    if (address === undefined) return;
    this.#taken.delete(address);
    this.#lowest = Math.min(this.#lowest, (address - this.#options.subnet) >>> 0);
  }

  /** Address → MAC of static and bound leases (contract §13.5: `/services/dhcp/leases`). */
  list(): Map<string, string> {
    const all = new Map<string, string>();
    for (const [address, mac] of this.#options.statics) all.set(formatIpv4(address), mac.toLowerCase());
    for (const [mac, { address }] of this.#leases) all.set(formatIpv4(address), mac);
    return all;
  }

  /** Offers and leases, without static ones. */
  get size(): number {
    return this.#taken.size;
  }

  #hold(mac: string, where: Map<string, Holding>): number | undefined {
    const now = this.#options.now();
    const address = this.#drop(mac) ?? this.#free() ?? this.#reclaim(now);
    if (address === undefined) return undefined;
    this.#taken.add(address);
    where.set(mac, { address, seen: now });
    return address;
  }

  #free(): number | undefined {
    if (this.size >= LEASE_LIMIT) return undefined;
    for (; this.#lowest < this.#end; this.#lowest++) {
      const address = (this.#options.subnet + this.#lowest) | 0;
      if (!this.#reserved.has(address) && !this.#taken.has(address)) return address;
    }
    return undefined;
  }

  /** Takes an address back, in the order the head of this file gives. */
  #reclaim(now: number): number | undefined {
    const [offer] = this.#offers;
    const [lease] = this.#leases;
    const hasRunOut = lease !== undefined && now - lease[1].seen >= LEASE_TIME * 1000;
    const victim = hasRunOut && (offer === undefined || now - offer[1].seen < OFFER_TIME) ? lease : offer;
    return victim && this.#drop(victim[0]);
  }

  /** Forgets `mac`, whose address is still counted as taken. */
  #drop(mac: string): number | undefined {
    const address = (this.#leases.get(mac) ?? this.#offers.get(mac))?.address;
    this.#leases.delete(mac);
    this.#offers.delete(mac);
    return address;
  }
}
