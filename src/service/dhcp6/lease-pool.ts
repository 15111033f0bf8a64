/**
 * Which IPv6 address each identity association of each client has (RFC 8415 §6.2): a lease per VM, DUID and IAID.
 *
 *     the device's own address ─ else what the client's kernel makes of its MAC address ─ else one of a hash ─ else the next of it
 *
 * So an address is the same as the one that a guest makes itself where it makes one of its MAC address, and the same again when a
 * guest comes back, without anything being remembered of those that have gone. A /64 does not run out; what is limited are the
 * leases, of which a VM has its share, the one not asked for longest making room.
 */
import { createHash } from 'node:crypto';
import { IpAddress } from '../../packet/address.ts';
import { interfaceHigh, interfaceLow } from '../../packet/ipv6.ts';
import { formatMac, type Mac } from '../../packet/mac.ts';
import type { Vm } from '../../flow/listener.ts';
import { FairShares } from '../../runtime/fair-shares.ts';

/** Leases at once. */
export const LEASE_LIMIT = 4096;
/** Addresses that a client says others use, remembered of each VM. */
const DECLINED_LIMIT = 64;
/** Addresses tried for one lease: those of others, and those that were declined, stand in the way. */
const TRIES = DECLINED_LIMIT + 16;

export interface Pool6Options {
  /** The gateway's; its first two words are the prefix. */
  readonly gateway: IpAddress;
  /** Addresses that are never handed out but to who is named in `statics`. */
  readonly reserved: readonly IpAddress[];
  /** MAC address in lower case → its address. */
  readonly statics: ReadonlyMap<string, IpAddress>;
}

export interface Lease6 {
  readonly address: IpAddress;
  readonly mac: string;
}

/** Who asks. */
export interface Client6 {
  readonly vm: Vm;
  readonly mac: Mac;
  readonly duid: Uint8Array;
}

class Holdings {
  /** By DUID and IAID, in the order of use. */
  readonly leases: Map<string, Lease6> = new Map();
  readonly declined: Set<string> = new Set();
}

export class LeasePool6 {
  readonly #options: Pool6Options;
  readonly #reserved: ReadonlySet<string>;
  readonly #vms: Map<Vm, Holdings> = new Map();
  readonly #taken: Set<string> = new Set();
  readonly #shares: FairShares<Vm> = new FairShares(LEASE_LIMIT);

  constructor(options: Pool6Options) {
    this.#options = options;
    this.#reserved = new Set([...options.reserved, ...options.statics.values()].map(hostOf));
  }

  get size(): number {
    return this.#taken.size;
  }

  /** The lease that an association has; undefined when it has none. */
  find(client: Client6, association: number): Lease6 | undefined {
    return this.#vms.get(client.vm)?.leases.get(keyOf(client, association));
  }

  /** The address it would get; nothing is remembered. Undefined when there is none. */
  offer(client: Client6, association: number): IpAddress | undefined {
    return this.find(client, association)?.address ?? this.#choose(client, association);
  }

  /** From now on the address is the association's. */
  bind(client: Client6, association: number): IpAddress | undefined {
    const key = keyOf(client, association);
    const known = this.find(client, association);
    const address = known?.address ?? this.#choose(client, association);
    if (address === undefined || (known === undefined && !this.#admit(client.vm))) return undefined;
    const { leases } = this.#holdings(client.vm);
    leases.delete(key);
    leases.set(key, { address, mac: formatMac(client.mac.hi, client.mac.lo) });
    this.#taken.add(hostOf(address));
    return address;
  }

  /** False when the association has no lease. */
  release(client: Client6, association: number): boolean {
    const holdings = this.#vms.get(client.vm);
    const key = keyOf(client, association);
    const lease = holdings?.leases.get(key);
    if (holdings === undefined || lease === undefined) return false;
    this.#drop(client.vm, holdings, key, lease);
    return true;
  }

  /** The association's address is used by somebody else, as its client says: it gets another. False when it has no lease. */
  decline(client: Client6, association: number): boolean {
    const lease = this.find(client, association);
    if (lease === undefined) return false;
    this.release(client, association);
    const { declined } = this.#holdings(client.vm);
    if (declined.size >= DECLINED_LIMIT) declined.delete(declined.keys().next().value!);
    declined.add(hostOf(lease.address));
    return true;
  }

  /** The VM has gone. */
  detached(vm: Vm): void {
    const holdings = this.#vms.get(vm);
    if (holdings === undefined) return;
    for (const [key, lease] of holdings.leases) this.#drop(vm, holdings, key, lease);
    this.#vms.delete(vm);
  }

  /** Address → MAC address, static leases included. */
  list(): Map<string, string> {
    const all = new Map([...this.#options.statics].map(([mac, address]) => [address.toString(), mac]));
    for (const { leases } of this.#vms.values()) for (const { address, mac } of leases.values()) all.set(address.toString(), mac);
    return all;
  }

  #holdings(vm: Vm): Holdings {
    let holdings = this.#vms.get(vm);
    if (holdings === undefined) {
      holdings = new Holdings();
      this.#vms.set(vm, holdings);
    }
    return holdings;
  }

  #drop(vm: Vm, holdings: Holdings, key: string, { address }: Lease6): void {
    holdings.leases.delete(key);
    this.#taken.delete(hostOf(address));
    this.#shares.give(vm);
  }

  /** Counts one more for the VM; its own oldest makes room. */
  #admit(vm: Vm): boolean {
    if (this.#shares.take(vm)) return true;
    const holdings = this.#vms.get(vm);
    const [oldest] = holdings?.leases ?? [];
    if (holdings === undefined || oldest === undefined) return false;
    this.#drop(vm, holdings, oldest[0], oldest[1]);
    this.#shares.claim(vm);
    return true;
  }

  #choose(client: Client6, association: number): IpAddress | undefined {
    const { gateway, statics } = this.#options;
    const { hi, lo } = client.mac;
    const free = (address: IpAddress): boolean => {
      const host = hostOf(address);
      return !this.#taken.has(host) && !this.#vms.get(client.vm)?.declined.has(host);
    };
    const own = statics.get(formatMac(hi, lo));
    if (own !== undefined && free(own)) return own;
    const made = new IpAddress(gateway.w0, gateway.w1, interfaceHigh(hi, lo), interfaceLow(lo));
    if (this.#isGiven(made, free)) return made;
    const hash = createHash('sha256').update(keyOf(client, association)).digest();
    for (let attempt = 0; attempt < TRIES; attempt++) {
      const address = new IpAddress(gateway.w0, gateway.w1, hash.readInt32BE(0), hash.readInt32BE(4) + attempt);
      if (this.#isGiven(address, free)) return address;
    }
    return undefined;
  }

  /** Not the routers' anycast address, which is all zeros, either. */
  #isGiven(address: IpAddress, free: (address: IpAddress) => boolean): boolean {
    return (address.w2 !== 0 || address.w3 !== 0) && !this.#reserved.has(hostOf(address)) && free(address);
  }
}

/** What tells addresses of the prefix apart. */
function hostOf({ w2, w3 }: IpAddress): string {
  return `${w2} ${w3}`;
}

function keyOf({ duid }: Client6, association: number): string {
  return `${Buffer.from(duid).toString('hex')} ${association}`;
}
