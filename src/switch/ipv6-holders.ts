/**
 * Which VM has which IPv6 address, as SAVI has it (RFC 6620): who comes first keeps it until he is gone.
 *
 *     never       what is the gateway's
 *     reserved    for a MAC address alone, on whatever VM
 *     derived     what the kernel of an attached VM makes of its MAC address (EUI-64) is that VM's, whoever came first
 *     leased      by DHCPv6, whoever came first
 *     free        the first VM's that tests it, says that it has it, or sends from it
 *
 * Bounded per VM: of those that make addresses up the ones not used for longest make room.
 */
import type { IpAddress } from '../packet/address.ts';
import * as ipv6 from '../packet/ipv6.ts';
import type { Port } from '../link/port.ts';

/** Addresses that are remembered of one VM. */
export const ADDRESSES6_PER_PORT = 64;
/** Milliseconds between renewals of an address. */
const RENEW = 1000;

export class Holder {
  readonly w0: number;
  readonly w1: number;
  readonly w2: number;
  readonly w3: number;
  port: Port;
  seen: number;
  /** When its VM tested it last, to find out whether another has it. */
  tested = -Infinity;

  constructor(w0: number, w1: number, w2: number, w3: number, port: Port, seen: number) {
    this.w0 = w0;
    this.w1 = w1;
    this.w2 = w2;
    this.w3 = w3;
    this.port = port;
    this.seen = seen;
  }
}

export interface HoldersOptions {
  /** The gateway's: the first is of the network's prefix. */
  readonly gateway: readonly IpAddress[];
  /** The VM that a MAC address is on. */
  readonly portOf: (hi: number, lo: number) => Port | null;
  readonly now: () => number;
}

export class Ipv6Holders {
  readonly #options: HoldersOptions;
  readonly #reserved: { readonly address: IpAddress; readonly hi: number; readonly lo: number }[] = [];
  /** By the last word, which alone tells nearly all addresses apart. */
  readonly #entries: Map<number, Holder[]> = new Map();
  readonly #perPort: Map<Port, Set<Holder>> = new Map();
  /** The holder of the packet before: nearly always that of the next. */
  #last: Holder | null = null;

  constructor(options: HoldersOptions) {
    this.#options = options;
  }

  get size(): number {
    let size = 0;
    for (const entries of this.#perPort.values()) size += entries.size;
    return size;
  }

  /** The address belongs to this MAC address on whatever VM, for ever. */
  reserve(address: IpAddress, hi: number, lo: number): void {
    this.#reserved.push({ address, hi, lo });
  }

  /** The address was leased to this VM. Nobody else has it any more. */
  lease({ w0, w1, w2, w3 }: IpAddress, port: Port): void {
    this.#give(this.find(w0, w1, w2, w3), w0, w1, w2, w3, port);
  }

  /** Link-local, or of the network's prefix. */
  isOnLink(w0: number, w1: number): boolean {
    const prefix = this.#options.gateway[0]!;
    return ipv6.isLinkLocal(w0) || (w0 === prefix.w0 && w1 === prefix.w1);
  }

  isGateway(w0: number, w1: number, w2: number, w3: number): boolean {
    for (const address of this.#options.gateway) if (is(address, w0, w1, w2, w3)) return true;
    return false;
  }

  /** Whether the address is kept for another than this VM, by its MAC address or by what that makes of it. */
  isKept(w0: number, w1: number, w2: number, w3: number, port: Port, hi: number, lo: number): boolean {
    for (const each of this.#reserved) if (is(each.address, w0, w1, w2, w3)) return each.hi !== hi || each.lo !== lo;
    const owner = this.#deriver(w2, w3);
    return owner !== null && owner !== port;
  }

  find(w0: number, w1: number, w2: number, w3: number): Holder | null {
    const list = this.#entries.get(w3);
    if (list === undefined) return null;
    for (let i = 0; i < list.length; i++) if (is(list[i]!, w0, w1, w2, w3)) return list[i]!;
    return null;
  }

  /** The entry of an address that the VM has, or has from now on. Null when it is another's, or nobody's. */
  claim(w0: number, w1: number, w2: number, w3: number, port: Port, hi: number, lo: number): Holder | null {
    const now = this.#options.now();
    const last = this.#last;
    if (last !== null && last.port === port && is(last, w0, w1, w2, w3) && now - last.seen < RENEW) return last;
    if (!this.isOnLink(w0, w1) || (w2 === 0 && w3 === 0) || this.isGateway(w0, w1, w2, w3)) return null;
    if (this.isKept(w0, w1, w2, w3, port, hi, lo)) return null;
    const known = this.find(w0, w1, w2, w3);
    if (known !== null && known.port === port) known.seen = now;
    else if (known !== null && this.#deriver(w2, w3) !== port) return null;
    this.#last = known?.port === port ? known : this.#give(known, w0, w1, w2, w3, port);
    return this.#last;
  }

  /** The VM whose MAC address such an address is made of; null for another address, or when nobody has that. */
  #deriver(w2: number, w3: number): Port | null {
    if ((w2 & 0xff) !== 0xff || w3 >>> 24 !== 0xfe) return null;
    const hi = (w2 >>> 16) ^ 0x0200;
    const lo = ((w2 & 0xff00) << 16) | (w3 & 0xffffff);
    return this.#options.portOf(hi, lo);
  }

  #give(known: Holder | null, w0: number, w1: number, w2: number, w3: number, port: Port): Holder {
    const now = this.#options.now();
    if (known?.port === port) return known;
    let entries = this.#perPort.get(port);
    if (entries === undefined) {
      entries = new Set();
      this.#perPort.set(port, entries);
    }
    if (entries.size >= ADDRESSES6_PER_PORT) this.#remove(stalest(entries));
    const entry = known ?? new Holder(w0, w1, w2, w3, port, now);
    if (known !== null) this.#perPort.get(known.port)!.delete(known);
    else this.#add(entry);
    entry.port = port;
    entry.seen = now;
    entry.tested = -Infinity;
    entries.add(entry);
    return entry;
  }

  /** The VM is gone. */
  forgetPort(port: Port): void {
    for (const entry of this.#perPort.get(port) ?? []) this.#remove(entry);
    this.#perPort.delete(port);
  }

  #add(entry: Holder): void {
    const list = this.#entries.get(entry.w3);
    if (list) list.push(entry);
    else this.#entries.set(entry.w3, [entry]);
  }

  #remove(entry: Holder): void {
    if (this.#last === entry) this.#last = null;
    this.#perPort.get(entry.port)!.delete(entry);
    const list = this.#entries.get(entry.w3)!;
    list.splice(list.indexOf(entry), 1);
    if (list.length === 0) this.#entries.delete(entry.w3);
  }
}

function is(address: Pick<Holder, 'w0' | 'w1' | 'w2' | 'w3'>, w0: number, w1: number, w2: number, w3: number): boolean {
  return address.w3 === w3 && address.w2 === w2 && address.w1 === w1 && address.w0 === w0;
}

function stalest(entries: Set<Holder>): Holder {
  let oldest: Holder | null = null;
  for (const entry of entries) if (oldest === null || entry.seen < oldest.seen) oldest = entry;
  return oldest!;
}
