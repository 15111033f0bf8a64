/** IPv6 of the soft guest: an address by router advertisements (SLAAC), neighbour discovery, packets without extension headers. */
import { IpAddress } from '../packet/address.ts';
import { i32 } from '../packet/bytes.ts';
import { finish, pseudoIpv6, sum } from '../packet/checksum.ts';
import * as ethernet from '../packet/ethernet.ts';
import * as icmp from '../packet/icmpv6.ts';
import * as ipv6 from '../packet/ipv6.ts';
import type { Mac } from '../packet/mac.ts';
import * as ndp from '../packet/ndp.ts';
import { type Ipv6Configuration, readAdvertisement } from './router-advertisement.ts';
import { Resolutions } from './resolutions.ts';
import type { Scheduler } from './wire.ts';

const IP = ethernet.HEADER;
const PAYLOAD: number = ethernet.HEADER + ipv6.HEADER;
/** Milliseconds, and how often: RFC 4861 §10 has 4 s and 3. */
const SOLICITATION_INTERVAL = 1000;
const SOLICITATIONS = 3;
/** What neighbour discovery asks of every message (RFC 4861 §6.1, §7.1). */
const HOPS = 255;
const UNSPECIFIED = new IpAddress(0, 0, 0, 0);
const ALL_NODES = new IpAddress(0xff020000, 0, 0, 1);
const ALL_ROUTERS = new IpAddress(0xff020000, 0, 0, 2);

export interface SoftIpv6Options {
  readonly mac: Mac;
  readonly scheduler: Scheduler;
  /** One Ethernet frame; false: the wire is full. */
  readonly send: (frame: Uint8Array) => boolean;
  /** What a packet carries, from `at` to `end`; its checksum is right. */
  readonly deliver: (protocol: number, bytes: Uint8Array, at: number, end: number, from: IpAddress) => void;
  readonly complain: (offence: string) => void;
}

export class SoftIpv6 {
  readonly #options: SoftIpv6Options;
  readonly #linkLocal: IpAddress;
  #address: IpAddress | undefined;
  #router: IpAddress | undefined;
  readonly #neighbours: Map<string, Mac> = new Map();
  readonly #resolutions: Resolutions<string>;
  #advertised: ((configuration: Ipv6Configuration) => void) | undefined;

  constructor(options: SoftIpv6Options) {
    const { hi, lo } = options.mac;
    this.#options = options;
    this.#resolutions = new Resolutions(options.scheduler);
    this.#linkLocal = new IpAddress(0xfe800000, 0, ipv6.interfaceHigh(hi, lo), ipv6.interfaceLow(lo));
  }

  /** Undefined before a router has been heard. */
  get address(): IpAddress | undefined {
    return this.#address;
  }

  /** Asks for routers, and makes an address of the prefix of the first that answers. Rejects when none does. */
  solicit(): Promise<Ipv6Configuration> {
    const { scheduler, mac } = this.#options;
    return new Promise((resolve, reject) => {
      let tries = 0;
      let cancel = (): void => {};
      const attempt = (): void => {
        if (tries++ === SOLICITATIONS) {
          this.#advertised = undefined;
          return reject(new Error('no router answers'));
        }
        // Type, code, checksum, four bytes reserved, and the option with our address (RFC 4861 §4.1).
        const message = new Uint8Array(ndp.SOLICITATION + 8);
        message[0] = ndp.ROUTER_SOLICITATION;
        message.set([1, 1], ndp.SOLICITATION);
        ethernet.setMac(message, ndp.SOLICITATION + 2, 0, mac.hi, mac.lo);
        this.#sendIcmp(this.#linkLocal, ALL_ROUTERS, message);
        cancel = scheduler.after(SOLICITATION_INTERVAL, attempt);
      };
      this.#advertised = (configuration) => {
        cancel();
        this.#advertised = undefined;
        resolve(configuration);
      };
      attempt();
    });
  }

  /** False when the wire is full. A packet for an unresolved neighbour waits for its advertisement and counts as sent. */
  send(protocol: number, to: IpAddress, pieces: readonly Uint8Array[], checksumAt: number): boolean {
    return this.#send(this.#address ?? UNSPECIFIED, protocol, to, pieces, checksumAt);
  }

  #send(from: IpAddress, protocol: number, to: IpAddress, pieces: readonly Uint8Array[], checksumAt: number): boolean {
    const length = pieces.reduce((total, piece) => total + piece.length, 0);
    const frame = new Uint8Array(PAYLOAD + length);
    ipv6.write(frame, IP, length, protocol, protocol === ipv6.PROTOCOL_ICMPV6 ? HOPS : 64, ...words(from), ...words(to));
    let at = PAYLOAD;
    for (const piece of pieces) {
      frame.set(piece, at);
      at += piece.length;
    }
    const sumAt = PAYLOAD + checksumAt;
    frame.fill(0, sumAt, sumAt + 2);
    const checksum = finish(sum(frame, PAYLOAD, length, pseudoIpv6(...words(from), ...words(to), protocol, length)));
    // A datagram's that is 0 is written as its complement (RFC 8200 §8.1); nobody else minds.
    new DataView(frame.buffer).setUint16(sumAt, checksum === 0 ? 0xffff : checksum);
    if (ipv6.isMulticast(to.w0)) return this.#sendTo({ hi: ethernet.IPV6_GROUP, lo: to.w3 }, frame);
    const hop = this.#isOnLink(to) ? to : this.#router;
    if (hop === undefined) return true;
    const known = this.#neighbours.get(hop.toString());
    if (known !== undefined) return this.#sendTo(known, frame);
    if (this.#resolutions.add(hop.toString(), (mac) => mac && this.#sendTo(mac, frame))) this.#ask(hop);
    return true;
  }

  #isOnLink({ w0, w1 }: IpAddress): boolean {
    return ipv6.isLinkLocal(w0) || (this.#address !== undefined && w0 === this.#address.w0 && w1 === this.#address.w1);
  }

  #sendTo(mac: Mac, frame: Uint8Array): boolean {
    const own = this.#options.mac;
    ethernet.write(frame, 0, mac.hi, mac.lo, own.hi, own.lo, ethernet.TYPE_IPV6);
    return this.#options.send(frame);
  }

  #sendIcmp(from: IpAddress, to: IpAddress, message: Uint8Array): void {
    this.#send(from, ipv6.PROTOCOL_ICMPV6, to, [message], 2);
  }

  #ask(address: IpAddress): void {
    const { mac } = this.#options;
    const message = new Uint8Array(ndp.WITH_ADDRESS);
    ndp.writeSolicitation(message, 0, ...words(address), mac.hi, mac.lo);
    this.#sendIcmp(this.#address ?? this.#linkLocal, groupOf(address), message);
  }

  /** A frame of IPv6. */
  receive(bytes: Uint8Array, at: number, length: number): void {
    const { complain, deliver } = this.#options;
    const packet = at + IP;
    const end = packet + ipv6.HEADER + (length < PAYLOAD ? 0 : ipv6.payloadLength(bytes, packet));
    if (length < PAYLOAD || ipv6.version(bytes, packet) !== 6 || end > at + length) return complain('malformed IPv6 header');
    const [from, to] = [ipv6.source, ipv6.destination].map(
      (word) => new IpAddress(word(bytes, packet, 0), word(bytes, packet, 1), word(bytes, packet, 2), word(bytes, packet, 3)),
    ) as [IpAddress, IpAddress];
    const own = [this.#linkLocal, this.#address].filter((address) => address !== undefined);
    if (![...own, ...own.map(groupOf), ALL_NODES].some((address) => address.equals(to))) return;
    const protocol = ipv6.nextHeader(bytes, packet);
    const payload = packet + ipv6.HEADER;
    const initial = pseudoIpv6(...words(from), ...words(to), protocol, end - payload);
    if (sum(bytes, payload, end - payload, initial) !== 0xffff) return complain(`bad checksum, protocol ${protocol} of IPv6`);
    if (protocol !== ipv6.PROTOCOL_ICMPV6) return deliver(protocol, bytes, payload, end, from);
    if (end - payload < icmp.HEADER) return complain('malformed ICMPv6');
    const type = bytes[payload]!;
    if (type < ndp.ROUTER_SOLICITATION || type > ndp.REDIRECT) return deliver(protocol, bytes, payload, end, from);
    if (ipv6.hopLimit(bytes, packet) !== HOPS) return complain(`neighbour discovery from beyond the link, type ${type}`);
    const sender = { hi: ethernet.macHi(bytes, at, ethernet.SOURCE), lo: ethernet.macLo(bytes, at, ethernet.SOURCE) };
    this.#discovery(bytes, payload, end, from, sender);
  }

  #discovery(bytes: Uint8Array, at: number, end: number, from: IpAddress, sender: Mac): void {
    const type = bytes[at]!;
    if (type === ndp.ROUTER_ADVERTISEMENT) return this.#advertisement(bytes, at, end, from, sender);
    if (type !== ndp.NEIGHBOUR_SOLICITATION && type !== ndp.NEIGHBOUR_ADVERTISEMENT) return;
    if (end - at < ndp.NEIGHBOUR_MESSAGE) return this.#options.complain('malformed neighbour discovery');
    const target = addressAt(bytes, at + ndp.TARGET);
    if (type === ndp.NEIGHBOUR_ADVERTISEMENT) {
      this.#neighbours.set(target.toString(), sender);
      return this.#resolutions.settle(target.toString(), sender);
    }
    if (!target.equals(this.#linkLocal) && this.#address?.equals(target) !== true) return;
    // What tests whether an address is taken has none yet.
    const isTest = from.equals(UNSPECIFIED);
    if (!isTest) this.#neighbours.set(from.toString(), sender);
    const { hi, lo } = this.#options.mac;
    const message = new Uint8Array(ndp.WITH_ADDRESS);
    ndp.writeAdvertisement(message, 0, ndp.OVERRIDE | (isTest ? 0 : ndp.SOLICITED), ...words(target), hi, lo);
    this.#sendIcmp(target, isTest ? ALL_NODES : from, message);
  }

  #advertisement(bytes: Uint8Array, at: number, end: number, from: IpAddress, sender: Mac): void {
    const said = readAdvertisement(bytes, at, end);
    if (said === undefined || !ipv6.isLinkLocal(from.w0)) return this.#options.complain('malformed router advertisement');
    const { prefix, mtu, nameservers } = said;
    this.#router = from;
    this.#neighbours.set(from.toString(), sender);
    if (prefix !== undefined) this.#address = new IpAddress(prefix.w0, prefix.w1, this.#linkLocal.w2, this.#linkLocal.w3);
    if (this.#address === undefined) return;
    this.#advertised?.({ address: this.#address.toString(), router: from.toString(), mtu, nameservers });
  }
}

function words({ w0, w1, w2, w3 }: IpAddress): [number, number, number, number] {
  return [w0, w1, w2, w3];
}

function addressAt(bytes: Uint8Array, at: number): IpAddress {
  return new IpAddress(i32(bytes, at), i32(bytes, at + 4), i32(bytes, at + 8), i32(bytes, at + 12));
}

/** Solicited-node multicast address (RFC 4291 §2.7.1). */
function groupOf({ w3 }: IpAddress): IpAddress {
  return new IpAddress(0xff020000, 0, 1, 0xff000000 | (w3 & 0xffffff));
}
