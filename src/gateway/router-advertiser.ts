/** What the gateway tells guests of the network as its router (RFC 4861 §6.2, RFC 8106): when they ask, and every few minutes. */
import * as ethernet from '../packet/ethernet.ts';
import * as ipv6 from '../packet/ipv6.ts';
import type { Mac } from '../packet/mac.ts';
import * as ndp from '../packet/ndp.ts';
import type { Arena } from '../runtime/arena.ts';
import type { Random } from '../runtime/clock.ts';
import { Timer, type TimerWheel } from '../runtime/timer-wheel.ts';
import type { Icmpv6Output } from './icmpv6-output.ts';
import { ALL_NODES_GROUP, type Ipv6Addresses } from './ipv6-addresses.ts';
import type { Neighbour } from './neighbour.ts';

/** Milliseconds between advertisements to all (RFC 4861 §6.2.1's defaults). */
const LEAST = 200_000;
const MOST = 600_000;
/** Seconds: the longest there is (RFC 8319), since a VM that was paused must find its router still there. */
const LIFETIME = 65_535;
const HOPS = 255;

export interface AdvertiserOptions {
  readonly arena: Arena;
  readonly timers: TimerWheel;
  readonly random: Random;
  readonly mac: Mac;
  readonly mtu: number;
  readonly addresses: Ipv6Addresses;
  readonly searchList: readonly Uint8Array[];
  readonly output: Icmpv6Output;
  /** Sends a frame of the arena to every VM. */
  readonly broadcast: (at: number, length: number) => void;
}

export class RouterAdvertiser {
  /** Advertisements to one guest, and to all. */
  answered = 0;
  unsolicited = 0;
  /** Those to one that found no room. */
  dropNoRoom = 0;
  readonly #options: AdvertiserOptions;
  readonly #message: ndp.RouterAdvertisement;
  readonly #scratch: number;
  readonly #timer: Timer = new Timer(() => this.#advertise());

  constructor(options: AdvertiserOptions) {
    this.#options = options;
    const { addresses, mac, mtu, searchList } = options;
    const { w0, w1, w2, w3 } = addresses.gateway;
    const resolver = [w0, w1, w2, w3] as const;
    this.#message = { macHi: mac.hi, macLo: mac.lo, prefix: [w0, w1], mtu, lifetime: LIFETIME, resolver, searchList };
    this.#scratch = options.arena.allocate(4096);
  }

  /** From now on everyone hears of the router every few minutes. */
  start(): void {
    this.#arm();
  }

  stop(): void {
    this.#options.timers.cancel(this.#timer);
  }

  #arm(): void {
    const { random, timers } = this.#options;
    timers.arm(this.#timer, LEAST + ((random.word() >>> 0) % (MOST - LEAST)));
  }

  /** To one guest, or to the group on its port. */
  send(to: Neighbour, d0: number, d1: number, d2: number, d3: number): void {
    const { addresses, arena, output } = this.#options;
    const length = ndp.writeRouterAdvertisement(arena.bytes, this.#scratch, this.#message);
    if (output.send(to, addresses.linkLocal, d0, d1, d2, d3, this.#scratch, length, HOPS)) this.answered++;
    else this.dropNoRoom++;
  }

  #advertise(): void {
    this.#arm();
    const { addresses, arena, broadcast, mac, output } = this.#options;
    const { w0, w1, w2, w3 } = addresses.linkLocal;
    const group = ALL_NODES_GROUP;
    const at = this.#scratch;
    const header = at + ethernet.HEADER;
    const message = header + ipv6.HEADER;
    const length = ndp.writeRouterAdvertisement(arena.bytes, message, this.#message);
    ethernet.write(arena.bytes, at, ethernet.IPV6_GROUP, group.w3, mac.hi, mac.lo, ethernet.TYPE_IPV6);
    const next = ipv6.PROTOCOL_ICMPV6;
    ipv6.write(arena.bytes, header, length, next, HOPS, w0, w1, w2, w3, group.w0, group.w1, group.w2, group.w3);
    output.fillIn(addresses.linkLocal, group.w0, group.w1, group.w2, group.w3, message, length);
    broadcast(at, message + length - at);
    this.unsolicited++;
  }
}
