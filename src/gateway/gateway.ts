/**
 * The gateway as a host on the wire: it owns a MAC address and an address of each version of IP, and takes packets to every other
 * address too.
 *
 *     frame ─► ARP ─────────────► arp-responder ─► neighbours
 *           └► IPv4 ─► checks ─► (reassembly) ─► ICMP ─► echo
 *           │                                 └► transport: TCP, UDP
 *           └► IPv6, where there is one: ipv6-gateway.ts
 */
import { IpAddress, MAPPED } from '../packet/address.ts';
import type { Sum } from '../packet/checksum.ts';
import * as ethernet from '../packet/ethernet.ts';
import * as icmpv4 from '../packet/icmpv4.ts';
import * as ipv4 from '../packet/ipv4.ts';
import type { Mac } from '../packet/mac.ts';
import * as udp from '../packet/udp.ts';
import type { Arena } from '../runtime/arena.ts';
import type { Random } from '../runtime/clock.ts';
import type { TimerWheel } from '../runtime/timer-wheel.ts';
import type { Port } from '../link/port.ts';
import type { GatewayInput } from '../switch/gateway-input.ts';
import { ArpResponder } from './arp-responder.ts';
import { IcmpErrors } from './icmp-errors.ts';
import type { GuestReport } from './guest-report.ts';
import { IcmpInput } from './icmp-input.ts';
import { Ipv4Fragments, isFragment } from './ipv4-fragments.ts';
import { Ipv4Counters, readHeader } from './ipv4-input.ts';
import { Ipv4Output } from './ipv4-output.ts';
import { Ipv6Gateway, type Ipv6Options } from './ipv6-gateway.ts';
import { Neighbour, NeighbourTable } from './neighbour.ts';
import { InboundPacket, type Transport } from './packet.ts';
import type { Reassembly } from './reassembly.ts';

const DHCP_SERVER = 67;

export interface GatewayOptions {
  readonly arena: Arena;
  readonly sum: Sum;
  readonly timers: TimerWheel;
  readonly random: Random;
  readonly mac: Mac;
  /** IPv4 addresses and masks as signed words. */
  readonly address: number;
  readonly subnet: number;
  readonly mask: number;
  /** More addresses that ARP answers for. */
  readonly virtualAddresses: readonly number[];
  readonly mtu: number;
  /** False: frames of IPv4 and ARP are of types that are not spoken. Default true. */
  readonly ipv4?: boolean;
  /** Left out: guests have IPv4 only. */
  readonly ipv6?: Ipv6Options;
  /** Callers that may wait for a guest to answer ARP (neighbour.ts). */
  readonly waiting?: number;
}

/** Where the gateway's broadcasts go: the switch. */
export interface BroadcastOutput {
  broadcast(from: Port | null, at: number, length: number): void;
}

export class Gateway implements GatewayInput {
  readonly macHi: number;
  readonly macLo: number;
  readonly mtu: number;
  readonly address: number;
  readonly neighbours: NeighbourTable;
  readonly icmp: IcmpErrors;
  readonly icmpInput: IcmpInput;
  readonly arp: ArpResponder;
  readonly ipv6: Ipv6Gateway | null;
  readonly #fragments: Ipv4Fragments;
  readonly counters: Ipv4Counters = new Ipv4Counters();
  /** Frames whose ethertype the gateway does not speak. */
  unknownEtherType = 0;
  /** Bytes of frames to the gateway. */
  receivedBytes = 0;
  readonly #bytes: Uint8Array;
  readonly #own: IpAddress;
  readonly #speaksIpv4: boolean;
  readonly #subnet: number;
  readonly #mask: number;
  readonly #broadcast: number;
  readonly #output: Ipv4Output;
  readonly #packet: InboundPacket = new InboundPacket();
  readonly #transports: (Transport | undefined)[] = [];
  readonly #batch: (() => void)[] = [];
  readonly #drained: ((port: Port) => void)[] = [];
  readonly #detached: ((port: Port) => void)[] = [];
  readonly #reports: ((report: GuestReport) => void)[] = [];
  #wire: BroadcastOutput | null = null;
  /** The neighbour of the packet before: nearly always that of the next. */
  #last: Neighbour | null = null;

  constructor(options: GatewayOptions) {
    const { arena, mac, timers, sum } = options;
    this.#bytes = arena.bytes;
    this.macHi = mac.hi;
    this.macLo = mac.lo;
    this.mtu = options.mtu;
    this.address = options.address;
    this.#speaksIpv4 = options.ipv4 ?? true;
    this.#own = IpAddress.v4(options.address);
    this.#subnet = options.subnet;
    this.#mask = options.mask;
    this.#broadcast = options.subnet | ~options.mask;
    this.#output = new Ipv4Output(arena, mac, options.mtu, options.random);
    this.arp = new ArpResponder({
      arena,
      mac,
      address: options.address,
      answered: new Set([options.address, ...options.virtualAddresses]),
      isGuest: (address) => this.#isGuest(address),
      broadcast: (at, length) => this.#wire?.broadcast(null, at, length),
    });
    this.neighbours = new NeighbourTable(timers, (w0, w1, w2, w3) => this.#solicit(w0, w1, w2, w3), options.waiting);
    this.icmp = new IcmpErrors(arena, sum, timers, this.#output, options.address, this.#broadcast);
    this.icmpInput = new IcmpInput(arena, sum, this.#output, options.address, (report) => this.#report(report));
    this.#fragments = new Ipv4Fragments(arena, timers);
    const reported = (report: GuestReport): void => this.#report(report);
    this.ipv6 =
      options.ipv6 === undefined
        ? null
        : new Ipv6Gateway(options.ipv6, {
            arena,
            sum,
            timers,
            random: options.random,
            mac,
            mtu: options.mtu,
            transports: this.#transports,
            neighbours: () => this.neighbours,
            broadcast: (at, length) => this.#wire?.broadcast(null, at, length),
            reported,
          });
    this.icmp.ipv6 = this.ipv6?.icmp ?? null;
  }

  #report(report: GuestReport): void {
    for (const reported of this.#reports) reported(report);
  }

  #solicit(w0: number, w1: number, w2: number, w3: number): void {
    if (w0 === 0 && w1 === 0 && w2 === MAPPED) this.arp.solicit(w3);
    else this.ipv6?.discovery.solicit(w0, w1, w2, w3);
  }

  /** Frames to groups of IPv6 are for the gateway too. */
  get speaksIpv6(): boolean {
    return this.ipv6 !== null;
  }

  /** Once, before the first frame. */
  connect(wire: BroadcastOutput): void {
    this.#wire = wire;
  }

  /** Who takes packets of an IP protocol. */
  transport(protocol: number, transport: Transport): void {
    this.#transports[protocol] = transport;
  }

  onBatch(run: () => void): void {
    this.#batch.push(run);
  }

  onDrained(run: (port: Port) => void): void {
    this.#drained.push(run);
  }

  onDetached(run: (port: Port) => void): void {
    this.#detached.push(run);
  }

  /** ICMP errors of guests about packets they were sent. The report is reused. */
  onReport(run: (report: GuestReport) => void): void {
    this.#reports.push(run);
  }

  get reassembly(): Reassembly {
    return this.#fragments.reassembly;
  }

  /** The gateway's own address, of either version. */
  isLocal({ isIpv4, w0, w1, w2, w3 }: IpAddress): boolean {
    return isIpv4 ? w3 === this.address : (this.ipv6?.addresses.isLocal(w0, w1, w2, w3) ?? false);
  }

  /** The gateway's address that a guest with this one is talked to from. */
  sourceFor({ isIpv4, w0 }: IpAddress): IpAddress {
    return isIpv4 || this.ipv6 === null ? this.#own : this.ipv6.addresses.sourceFor(w0);
  }

  /** An address that a host beyond the gateway can have. */
  isOutside({ isIpv4, w0, w1, w2, w3 }: IpAddress): boolean {
    if (!isIpv4) return this.ipv6?.addresses.isOutside(w0, w1, w2) ?? false;
    const first = w3 >>> 24;
    return first !== 0 && first !== 127 && first < 224 && (w3 & this.#mask) !== this.#subnet;
  }

  /** An address of the subnet that can be a guest's. */
  #isGuest(address: number): boolean {
    return (address & this.#mask) === this.#subnet && address !== this.#subnet && address !== this.#broadcast && address !== this.address;
  }

  input(port: Port, at: number, length: number): void {
    this.receivedBytes += length;
    const type = ethernet.type(this.#bytes, at);
    if (type === ethernet.TYPE_IPV4 && this.#speaksIpv4) this.#ipv4(port, at, length);
    else if (type === ethernet.TYPE_ARP && this.#speaksIpv4)
      this.arp.input(port, at + ethernet.HEADER, length - ethernet.HEADER, this.neighbours);
    else if (type === ethernet.TYPE_IPV6 && this.ipv6 !== null) {
      this.#packet.bytes = this.#bytes;
      this.#packet.port = port;
      this.ipv6.input(this.#packet, at, length);
    } else this.unknownEtherType++;
  }

  #ipv4(port: Port, at: number, length: number): void {
    const packet = this.#packet;
    packet.bytes = this.#bytes;
    packet.port = port;
    if (!readHeader(packet, at + ethernet.HEADER, length - ethernet.HEADER, this.counters)) return;
    if (!this.#admit(packet, at)) return;
    if (isFragment(packet) && !this.#fragments.take(packet)) return;
    const transport = packet.protocol === ipv4.PROTOCOL_ICMP ? this.icmpInput : this.#transports[packet.protocol];
    if (transport !== undefined) {
      this.counters.delivered++;
      transport.input(packet);
      return;
    }
    this.counters.unknownProtocol++;
    this.icmp.unreachable(packet, icmpv4.CODE_PROTOCOL);
  }

  /** Who may send to whom; sets the packet's neighbour. */
  #admit(packet: InboundPacket, frame: number): boolean {
    const destination = packet.destination3;
    const first = destination >>> 24;
    const toAll = destination === -1 || destination === this.#broadcast;
    if (first === 127 || first === 0 || (first >= 224 && !toAll)) {
      this.counters.dropDestination++;
      return false;
    }
    const source = packet.source3;
    if (source === 0) return this.#admitUnconfigured(packet, frame);
    if (!this.#isGuest(source)) {
      this.counters.dropSource++;
      return false;
    }
    const neighbour = this.#neighbour(packet, frame);
    if (neighbour === null) {
      this.counters.dropSpoofed++;
      return false;
    }
    packet.neighbour = neighbour;
    if (!toAll || this.#isDhcp(packet)) return true;
    this.counters.dropDestination++;
    return false;
  }

  /** A guest without an address may only ask for one. */
  #admitUnconfigured(packet: InboundPacket, frame: number): boolean {
    if (!this.#isDhcp(packet)) {
      this.counters.dropSource++;
      return false;
    }
    const nobody = new Neighbour(0, 0, MAPPED, 0);
    nobody.port = packet.port;
    nobody.macHi = ethernet.macHi(this.#bytes, frame, ethernet.SOURCE);
    nobody.macLo = ethernet.macLo(this.#bytes, frame, ethernet.SOURCE);
    packet.neighbour = nobody;
    return true;
  }

  #isDhcp(packet: InboundPacket): boolean {
    if (packet.protocol !== ipv4.PROTOCOL_UDP || packet.end - packet.payload < udp.HEADER) return false;
    return udp.destinationPort(this.#bytes, packet.payload) === DHCP_SERVER;
  }

  /** Null when the source address is another VM's. */
  #neighbour(packet: InboundPacket, frame: number): Neighbour | null {
    const hi = ethernet.macHi(this.#bytes, frame, ethernet.SOURCE);
    const lo = ethernet.macLo(this.#bytes, frame, ethernet.SOURCE);
    const last = this.#last;
    if (last !== null && last.w3 === packet.source3 && last.port === packet.port && last.macLo === lo && last.macHi === hi) {
      this.neighbours.heard(last);
      return last;
    }
    this.#last = this.neighbours.learn(0, 0, MAPPED, packet.source3, packet.port, hi, lo);
    return this.#last;
  }

  /** See Ipv4Output.send. */
  sendIpv4(to: Neighbour, source: number, destination: number, protocol: number, at: number, length: number): boolean {
    return this.#output.send(to, source, destination, protocol, at, length);
  }

  /** See Ipv6Output.send. False without IPv6. */
  sendIpv6(
    to: Neighbour,
    s0: number,
    s1: number,
    s2: number,
    s3: number,
    d0: number,
    d1: number,
    d2: number,
    d3: number,
    protocol: number,
    at: number,
    length: number,
  ): boolean {
    return this.ipv6?.output.send(to, s0, s1, s2, s3, d0, d1, d2, d3, protocol, at, length) ?? false;
  }

  endOfBatch(): void {
    for (let i = 0; i < this.#batch.length; i++) this.#batch[i]!();
    this.reassembly.endOfBatch();
    this.ipv6?.fragments.reassembly.endOfBatch();
  }

  drained(port: Port): void {
    for (let i = 0; i < this.#drained.length; i++) this.#drained[i]!(port);
  }

  detached(port: Port): void {
    this.neighbours.forgetPort(port);
    this.reassembly.forgetPort(port);
    this.#last = null;
    this.ipv6?.detached(port);
    for (const run of this.#detached) run(port);
  }
}
