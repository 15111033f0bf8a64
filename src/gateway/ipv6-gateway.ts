/**
 * The gateway's IPv6: who may send to whom, and where packets go.
 *
 *     frame ─► header ─► addresses ─► extension headers ─► (reassembly) ─► ICMPv6 ─► discovery, echo
 *                                                                       └► transport: TCP, UDP
 */
import type { IpAddress } from '../packet/address.ts';
import type { Sum } from '../packet/checksum.ts';
import * as ethernet from '../packet/ethernet.ts';
import * as icmpv4 from '../packet/icmpv4.ts';
import * as icmp from '../packet/icmpv6.ts';
import { PROTOCOL_UDP } from '../packet/ipv4.ts';
import * as ipv6 from '../packet/ipv6.ts';
import { ExtensionFault, ExtensionWalk } from '../packet/ipv6-extensions.ts';
import type { Mac } from '../packet/mac.ts';
import * as udp from '../packet/udp.ts';
import type { Arena } from '../runtime/arena.ts';
import type { Random } from '../runtime/clock.ts';
import type { TimerWheel } from '../runtime/timer-wheel.ts';
import type { Port } from '../link/port.ts';
import type { GuestReport } from './guest-report.ts';
import { Icmpv6Errors } from './icmpv6-errors.ts';
import { Icmpv6Input } from './icmpv6-input.ts';
import { Icmpv6Output } from './icmpv6-output.ts';
import { Ipv6Addresses, isDhcpGroup } from './ipv6-addresses.ts';
import { Ipv6Fragments } from './ipv6-fragments.ts';
import { Ipv6Counters, readIpv6Header } from './ipv6-input.ts';
import { Ipv6Output } from './ipv6-output.ts';
import { Neighbour, type NeighbourTable } from './neighbour.ts';
import { NeighbourDiscovery } from './neighbour-discovery.ts';
import type { InboundPacket, Transport } from './packet.ts';
import { RouterAdvertiser } from './router-advertiser.ts';

const DHCP_SERVER = 547;

/** What the network's IPv6 is made of. */
export interface Ipv6Options {
  /** The gateway's address; its first two words are the network's prefix. */
  readonly address: IpAddress;
  /** More addresses that neighbour discovery answers for. */
  readonly virtualAddresses: readonly IpAddress[];
  /** Domains as DNS writes names, without compression. */
  readonly searchList: readonly Uint8Array[];
}

/** What it shares with IPv4. */
export interface Ipv6Surroundings {
  readonly arena: Arena;
  readonly sum: Sum;
  readonly timers: TimerWheel;
  readonly random: Random;
  readonly mac: Mac;
  readonly mtu: number;
  readonly transports: readonly (Transport | undefined)[];
  readonly neighbours: () => NeighbourTable;
  readonly broadcast: (at: number, length: number) => void;
  readonly reported: (report: GuestReport) => void;
}

export class Ipv6Gateway {
  readonly counters: Ipv6Counters = new Ipv6Counters();
  readonly addresses: Ipv6Addresses;
  readonly output: Ipv6Output;
  readonly icmp: Icmpv6Errors;
  readonly icmpInput: Icmpv6Input;
  readonly discovery: NeighbourDiscovery;
  readonly advertiser: RouterAdvertiser;
  readonly fragments: Ipv6Fragments;
  readonly #bytes: Uint8Array;
  readonly #walk: ExtensionWalk = new ExtensionWalk();
  readonly #transports: readonly (Transport | undefined)[];
  readonly #neighbours: () => NeighbourTable;
  /** The neighbour of the packet before. */
  #last: Neighbour | null = null;
  /** Of the last packet that was let through to one address: who sent it, and where to. What the two may do never changes. */
  #admitted: Neighbour | null = null;
  #to0 = 0;
  #to1 = 0;
  #to2 = 0;
  #to3 = 0;

  constructor(options: Ipv6Options, surroundings: Ipv6Surroundings) {
    const { arena, sum, timers, random, mac, mtu, broadcast, neighbours } = surroundings;
    const addresses = new Ipv6Addresses(options.address, options.virtualAddresses, mac);
    this.#bytes = arena.bytes;
    this.#transports = surroundings.transports;
    this.#neighbours = neighbours;
    this.addresses = addresses;
    this.output = new Ipv6Output(arena, mac, mtu, random);
    const output = new Icmpv6Output(arena, sum, this.output);
    const { searchList } = options;
    this.advertiser = new RouterAdvertiser({ arena, timers, random, mac, mtu, addresses, searchList, output, broadcast });
    const discovery = new NeighbourDiscovery({ arena, mac, addresses, output, advertiser: this.advertiser, neighbours, broadcast });
    this.discovery = discovery;
    this.icmp = new Icmpv6Errors(arena, timers, output, addresses);
    this.icmpInput = new Icmpv6Input({ arena, sum, output, addresses, discovery, reported: surroundings.reported });
    this.fragments = new Ipv6Fragments(arena, timers);
  }

  /** A frame of `length` bytes at `frame`; `packet` has its bytes and its port. */
  input(packet: InboundPacket, frame: number, length: number): void {
    if (!readIpv6Header(packet, frame + ethernet.HEADER, length - ethernet.HEADER, this.counters)) return;
    if (!this.#isAsBefore(packet, frame) && !this.#admit(packet, frame)) return;
    const { header } = packet;
    if (!this.#chain(packet, header + ipv6.HEADER, header + ipv6.AT_NEXT_HEADER, true)) return;
    if (packet.protocol === ipv6.FRAGMENT) {
      const fragmentHeader = packet.payload;
      if (!this.fragments.take(packet)) return;
      const namedAt = packet.reassembled ? packet.header + ipv6.AT_NEXT_HEADER : fragmentHeader;
      if (!this.#chain(packet, packet.payload, namedAt, false)) return;
    }
    this.#deliver(packet);
  }

  /** Steps over extension headers. False when the packet ends here. */
  #chain(packet: InboundPacket, at: number, namedAt: number, first: boolean): boolean {
    const walk = this.#walk;
    if (walk.walk(packet.bytes, at, packet.end, namedAt, first) && (first || walk.protocol !== ipv6.FRAGMENT)) {
      packet.protocol = walk.protocol;
      packet.payload = walk.payload;
      return true;
    }
    this.counters.dropExtensions++;
    const { FIELD, NEXT_HEADER, OPTION, OPTION_UNICAST } = ExtensionFault;
    const toGroup = ipv6.isMulticast(packet.destination0);
    if (walk.fault === FIELD) this.icmp.problem(packet, icmp.CODE_FIELD, walk.pointer);
    else if (walk.fault === NEXT_HEADER) this.icmp.problem(packet, icmp.CODE_NEXT_HEADER, walk.pointer);
    else if (walk.fault === OPTION || (walk.fault === OPTION_UNICAST && !toGroup))
      this.icmp.problem(packet, icmp.CODE_OPTION, walk.pointer);
    return false;
  }

  /** Of a host without an address nothing is heard but ICMPv6, and of groups only that and DHCPv6. */
  #deliver(packet: InboundPacket): void {
    const { counters } = this;
    const { protocol } = packet;
    if (protocol === ipv6.PROTOCOL_ICMPV6) {
      counters.delivered++;
      this.icmpInput.input(packet);
      return;
    }
    if (isUnspecified(packet)) {
      counters.dropSource++;
      return;
    }
    if (ipv6.isMulticast(packet.destination0) && !this.#isDhcp(packet)) {
      counters.dropDestination++;
      return;
    }
    const transport = this.#transports[protocol];
    if (transport !== undefined) {
      counters.delivered++;
      transport.input(packet);
    } else if (protocol === ipv6.NO_NEXT_HEADER) {
      counters.empty++;
    } else {
      counters.unknownProtocol++;
      this.icmp.problem(packet, icmp.CODE_NEXT_HEADER, this.#walk.pointer);
    }
  }

  #isDhcp(packet: InboundPacket): boolean {
    const { bytes, payload, destination0, destination1, destination2, destination3 } = packet;
    if (packet.protocol !== PROTOCOL_UDP || packet.end - payload < udp.HEADER) return false;
    return udp.destinationPort(bytes, payload) === DHCP_SERVER && isDhcpGroup(destination0, destination1, destination2, destination3);
  }

  /** From the same VM and to the same address as the last that was let through: packets come in runs. Sets the packet's neighbour. */
  #isAsBefore(packet: InboundPacket, frame: number): boolean {
    const last = this.#admitted;
    if (
      last === null ||
      last.w3 !== packet.source3 ||
      last.w2 !== packet.source2 ||
      last.w1 !== packet.source1 ||
      last.w0 !== packet.source0 ||
      this.#to3 !== packet.destination3 ||
      this.#to2 !== packet.destination2 ||
      this.#to1 !== packet.destination1 ||
      this.#to0 !== packet.destination0 ||
      last.port !== packet.port ||
      last.macLo !== ethernet.macLo(this.#bytes, frame, ethernet.SOURCE) ||
      last.macHi !== ethernet.macHi(this.#bytes, frame, ethernet.SOURCE)
    )
      return false;
    this.#neighbours().heard(last);
    packet.neighbour = last;
    return true;
  }

  /** Who may send to whom; sets the packet's neighbour. */
  #admit(packet: InboundPacket, frame: number): boolean {
    const { counters, addresses } = this;
    const { source0, source1, source2, source3, destination0, destination1, destination2, destination3 } = packet;
    if (ipv6.isReserved(destination0, destination1, destination2)) {
      counters.dropDestination++;
      return false;
    }
    const toGroup = ipv6.isMulticast(destination0);
    if (toGroup && !addresses.isJoined(destination0, destination1, destination2, destination3)) {
      counters.otherGroups++;
      return false;
    }
    if (isUnspecified(packet)) {
      packet.neighbour = this.#nobody(packet, frame);
      return true;
    }
    if (!addresses.isGuest(source0, source1, source2, source3)) {
      counters.dropSource++;
      return false;
    }
    const neighbour = this.#neighbour(packet, frame);
    if (neighbour === null) {
      counters.dropSpoofed++;
      return false;
    }
    packet.neighbour = neighbour;
    if (toGroup) return true;
    if (!this.#isReachable(packet)) return false;
    this.#admitted = neighbour;
    this.#to0 = destination0;
    this.#to1 = destination1;
    this.#to2 = destination2;
    this.#to3 = destination3;
    return true;
  }

  /** Unicast beyond us: nothing link-local goes there (RFC 4291 §2.5.6), and other guests are not there. */
  #isReachable(packet: InboundPacket): boolean {
    const { source0, destination0, destination1, destination2, destination3 } = packet;
    const { addresses } = this;
    if (addresses.isAnswered(destination0, destination1, destination2, destination3)) return true;
    const local = ipv6.isLinkLocal(destination0);
    if (!local && !ipv6.isLinkLocal(source0) && !addresses.isOnLink(destination0, destination1)) return true;
    this.counters.dropDestination++;
    if (!local) this.icmp.unreachable(packet, ipv6.isLinkLocal(source0) ? icmpv4.CODE_NET : icmpv4.CODE_HOST);
    return false;
  }

  #nobody(packet: InboundPacket, frame: number): Neighbour {
    const nobody = new Neighbour(0, 0, 0, 0);
    nobody.port = packet.port;
    nobody.macHi = ethernet.macHi(this.#bytes, frame, ethernet.SOURCE);
    nobody.macLo = ethernet.macLo(this.#bytes, frame, ethernet.SOURCE);
    return nobody;
  }

  /** Null when the source address is another VM's. */
  #neighbour(packet: InboundPacket, frame: number): Neighbour | null {
    const { port, source0, source1, source2, source3 } = packet;
    const hi = ethernet.macHi(this.#bytes, frame, ethernet.SOURCE);
    const lo = ethernet.macLo(this.#bytes, frame, ethernet.SOURCE);
    const last = this.#last;
    if (
      last !== null &&
      last.w3 === source3 &&
      last.w2 === source2 &&
      last.w1 === source1 &&
      last.w0 === source0 &&
      last.port === port &&
      last.macLo === lo &&
      last.macHi === hi
    ) {
      this.#neighbours().heard(last);
      return last;
    }
    this.#last = this.#neighbours().learn(source0, source1, source2, source3, port, hi, lo);
    return this.#last;
  }

  detached(port: Port): void {
    this.fragments.reassembly.forgetPort(port);
    this.#last = this.#admitted = null;
  }
}

function isUnspecified({ source0, source1, source2, source3 }: InboundPacket): boolean {
  return (source0 | source1 | source2 | source3) === 0;
}
