/**
 * Holds VMs to the addresses that they were given: DHCP snooping, IP source guard and ARP inspection, as switches call it.
 *
 *     IPv4  from the VM's own address, or from 0.0.0.0 to ask for one (UDP 68 → 67)
 *     ARP   from the VM's own addresses, or from 0.0.0.0 to probe (RFC 5227)
 *     IPv6  where guests have it, from addresses that the VM has: see ipv6-guard.ts
 *     never from a DHCP server (UDP from 67 or 547, to a client's 68 or 546) or a router (RFC 6105: ICMPv6 134), nor with VLAN tags or SNAP,
 *           behind which all of it could hide; nor with an open checksum in what was looked at, which whoever completes it writes over
 *
 * Other protocols pass. A VM keeps an address after its lease's time until another one gets it.
 */
import { u16 } from '../packet/bytes.ts';
import * as arp from '../packet/arp.ts';
import * as ethernet from '../packet/ethernet.ts';
import * as ipv4 from '../packet/ipv4.ts';
import * as udp from '../packet/udp.ts';
import type { Port } from '../link/port.ts';
import type { Ipv6Guard } from './ipv6-guard.ts';
import { Ipv6Headers } from './ipv6-headers.ts';
import { openField } from './open-checksum.ts';

const DHCP_SERVER = 67;
const DHCP_CLIENT = 68;
const DHCPV6_CLIENT = 546;
const DHCPV6_SERVER = 547;
/** Bytes of a UDP header that are looked at. */
const UDP_PORTS = 4;
/** And of another one: an ICMP message's type. */
const FIRST_WORD = 2;

/** Who may use one address. */
class Lease {
  readonly hi: number;
  readonly lo: number;
  /** Null: whichever VM has the MAC address. */
  port: Port | null;

  constructor(hi: number, lo: number, port: Port | null) {
    this.hi = hi;
    this.lo = lo;
    this.port = port;
  }
}

export class AddressGuard {
  readonly #bytes: Uint8Array;
  /** Null where guests have no IPv6. */
  readonly ipv6: Ipv6Guard | null;
  readonly #leases: Map<number, Lease> = new Map();
  readonly #headers: Ipv6Headers = new Ipv6Headers();

  constructor(bytes: Uint8Array, ipv6: Ipv6Guard | null) {
    this.#bytes = bytes;
    this.ipv6 = ipv6;
  }

  /** `address` belongs to this MAC address on whatever VM, for ever. */
  reserve(address: number, hi: number, lo: number): void {
    this.#leases.set(address, new Lease(hi, lo, null));
  }

  /** `address` was leased to this MAC address of a VM. Nobody else has it any more. */
  lease(address: number, hi: number, lo: number, port: Port): void {
    const known = this.#leases.get(address);
    if (known !== undefined && known.hi === hi && known.lo === lo && known.port === null) return;
    this.#leases.set(address, new Lease(hi, lo, port));
  }

  /** The VM is gone: its addresses wait for their MAC addresses, as the leases do. */
  forgetPort(port: Port): void {
    this.ipv6?.holders.forgetPort(port);
    for (const lease of this.#leases.values()) if (lease.port === port) lease.port = null;
  }

  get size(): number {
    return this.#leases.size;
  }

  /** Whether `port` may send the frame at `at`, of at least an Ethernet header, whose source is its own MAC address `hi`, `lo`. */
  admits(port: Port, hi: number, lo: number, at: number, length: number): boolean {
    const type = ethernet.type(this.#bytes, at);
    const packet = at + ethernet.HEADER;
    const end = at + length;
    const open = openField(this.#bytes, port, at);
    if (type === ethernet.TYPE_IPV4) return this.#ipv4(port, hi, lo, packet, end, open);
    if (type === ethernet.TYPE_ARP) return open === Infinity && this.#arp(port, hi, lo, packet, end);
    if (type === ethernet.TYPE_IPV6) return this.#ipv6(port, hi, lo, packet, end, open);
    if (type <= ethernet.LONGEST_LLC) return packet + 2 > end || (open >= packet + 2 && u16(this.#bytes, packet) !== ethernet.SNAP);
    return type !== ethernet.TYPE_VLAN && type !== ethernet.TYPE_SERVICE_VLAN;
  }

  #holds(port: Port, hi: number, lo: number, address: number): boolean {
    const lease = this.#leases.get(address);
    return lease !== undefined && lease.lo === lo && lease.hi === hi && (lease.port === null || lease.port === port);
  }

  #ipv4(port: Port, hi: number, lo: number, at: number, end: number, open: number): boolean {
    const bytes = this.#bytes;
    if (at + ipv4.HEADER > end || ipv4.version(bytes, at) !== 4) return false;
    const source = ipv4.source(bytes, at);
    if (source !== 0 && !this.#holds(port, hi, lo, source)) return false;
    const transport = at + Math.max(ipv4.headerLength(bytes, at), ipv4.HEADER);
    if (open < transport) return false;
    if (ipv4.protocol(bytes, at) !== ipv4.PROTOCOL_UDP) return source !== 0;
    if ((ipv4.fragment(bytes, at) & ipv4.OFFSET_MASK) !== 0) return source !== 0;
    if (transport + udp.HEADER > end || open < transport + UDP_PORTS) return false;
    const from = udp.sourcePort(bytes, transport);
    const to = udp.destinationPort(bytes, transport);
    if (source === 0) return from === DHCP_CLIENT && to === DHCP_SERVER;
    return from !== DHCP_SERVER && to !== DHCP_CLIENT;
  }

  #arp(port: Port, hi: number, lo: number, at: number, end: number): boolean {
    const bytes = this.#bytes;
    if (at + arp.LENGTH > end || !arp.isIpv4OverEthernet(bytes, at)) return false;
    if (arp.senderMacHi(bytes, at) !== hi || arp.senderMacLo(bytes, at) !== lo) return false;
    const sender = arp.senderAddress(bytes, at);
    return sender === 0 ? arp.operation(bytes, at) === arp.REQUEST : this.#holds(port, hi, lo, sender);
  }

  #ipv6(port: Port, hi: number, lo: number, at: number, end: number, open: number): boolean {
    const bytes = this.#bytes;
    const headers = this.#headers;
    if (!headers.read(bytes, at, end)) return false;
    const isUdp = headers.protocol === ipv4.PROTOCOL_UDP;
    const looked = headers.isRest ? 0 : isUdp ? UDP_PORTS : FIRST_WORD;
    if (open < headers.payload + looked || !headers.isNoRouter(bytes, end, open)) return false;
    if (isUdp && !headers.isRest && !this.#isNoServer(headers, end)) return false;
    return this.ipv6 === null || this.ipv6.admits(port, hi, lo, at, end, headers, open);
  }

  #isNoServer(headers: Ipv6Headers, end: number): boolean {
    const bytes = this.#bytes;
    if (headers.payload + UDP_PORTS > end) return false;
    return headers.sourcePort(bytes) !== DHCPV6_SERVER && headers.destinationPort(bytes) !== DHCPV6_CLIENT;
  }
}
