/**
 * The Ethernet switch between the VMs' ports and the gateway.
 *
 *     to the gateway's MAC    ─► gateway
 *     broadcast               ─► gateway and every other port
 *     other group addresses   ─► every other port (multicast between VMs; the gateway takes no part in it)
 *     known unicast           ─► its port; unknown ─► dropped, as gvproxy does (contract §7)
 *
 * A frame for a VM is copied into that VM's port. A VM that doesn't read loses frames and delays nobody.
 */
import * as ethernet from '../packet/ethernet.ts';
import type { Mac } from '../packet/mac.ts';
import type { FrameReceiver, Port } from '../link/port.ts';
import type { GatewayInput } from './gateway-input.ts';
import { MacTable } from './mac-table.ts';

/** Milliseconds between renewals of a known address: learning per frame would cost a look-up per frame. */
const RENEW = 1000;

export class SwitchCounters {
  /** Shorter than an Ethernet header. */
  runts = 0;
  unknownUnicast = 0;
  /** Source is a group address, zero, or the gateway's own. */
  badSource = 0;
  /** Destination is on the port the frame came from. */
  hairpin = 0;
  /** Copies of frames that went to VMs, and their bytes: VM to VM, and the gateway's broadcasts. */
  copies = 0;
  copiedBytes = 0;
}

export interface SwitchOptions {
  readonly bytes: Uint8Array;
  readonly gatewayMac: Mac;
  readonly gateway: GatewayInput;
  /** Milliseconds, for ageing. */
  readonly now: () => number;
}

export class Switch implements FrameReceiver {
  readonly ports: Set<Port> = new Set();
  readonly counters: SwitchCounters = new SwitchCounters();
  readonly macs: MacTable = new MacTable();
  readonly #bytes: Uint8Array;
  readonly #gateway: GatewayInput;
  readonly #gatewayHi: number;
  readonly #gatewayLo: number;
  readonly #now: () => number;
  /** The source learned last: nearly every frame comes from it. */
  #lastHi = 0;
  #lastLo = 0;
  #lastPort: Port | null = null;
  #lastSeen = 0;

  constructor(options: SwitchOptions) {
    this.#bytes = options.bytes;
    this.#gateway = options.gateway;
    this.#gatewayHi = options.gatewayMac.hi;
    this.#gatewayLo = options.gatewayMac.lo;
    this.#now = options.now;
  }

  frame(port: Port, at: number, length: number): void {
    port.counters.rxFrames++;
    port.counters.rxBytes += length;
    if (length < ethernet.HEADER) {
      this.counters.runts++;
      port.counters.rxDropped++;
      return;
    }
    const bytes = this.#bytes;
    if (!this.#learn(port, ethernet.macHi(bytes, at, ethernet.SOURCE), ethernet.macLo(bytes, at, ethernet.SOURCE))) {
      this.counters.badSource++;
      port.counters.rxDropped++;
      return;
    }
    const hi = ethernet.macHi(bytes, at, ethernet.DESTINATION);
    const lo = ethernet.macLo(bytes, at, ethernet.DESTINATION);
    if (hi === this.#gatewayHi && lo === this.#gatewayLo) {
      this.#gateway.input(port, at, length);
    } else if (ethernet.isGroup(hi)) {
      this.broadcast(port, at, length);
      if (ethernet.isBroadcast(hi, lo)) this.#gateway.input(port, at, length);
    } else {
      this.#forward(port, hi, lo, at, length);
    }
  }

  #learn(port: Port, hi: number, lo: number): boolean {
    const now = this.#now();
    if (hi === this.#lastHi && lo === this.#lastLo && port === this.#lastPort && now - this.#lastSeen < RENEW) return true;
    if (ethernet.isGroup(hi) || (hi === 0 && lo === 0) || (hi === this.#gatewayHi && lo === this.#gatewayLo)) return false;
    this.macs.learn(hi, lo, port, now);
    this.#lastHi = hi;
    this.#lastLo = lo;
    this.#lastPort = port;
    this.#lastSeen = now;
    return true;
  }

  #forward(from: Port, hi: number, lo: number, at: number, length: number): void {
    const to = this.portOf(hi, lo);
    if (to === null) {
      this.counters.unknownUnicast++;
      from.counters.rxDropped++;
    } else if (to === from) {
      this.counters.hairpin++;
      from.counters.rxDropped++;
    } else {
      this.#copy(to, at, length);
    }
  }

  /** A full port loses the frame; it must not hold up others. */
  #copy(to: Port, at: number, length: number): void {
    const claim = to.claim(to.headroom + length);
    if (claim < 0) {
      to.counters.txDropped++;
      return;
    }
    const place = claim + to.headroom;
    this.#bytes.copyWithin(place, at, at + length);
    to.commit(place, length);
    this.counters.copies++;
    this.counters.copiedBytes += length;
  }

  /** Sends a copy to every port but `from`. */
  broadcast(from: Port | null, at: number, length: number): void {
    for (const port of this.ports) if (port !== from) this.#copy(port, at, length);
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
    if (this.#lastPort === port) this.#lastPort = null;
    this.#gateway.detached(port);
  }
}
