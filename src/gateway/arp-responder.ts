/** The gateway's ARP: answers for its own addresses, learns from what it hears, asks for guests (RFC 826, contract §8.1). */
import * as arp from '../packet/arp.ts';
import * as ethernet from '../packet/ethernet.ts';
import { MAPPED } from '../packet/address.ts';
import type { Mac } from '../packet/mac.ts';
import type { Arena } from '../runtime/arena.ts';
import type { Port } from '../link/port.ts';
import type { NeighbourTable } from './neighbour.ts';

const FRAME = ethernet.HEADER + arp.LENGTH;

export interface ArpOptions {
  readonly arena: Arena;
  readonly mac: Mac;
  /** The gateway's address: what requests are sent from. */
  readonly address: number;
  /** All addresses that are answered for. */
  readonly answered: ReadonlySet<number>;
  /** Whether an address may belong to a guest. */
  readonly isGuest: (address: number) => boolean;
  /** Sends a frame of the arena to every VM. */
  readonly broadcast: (at: number, length: number) => void;
}

export class ArpCounters {
  received = 0;
  /** Not understood, or claiming an address that is another VM's. */
  dropped = 0;
  /** Of those: not ARP for IPv4 over Ethernet, or of no known operation. */
  malformed = 0;
  requests = 0;
  replies = 0;
  /** Requests for addresses that are not the gateway's. */
  notOurs = 0;
  answered = 0;
  /** Answers that found no room. */
  dropNoRoom = 0;
  /** Requests of our own, each to every VM. */
  solicited = 0;
}

export class ArpResponder {
  readonly counters: ArpCounters = new ArpCounters();
  readonly #options: ArpOptions;
  readonly #scratch: number;

  constructor(options: ArpOptions) {
    this.#options = options;
    this.#scratch = options.arena.allocate(FRAME);
  }

  /** An ARP packet at `at`, of which `length` bytes are there. */
  input(port: Port, at: number, length: number, neighbours: NeighbourTable): void {
    const { counters } = this;
    const { bytes } = this.#options.arena;
    counters.received++;
    if (length < arp.LENGTH || !arp.isIpv4OverEthernet(bytes, at)) {
      counters.dropped++;
      counters.malformed++;
      return;
    }
    const hi = arp.senderMacHi(bytes, at);
    const lo = arp.senderMacLo(bytes, at);
    const sender = arp.senderAddress(bytes, at);
    const target = arp.targetAddress(bytes, at);
    const operation = arp.operation(bytes, at);
    if (ethernet.isGroup(hi) || (operation !== arp.REQUEST && operation !== arp.REPLY)) {
      counters.dropped++;
      counters.malformed++;
      return;
    }
    if (operation === arp.REQUEST) counters.requests++;
    else counters.replies++;
    if (this.#options.isGuest(sender) && neighbours.learn(0, 0, MAPPED, sender, port, hi, lo) === null) {
      counters.dropped++;
      return;
    }
    if (operation !== arp.REQUEST) return;
    // A probe (sender 0.0.0.0, RFC 5227) is answered too: the address is taken.
    if (this.#options.answered.has(target)) this.#reply(port, hi, lo, sender, target);
    else counters.notOurs++;
  }

  #reply(port: Port, toHi: number, toLo: number, to: number, asked: number): void {
    const { arena, mac } = this.#options;
    const claim = port.claim(port.headroom + FRAME);
    if (claim < 0) {
      this.counters.dropNoRoom++;
      return;
    }
    const at = claim + port.headroom;
    ethernet.write(arena.bytes, at, toHi, toLo, mac.hi, mac.lo, ethernet.TYPE_ARP);
    arp.write(arena.bytes, at + ethernet.HEADER, arp.REPLY, mac.hi, mac.lo, asked, toHi, toLo, to);
    port.commit(at, FRAME);
    this.counters.answered++;
  }

  /** Asks everyone who has `address`. */
  solicit(address: number): void {
    const { arena, mac, address: own, broadcast } = this.#options;
    const at = this.#scratch;
    ethernet.write(arena.bytes, at, 0xffff, -1, mac.hi, mac.lo, ethernet.TYPE_ARP);
    arp.write(arena.bytes, at + ethernet.HEADER, arp.REQUEST, mac.hi, mac.lo, own, 0, 0, address);
    broadcast(at, FRAME);
    this.counters.solicited++;
  }
}
