/**
 * The Ethernet switch between the VMs' ports and the gateway.
 *
 *     source                  ─► must be the port's own: neither the gateway's nor another VM's; by `guard` its IP addresses too
 *     to the gateway's MAC    ─► gateway
 *     broadcast               ─► gateway and every other port
 *     groups of IPv6          ─► every other port, and the gateway where it speaks IPv6
 *     other group addresses   ─► every other port (multicast between VMs; the gateway takes no part in it)
 *     known unicast           ─► its port; unknown ─► dropped, as gvproxy does (contract §7)
 *
 * With `isolation` nothing goes from VM to VM. A frame for a VM is copied into that VM's port (delivery.ts); a VM that doesn't read
 * loses frames and delays nobody.
 */
import { sum as plainSum, type Sum } from '../packet/checksum.ts';
import * as ethernet from '../packet/ethernet.ts';
import type { Mac } from '../packet/mac.ts';
import { RateLimit } from '../runtime/rate-limit.ts';
import type { FrameReceiver, Port } from '../link/port.ts';
import type { IpAddress } from '../packet/address.ts';
import { AddressGuard } from './address-guard.ts';
import { Delivery } from './delivery.ts';
import type { GatewayInput } from './gateway-input.ts';
import { Ipv6Guard } from './ipv6-guard.ts';
import { Ipv6Headers, ipv6In } from './ipv6-headers.ts';
import { MacTable } from './mac-table.ts';
import { openField } from './open-checksum.ts';
import { type Refusal, SwitchCounters } from './switch-counters.ts';

/** Milliseconds between renewals of a known address: learning per frame would cost a look-up per frame. */
const RENEW = 1000;
/** Milliseconds of silence after which another VM may take a MAC address; the gateway has the same for IPv4 addresses. */
export const SILENCE = 30_000;
/**
 * Copies of one VM's broadcasts and multicasts a second, beyond one copy of each, in KiB and at least one; and how many at once. Segments
 * that the switch cuts for one VM count as well, where they are small.
 */
const COPIES = 200_000;
const COPIES_BURST = 50_000;

/** What a VM must not pretend to be: nobody, another VM's MAC address and a router of IPv6, also another IP address than its own. */
export type Guard = 'off' | 'mac' | 'lease';

export interface SwitchOptions {
  readonly bytes: Uint8Array;
  readonly gatewayMac: Mac;
  readonly gateway: GatewayInput;
  /** Milliseconds, for ageing. */
  readonly now: () => number;
  /** In place over `bytes`. Default: in JavaScript. */
  readonly sum?: Sum;
  /** Bytes of the largest IP packet, for those who say nothing of segments. Default 1500. */
  readonly mtu?: number;
  /** Default `off`. */
  readonly guard?: Guard;
  /** The gateway's addresses of IPv6, the first of them in the network's prefix, where guests have IPv6. */
  readonly ipv6?: readonly IpAddress[];
  /** VMs reach the gateway and not each other. Default false. */
  readonly isolation?: boolean;
}

export class Switch implements FrameReceiver {
  readonly ports: Set<Port> = new Set();
  readonly counters: SwitchCounters = new SwitchCounters();
  readonly macs: MacTable;
  /** Who may use which IP address; null without the guard. */
  readonly leases: AddressGuard | null;
  readonly #bytes: Uint8Array;
  readonly #gateway: GatewayInput;
  readonly #gatewayHi: number;
  readonly #gatewayLo: number;
  readonly #now: () => number;
  readonly #isolation: boolean;
  /** Where the gateway is the only router; null where that is not looked at here. */
  readonly #headers: Ipv6Headers | null;
  readonly #delivery: Delivery;
  readonly #storm: RateLimit<Port> = new RateLimit(COPIES, COPIES_BURST);
  /** The source learned last: nearly every frame comes from it. */
  #lastHi = 0;
  #lastLo = 0;
  #lastPort: Port | null = null;
  #lastSeen = 0;

  constructor(options: SwitchOptions) {
    const { bytes, guard = 'off', mtu = 1500, isolation = false, ipv6, now } = options;
    this.#bytes = bytes;
    this.#gateway = options.gateway;
    this.#gatewayHi = options.gatewayMac.hi;
    this.#gatewayLo = options.gatewayMac.lo;
    this.#now = now;
    this.#isolation = isolation;
    this.macs = new MacTable(guard === 'off' ? 0 : guard === 'mac' ? SILENCE : Infinity);
    const portOf = (hi: number, lo: number): Port | null => this.portOf(hi, lo);
    const addresses = ipv6 === undefined ? null : new Ipv6Guard(bytes, { gateway: ipv6, portOf, now });
    this.leases = guard === 'lease' ? new AddressGuard(bytes, addresses) : null;
    this.#headers = guard === 'mac' && ipv6 !== undefined ? new Ipv6Headers() : null;
    const sum = options.sum ?? ((at, length, initial) => plainSum(bytes, at, length, initial));
    this.#delivery = new Delivery(bytes, sum, mtu, this.counters);
  }

  frame(port: Port, at: number, length: number): void {
    port.counters.rxFrames++;
    port.counters.rxBytes += length;
    if (length < ethernet.HEADER) return this.#drop(port, 'runts');
    const bytes = this.#bytes;
    const sourceHi = ethernet.macHi(bytes, at, ethernet.SOURCE);
    const sourceLo = ethernet.macLo(bytes, at, ethernet.SOURCE);
    const hi = ethernet.macHi(bytes, at, ethernet.DESTINATION);
    const lo = ethernet.macLo(bytes, at, ethernet.DESTINATION);
    if (!this.#isLast(port, sourceHi, sourceLo)) {
      const refusal = this.#learn(port, sourceHi, sourceLo);
      if (refusal !== null) return this.#drop(port, refusal);
    }
    if (this.leases !== null && !this.leases.admits(port, sourceHi, sourceLo, at, length)) return this.#drop(port, 'dropUnleased');
    if (hi === this.#gatewayHi && lo === this.#gatewayLo) {
      this.#gateway.input(port, at, length);
    } else if (this.#headers !== null && !this.#isNoRouter(this.#headers, port, at, length)) {
      this.#drop(port, 'dropRouter');
    } else if (ethernet.isGroup(hi)) {
      const broadcast = ethernet.isBroadcast(hi, lo);
      this.#group(port, broadcast, at, length);
      if (broadcast || (hi === ethernet.IPV6_GROUP && this.#gateway.speaksIpv6 === true)) this.#gateway.input(port, at, length);
    } else {
      this.#forward(port, hi, lo, at, length);
    }
  }

  #isNoRouter(headers: Ipv6Headers, port: Port, at: number, length: number): boolean {
    const bytes = this.#bytes;
    const end = at + length;
    const open = openField(bytes, port, at);
    const packet = ipv6In(bytes, at, end, open);
    return packet < 0 || (headers.read(bytes, packet, end) && headers.isNoRouter(bytes, end, open));
  }

  #drop(port: Port, why: Refusal): void {
    this.counters[why]++;
    port.counters.rxDropped++;
    if (why === 'dropForeignMac' || why === 'dropUnleased' || why === 'dropRouter') port.counters.rxForged++;
  }

  #isLast(port: Port, hi: number, lo: number): boolean {
    return hi === this.#lastHi && lo === this.#lastLo && port === this.#lastPort && this.#now() - this.#lastSeen < RENEW;
  }

  #learn(port: Port, hi: number, lo: number): Refusal | null {
    const now = this.#now();
    if (ethernet.isGroup(hi) || (hi === 0 && lo === 0) || (hi === this.#gatewayHi && lo === this.#gatewayLo)) return 'badSource';
    if (!this.macs.learn(hi, lo, port, now)) return 'dropForeignMac';
    this.#lastHi = hi;
    this.#lastLo = lo;
    this.#lastPort = port;
    this.#lastSeen = now;
    return null;
  }

  #forward(from: Port, hi: number, lo: number, at: number, length: number): void {
    const to = this.portOf(hi, lo);
    if (to === null) return this.#drop(from, 'unknownUnicast');
    if (to === from) return this.#drop(from, 'hairpin');
    if (this.#isolation) return this.#drop(from, 'dropIsolated');
    if (!this.#delivery.take(from, at, length)) return this.#drop(from, 'dropMalformed');
    const { excess } = this.#delivery;
    if (excess > 0 && !this.#storm.take(from, this.#now(), excess)) return this.#drop(from, 'dropStorm');
    this.#delivery.copy(to, at, length);
  }

  /** To every other VM: each VM may have so much copied and cut, that a flood of one leaves time for the others. */
  #group(from: Port, broadcast: boolean, at: number, length: number): void {
    const others = this.ports.size - 1;
    if (others === 0) return;
    if (this.#isolation) return broadcast ? undefined : this.#drop(from, 'dropIsolated');
    if (!this.#delivery.take(from, at, length)) return this.#drop(from, 'dropMalformed');
    const cost = (others - 1) * Math.max(1, length / 1024) + others * this.#delivery.excess;
    if (cost > 0 && !this.#storm.take(from, this.#now(), cost)) return this.#drop(from, 'dropStorm');
    for (const port of this.ports) if (port !== from) this.#delivery.copy(port, at, length);
  }

  /** Sends a copy of a frame of the gateway's to every port but `from`. */
  broadcast(from: Port | null, at: number, length: number): void {
    this.#delivery.take(null, at, length);
    for (const port of this.ports) if (port !== from) this.#delivery.copy(port, at, length);
  }

  portOf(hi: number, lo: number): Port | null {
    return this.macs.portOf(hi, lo, this.#now());
  }

  endOfBatch(): void {
    this.#gateway.endOfBatch();
  }

  drained(port: Port): void {
    this.#gateway.drained(port);
  }

  attached(port: Port): void {
    this.ports.add(port);
  }

  detached(port: Port): void {
    this.ports.delete(port);
    this.macs.forgetPort(port);
    this.leases?.forgetPort(port);
    if (this.#lastPort === port) this.#lastPort = null;
    this.#gateway.detached(port);
  }
}
