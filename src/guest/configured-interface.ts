/** What gvforwarder does to its interface: MAC address and link at the beginning, address, MTU, route and resolver with a lease. */
import type { DhcpLease } from '../packet/dhcpv4-client.ts';
import { HEADER as ETHERNET_HEADER } from '../packet/ethernet.ts';
import type { Mac } from '../packet/mac.ts';
import { setU16, setU32, u16, i32 } from '../packet/bytes.ts';
import { NetworkInterface } from '../system/network-interface.ts';
import { ResolverFile } from './resolver-file.ts';

/** RFC 791: what every machine takes. A lease that says less is wrong, and would end the interface's IPv4. */
const SMALLEST_MTU = 68;
/** What Linux lets an Ethernet interface have: with its header, no more than 65,535 bytes. */
const LARGEST_MTU = 65_535 - ETHERNET_HEADER;

export class ConfiguredInterface {
  readonly #interface: NetworkInterface;
  readonly #resolver: ResolverFile | null;
  #isUp = false;
  #address = 0;
  #router = 0;
  #mtu = 0;

  /** `resolver`: the file for name servers; empty for none. Throws SystemError. */
  constructor(name: string, resolver: string) {
    this.#interface = new NetworkInterface(name);
    this.#resolver = resolver === '' ? null : new ResolverFile(resolver);
  }

  get mac(): Mac {
    const bytes = this.#interface.mac;
    return { hi: u16(bytes, 0), lo: i32(bytes, 2) };
  }

  set mac({ hi, lo }: Mac) {
    const bytes = new Uint8Array(6);
    setU16(bytes, 0, hi);
    setU32(bytes, 2, lo);
    this.#interface.mac = bytes;
  }

  up(): void {
    this.#interface.up();
    this.#isUp = true;
  }

  /** Sets what has changed. Returns what was left alone and why, for the log. Throws SystemError, or Node's error for the file. */
  configure(lease: DhcpLease): string | undefined {
    if (lease.mtu >= SMALLEST_MTU && lease.mtu !== this.#mtu) this.#interface.setMtu(Math.min(lease.mtu, LARGEST_MTU));
    this.#mtu = lease.mtu;
    if (lease.address !== this.#address) {
      this.#interface.setAddress(lease.address, lease.mask);
      // The routes went with the address.
      this.#router = 0;
    }
    this.#address = lease.address;
    if (lease.router !== 0 && lease.router !== this.#router) this.#interface.addDefaultRoute(lease.router);
    this.#router = lease.router;
    return this.#resolver?.write(lease);
  }

  /** The lease is over. Throws SystemError. */
  unconfigure(): void {
    this.#resolver?.restore();
    if (this.#address === 0) return;
    this.#address = this.#router = 0;
    this.#interface.removeAddress();
  }

  /** Takes back what was set. Never throws: the interface may be gone. */
  close(): void {
    try {
      this.unconfigure();
      if (this.#isUp) this.#interface.down();
    } catch {
      // Gone.
    }
    this.#interface.close();
  }
}
