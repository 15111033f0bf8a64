/**
 * The gateway's neighbour discovery (RFC 4861): answers for its own addresses, learns who answers, asks for guests, and
 * advertises itself as the router.
 *
 * Who has an address is told by the frame that says so: link-layer addresses in options are checked, not believed. Guests that
 * test an address before they use it (RFC 4862 §5.4) hear of us only when it is ours.
 */
import * as ethernet from '../packet/ethernet.ts';
import { IpAddress } from '../packet/address.ts';
import { i32 } from '../packet/bytes.ts';
import * as ipv6 from '../packet/ipv6.ts';
import type { Mac } from '../packet/mac.ts';
import * as ndp from '../packet/ndp.ts';
import type { Arena } from '../runtime/arena.ts';
import type { Port } from '../link/port.ts';
import type { Icmpv6Output } from './icmpv6-output.ts';
import { ALL_NODES_GROUP, type Ipv6Addresses, solicitedNode } from './ipv6-addresses.ts';
import { Neighbour, type NeighbourTable } from './neighbour.ts';
import type { InboundPacket } from './packet.ts';
import type { RouterAdvertiser } from './router-advertiser.ts';

/** RFC 4861 §6.1, §7.1: nobody beyond the link can have sent it. */
export const DISCOVERY_HOPS = 255;
const FRAME = ethernet.HEADER + ipv6.HEADER + ndp.WITH_ADDRESS;

export class DiscoveryCounters {
  /** Hop limit, code, length, options or addresses against RFC 4861, or in fragments (RFC 6980). */
  malformed = 0;
  solicitations = 0;
  advertisements = 0;
  /** Solicitations for addresses that are not the gateway's. */
  notOurs = 0;
  answered = 0;
  /** Answers that found no room. */
  dropNoRoom = 0;
  /** Advertisements of addresses that are another VM's, or can't be a guest's. */
  refused = 0;
  /** Solicitations of our own, each to every VM. */
  solicited = 0;
  routerSolicitations = 0;
  /** From guests, who are no routers here: ignored. */
  foreignRouters = 0;
  redirects = 0;
}

export interface DiscoveryOptions {
  readonly arena: Arena;
  readonly mac: Mac;
  readonly addresses: Ipv6Addresses;
  readonly output: Icmpv6Output;
  readonly advertiser: RouterAdvertiser;
  readonly neighbours: () => NeighbourTable;
  /** Sends a frame of the arena to every VM. */
  readonly broadcast: (at: number, length: number) => void;
}

export class NeighbourDiscovery {
  readonly counters: DiscoveryCounters = new DiscoveryCounters();
  readonly #options: DiscoveryOptions;
  readonly #scratch: number;

  constructor(options: DiscoveryOptions) {
    this.#options = options;
    this.#scratch = options.arena.allocate(4096);
  }

  /** A message of types 133 to 137 whose checksum is good. */
  input(packet: InboundPacket, type: number): void {
    const { bytes, payload } = packet;
    const isRouter = type === ndp.ROUTER_SOLICITATION;
    const smallest = isRouter ? ndp.SOLICITATION : ndp.NEIGHBOUR_MESSAGE;
    const forged = packet.ttl !== DISCOVERY_HOPS || bytes[payload + 1] !== 0 || packet.fragmented;
    if (forged || packet.end - payload < smallest) return this.#malformed();
    if (type === ndp.ROUTER_ADVERTISEMENT) this.counters.foreignRouters++;
    else if (type === ndp.REDIRECT) this.counters.redirects++;
    else this.#withOptions(packet, type, ndp.options(bytes, payload + smallest, packet.end));
  }

  #malformed(): void {
    this.counters.malformed++;
  }

  #withOptions(packet: InboundPacket, type: number, options: number): void {
    const { source0, source1, source2, source3 } = packet;
    const unspecified = (source0 | source1 | source2 | source3) === 0;
    if (options < 0 || (unspecified && (options & ndp.HAS_SOURCE_ADDRESS) !== 0)) return this.#malformed();
    if (type === ndp.ROUTER_SOLICITATION) this.#routerSolicitation(packet, unspecified);
    else if (ipv6.isMulticast(i32(packet.bytes, packet.payload + ndp.TARGET))) this.#malformed();
    else if (type === ndp.NEIGHBOUR_SOLICITATION) this.#solicitation(packet, unspecified);
    else this.#advertisement(packet, unspecified);
  }

  #routerSolicitation(packet: InboundPacket, unspecified: boolean): void {
    this.counters.routerSolicitations++;
    const { advertiser } = this.#options;
    const { source0, source1, source2, source3 } = packet;
    const { w0, w1, w2, w3 } = ALL_NODES_GROUP;
    if (unspecified) advertiser.send(everyoneOn(packet.port), w0, w1, w2, w3);
    else advertiser.send(packet.neighbour, source0, source1, source2, source3);
  }

  #solicitation(packet: InboundPacket, unspecified: boolean): void {
    const { counters } = this;
    // RFC 4861 §7.1.1: a test of an address goes to its group.
    if (unspecified && !ipv6.isMulticast(packet.destination0)) return this.#malformed();
    counters.solicitations++;
    const at = packet.payload + ndp.TARGET;
    const { bytes } = packet;
    const [t0, t1, t2, t3] = [i32(bytes, at), i32(bytes, at + 4), i32(bytes, at + 8), i32(bytes, at + 12)];
    const { addresses, arena, mac, output } = this.#options;
    if (!addresses.isAnswered(t0, t1, t2, t3)) {
      counters.notOurs++;
      return;
    }
    const flags = ndp.ROUTER | ndp.OVERRIDE | (unspecified ? 0 : ndp.SOLICITED);
    ndp.writeAdvertisement(arena.bytes, this.#scratch, flags, t0, t1, t2, t3, mac.hi, mac.lo);
    const target = new IpAddress(t0, t1, t2, t3);
    const { source0, source1, source2, source3 } = packet;
    const { w0, w1, w2, w3 } = ALL_NODES_GROUP;
    const sent = unspecified
      ? output.send(everyoneOn(packet.port), target, w0, w1, w2, w3, this.#scratch, ndp.WITH_ADDRESS, DISCOVERY_HOPS)
      : output.send(packet.neighbour, target, source0, source1, source2, source3, this.#scratch, ndp.WITH_ADDRESS, DISCOVERY_HOPS);
    if (sent) counters.answered++;
    else counters.dropNoRoom++;
  }

  /** Somebody says that he has an address. */
  #advertisement(packet: InboundPacket, unspecified: boolean): void {
    const { bytes, payload } = packet;
    const solicited = (i32(bytes, payload + 4) & ndp.SOLICITED) !== 0;
    if (unspecified || (solicited && ipv6.isMulticast(packet.destination0))) return this.#malformed();
    this.counters.advertisements++;
    const at = payload + ndp.TARGET;
    const [t0, t1, t2, t3] = [i32(bytes, at), i32(bytes, at + 4), i32(bytes, at + 8), i32(bytes, at + 12)];
    const { addresses, neighbours } = this.#options;
    const { macHi, macLo } = packet.neighbour;
    const known = addresses.isGuest(t0, t1, t2, t3) && neighbours().learn(t0, t1, t2, t3, packet.port, macHi, macLo) !== null;
    if (!known) this.counters.refused++;
  }

  /** Asks everyone who has an address. */
  solicit(w0: number, w1: number, w2: number, w3: number): void {
    const { addresses, arena, broadcast, mac, output } = this.#options;
    const group = solicitedNode(w3);
    const from = addresses.sourceFor(w0);
    const at = this.#scratch;
    const message = at + ethernet.HEADER + ipv6.HEADER;
    ethernet.write(arena.bytes, at, ethernet.IPV6_GROUP, group.w3, mac.hi, mac.lo, ethernet.TYPE_IPV6);
    const next = ipv6.PROTOCOL_ICMPV6;
    const [f0, f1, f2, f3] = [from.w0, from.w1, from.w2, from.w3];
    const header = at + ethernet.HEADER;
    ipv6.write(arena.bytes, header, ndp.WITH_ADDRESS, next, DISCOVERY_HOPS, f0, f1, f2, f3, group.w0, group.w1, group.w2, group.w3);
    ndp.writeSolicitation(arena.bytes, message, w0, w1, w2, w3, mac.hi, mac.lo);
    output.fillIn(from, group.w0, group.w1, group.w2, group.w3, message, ndp.WITH_ADDRESS);
    broadcast(at, FRAME);
    this.counters.solicited++;
  }
}

/** All nodes, on one port. */
function everyoneOn(port: Port): Neighbour {
  const { w0, w1, w2, w3 } = ALL_NODES_GROUP;
  const everyone = new Neighbour(w0, w1, w2, w3);
  everyone.port = port;
  everyone.macHi = ethernet.IPV6_GROUP;
  everyone.macLo = w3;
  return everyone;
}
