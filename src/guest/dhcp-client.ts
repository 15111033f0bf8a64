/**
 * A DHCP client for a machine that has none (RFC 2131 §4.4). Its frames go into the stream beside those of the TAP device, and
 * the answers are taken out of it: no socket is needed, and no address.
 *
 *     selecting ── OFFER ──► requesting ── ACK ──► bound ── T1 ──► renewing ── T2 ──► rebinding ── end of the lease ──► selecting
 *         ▲──────── no answer ───┘  ▲                ▲──────── ACK ────┴─────────────────┘
 */
import { pseudoIpv4, finish, sum } from '../packet/checksum.ts';
import { ACK, BOOT_REPLY, type DhcpMessage, DISCOVER, NAK, OFFER, readDhcp, REQUEST } from '../packet/dhcpv4.ts';
import { OPTION_DNS, OPTION_LEASE_TIME, OPTION_MTU, OPTION_PARAMETERS, OPTION_REBINDING_TIME } from '../packet/dhcpv4.ts';
import { OPTION_RENEWAL_TIME, OPTION_REQUESTED_ADDRESS, OPTION_ROUTER, OPTION_SEARCH } from '../packet/dhcpv4.ts';
import { OPTION_SERVER_ID, OPTION_SUBNET_MASK } from '../packet/dhcpv4.ts';
import { CLIENT_PORT, type DhcpLease, leaseOf, messageType, SERVER_PORT, wordOption, writeClientMessage } from '../packet/dhcpv4-client.ts';
import * as ethernet from '../packet/ethernet.ts';
import * as ipv4 from '../packet/ipv4.ts';
import type { Mac } from '../packet/mac.ts';
import * as udp from '../packet/udp.ts';
import { Timer, type TimerWheel } from '../runtime/timer-wheel.ts';

const IP = ethernet.HEADER;
const EVERYBODY = -1;
const BROADCAST: Mac = { hi: 0xffff, lo: -1 };
const TTL = 64;
/** Bytes of an answer that is read: servers fit theirs into one Ethernet packet, as the server of this project expects of clients. */
const MESSAGE_LIMIT = 1500;

/** Milliseconds before the first repetition; each next one comes after twice the time, up to the longest. */
const FIRST_WAIT = 1000;
const LONGEST_WAIT = 16_000;
/** Requests of an offer before another is looked for. */
const REQUESTS = 4;
/** Milliseconds between requests to renew at least (RFC 2131 §4.4.5). */
const RENEWAL_WAIT = 60_000;
/** Longest time of a timer, in milliseconds; a lease may be longer. */
const LONGEST_TIMER = 2 ** 31 - 1;

const PARAMETERS = Uint8Array.of(
  OPTION_SUBNET_MASK,
  OPTION_ROUTER,
  OPTION_DNS,
  OPTION_MTU,
  OPTION_LEASE_TIME,
  OPTION_SERVER_ID,
  OPTION_RENEWAL_TIME,
  OPTION_REBINDING_TIME,
  OPTION_SEARCH,
);

type State = 'selecting' | 'requesting' | 'bound' | 'renewing' | 'rebinding' | 'ended';

export interface DhcpClientOptions {
  readonly mac: Mac;
  readonly timers: TimerWheel;
  /** Below 2^32. */
  readonly random: () => number;
  /** An Ethernet frame for the network; may be lost. */
  readonly send: (frame: Uint8Array) => void;
  /** A lease, new or renewed. */
  readonly bound: (lease: DhcpLease) => void;
  /** The lease is over: the address must not be used any more. */
  readonly lost: (reason: string) => void;
  /** Nobody has answered for a while; told once until there is a lease. */
  readonly silent: () => void;
}

export class DhcpClient {
  readonly #options: DhcpClientOptions;
  readonly #timer: Timer = new Timer(() => this.#expired());
  #state: State = 'selecting';
  #xid: number;
  /** Repetitions in this state. */
  #tries = 0;
  #complained = false;
  #offer: DhcpLease | null = null;
  #lease: DhcpLease | null = null;
  /** The address that was ours last, asked for again. */
  #wanted = 0;
  #server: Mac = BROADCAST;
  /** When the request was sent that the lease counts from. */
  #asked = 0;
  #leasedAt = 0;

  /** Begins at once. */
  constructor(options: DhcpClientOptions) {
    this.#options = options;
    this.#xid = options.random();
    this.#discover();
  }

  /** Looks at a frame from the network; true when it is an answer to this client. */
  take(bytes: Uint8Array, at: number, length: number): boolean {
    // Cheap for every frame that is none: the path of all traffic.
    if (length < IP + ipv4.HEADER + udp.HEADER || ethernet.type(bytes, at) !== ethernet.TYPE_IPV4) return false;
    const ip = at + IP;
    if (ipv4.protocol(bytes, ip) !== ipv4.PROTOCOL_UDP || (ipv4.fragment(bytes, ip) & ~ipv4.FLAG_DF) !== 0) return false;
    const header = ip + ipv4.headerLength(bytes, ip);
    const end = Math.min(ip + ipv4.totalLength(bytes, ip), at + length);
    if (header + udp.HEADER > end || udp.destinationPort(bytes, header) !== CLIENT_PORT) return false;
    const payload = bytes.subarray(header + udp.HEADER, Math.min(header + udp.length(bytes, header), end));
    const message = payload.length > MESSAGE_LIMIT ? undefined : readDhcp(payload);
    if (message === undefined || message.op !== BOOT_REPLY || message.xid !== this.#xid || this.#state === 'ended') return false;
    this.#answered(message, { hi: ethernet.macHi(bytes, at, ethernet.SOURCE), lo: ethernet.macLo(bytes, at, ethernet.SOURCE) });
    return true;
  }

  /** No timer is left, and no frame is taken any more. */
  close(): void {
    this.#state = 'ended';
    this.#options.timers.cancel(this.#timer);
  }

  #discover(): void {
    this.#enter('selecting');
    this.#xid = this.#options.random();
    this.#repeat();
  }

  #enter(state: State): void {
    this.#state = state;
    this.#tries = 0;
  }

  #expired(): void {
    const { timers } = this.#options;
    const age = (timers.now - this.#leasedAt) / 1000;
    const lease = this.#lease;
    if (lease === null || this.#state === 'selecting' || this.#state === 'requesting') return this.#repeat();
    if (age >= lease.time) return this.#lose('the DHCP lease has run out');
    if (age >= lease.rebinding && this.#state !== 'rebinding') this.#enter('rebinding');
    else if (age >= lease.renewal && this.#state === 'bound') this.#enter('renewing');
    if (this.#state === 'bound') return this.#await(lease.renewal - age);
    this.#request(lease.address);
    const until = (this.#state === 'renewing' ? lease.rebinding : lease.time) - age;
    this.#await(Math.min(until, Math.max(until / 2, RENEWAL_WAIT / 1000)));
  }

  #await(seconds: number): void {
    this.#options.timers.arm(this.#timer, Math.min(seconds * 1000, LONGEST_TIMER));
  }

  /** Sends what the state asks for, and again after a while that doubles each time. */
  #repeat(): void {
    if (this.#state === 'requesting' && this.#tries === REQUESTS) return this.#discover();
    if (this.#tries === REQUESTS && !this.#complained) {
      this.#complained = true;
      this.#options.silent();
    }
    if (this.#state === 'requesting') this.#request(0);
    else this.#send(DISCOVER, 0, this.#wanted === 0 ? [] : [[OPTION_REQUESTED_ADDRESS, wordOption(this.#wanted)]]);
    this.#await(Math.min(FIRST_WAIT * 2 ** Math.min(this.#tries++, 10), LONGEST_WAIT) / 1000);
  }

  /** `address`: our own when there is one; 0 to take the offer. */
  #request(address: number): void {
    this.#asked = this.#options.timers.now;
    const { address: offered, server } = this.#offer!;
    const chosen: [number, Uint8Array][] = [
      [OPTION_REQUESTED_ADDRESS, wordOption(offered)],
      [OPTION_SERVER_ID, wordOption(server)],
    ];
    this.#send(REQUEST, address, address === 0 ? chosen : []);
  }

  #answered(message: DhcpMessage, from: Mac): void {
    const type = messageType(message);
    if (this.#state === 'selecting') {
      if (type !== OFFER || message.yourAddress === 0) return;
      this.#offer = leaseOf(message);
      this.#enter('requesting');
      return this.#repeat();
    }
    if (this.#state === 'bound') return;
    if (type === NAK) return this.#lose('the DHCP server has taken the address back');
    if (type !== ACK || message.yourAddress === 0) return;
    this.#server = from;
    this.#bind(leaseOf(message));
  }

  #bind(lease: DhcpLease): void {
    this.#lease = this.#offer = lease;
    this.#wanted = lease.address;
    this.#leasedAt = this.#asked;
    this.#complained = false;
    this.#enter('bound');
    this.#options.timers.cancel(this.#timer);
    if (lease.renewal !== Infinity) this.#await(Math.max(lease.renewal, 1));
    this.#options.bound(lease);
  }

  #lose(reason: string): void {
    const had = this.#lease !== null;
    this.#lease = null;
    if (had) {
      this.#options.lost(reason);
      return this.#discover();
    }
    // A server that offers and refuses, again and again, is not asked at the speed of the wire.
    this.#enter('selecting');
    this.#await(FIRST_WAIT / 1000);
  }

  /** To the server that gave the lease while it is to be renewed, to everybody otherwise. */
  #send(type: number, address: number, options: readonly (readonly [number, Uint8Array])[]): void {
    const { mac, send } = this.#options;
    const payload = writeClientMessage({
      type,
      xid: this.#xid,
      mac,
      address,
      options: [...options, [OPTION_PARAMETERS, PARAMETERS]],
    });
    const direct = this.#state === 'renewing' && this.#lease!.server !== 0;
    send(datagram(mac, direct ? this.#server : BROADCAST, address, direct ? this.#lease!.server : EVERYBODY, payload));
  }
}

function datagram(from: Mac, to: Mac, source: number, destination: number, payload: Uint8Array): Uint8Array {
  const length = udp.HEADER + payload.length;
  const header = IP + ipv4.HEADER;
  const frame = new Uint8Array(header + length);
  ethernet.write(frame, 0, to.hi, to.lo, from.hi, from.lo, ethernet.TYPE_IPV4);
  ipv4.write(frame, IP, ipv4.HEADER + length, 0, 0, TTL, ipv4.PROTOCOL_UDP, source, destination);
  udp.write(frame, header, CLIENT_PORT, SERVER_PORT, length);
  frame.set(payload, header + udp.HEADER);
  const pseudo = pseudoIpv4(source, destination, ipv4.PROTOCOL_UDP, length);
  udp.setChecksum(frame, header, finish(sum(frame, header, length, pseudo)));
  return frame;
}
