/**
 * A virtual machine's network in TypeScript, in memory: Ethernet, ARP, IPv4 and IPv6, echo, UDP, DHCP client, router advertisements, DNS
 * lookups, TCP client and server. For tests without a virtual machine, and for the demo.
 *
 * It verifies every checksum and length it receives; `errors` lists what was wrong.
 */
import { formatIpv4, IpAddress, parseIpv4 } from '../packet/address.ts';
import * as arp from '../packet/arp.ts';
import { finish, pseudoIpv4, sum } from '../packet/checksum.ts';
import * as ethernet from '../packet/ethernet.ts';
import * as icmp from '../packet/icmpv4.ts';
import * as icmpv6 from '../packet/icmpv6.ts';
import * as ipv4 from '../packet/ipv4.ts';
import * as ipv6 from '../packet/ipv6.ts';
import { type Mac, parseMac } from '../packet/mac.ts';
import * as tcp from '../packet/tcp.ts';
import { TcpOptions } from '../packet/tcp-options.ts';
import * as udp from '../packet/udp.ts';
import type { Datagram, Datagrams } from './datagrams.ts';
import { type Lease, requestLease } from './dhcp-client.ts';
import { resolveName } from './dns-client.ts';
import { Resolutions } from './resolutions.ts';
import type { Ipv6Configuration } from './router-advertisement.ts';
import { SoftIpv6 } from './soft-ipv6.ts';
import { dataOffset, type SegmentOutput, SoftSocket } from './soft-tcp.ts';
import type { Scheduler, Wire } from './wire.ts';

const IP = ethernet.HEADER;
const PAYLOAD = ethernet.HEADER + ipv4.HEADER;
const BROADCAST = -1;
/** Where a datagram's checksum is. */
const UDP_CHECKSUM = 6;

export interface SoftGuestOptions {
  readonly mac: string;
  readonly wire: Wire;
  readonly scheduler: Scheduler;
  /** Default 1500. A lease or a router that says otherwise is followed. */
  readonly mtu?: number;
}

export class SoftGuest implements Datagrams {
  readonly mac: Mac;
  readonly scheduler: Scheduler;
  /** What was wrong with received frames. */
  readonly errors: string[] = [];
  mtu: number;
  /** IPv4 words; programs see text. */
  #address = 0;
  #mask = 0;
  #gateway = 0;
  #nameserver = 0;
  #nameserver6: string | undefined;
  readonly #ipv6: SoftIpv6;
  readonly #wire: Wire;
  readonly #neighbours: Map<number, Mac> = new Map();
  readonly #resolutions: Resolutions<number>;
  readonly #udp: Map<number, (datagram: Datagram) => void> = new Map();
  readonly #pings: Map<number, () => void> = new Map();
  readonly #sockets: Map<string, SoftSocket> = new Map();
  readonly #listeners: Map<number, (socket: SoftSocket) => void> = new Map();
  readonly #options: TcpOptions = new TcpOptions();
  #nextPort = 40_000;
  #identification = 0;

  constructor(options: SoftGuestOptions) {
    const mac = parseMac(options.mac);
    if (mac === undefined) throw new TypeError(`${options.mac} is no MAC address`);
    this.mac = mac;
    this.scheduler = options.scheduler;
    this.mtu = options.mtu ?? 1500;
    this.#wire = options.wire;
    this.#resolutions = new Resolutions(options.scheduler);
    this.#ipv6 = new SoftIpv6({
      mac,
      scheduler: options.scheduler,
      send: (frame) => this.#wire.send(frame),
      deliver: (protocol, bytes, at, end, from) => this.#deliver(protocol === ipv6.PROTOCOL_ICMPV6, protocol, bytes, at, end, from),
      complain: (offence) => void this.errors.push(offence),
    });
  }

  /** Asks for an address by DHCP and configures itself. */
  async dhcp(): Promise<Lease> {
    const lease = await requestLease(this);
    this.#address = word(lease.address);
    this.#mask = word(lease.mask);
    this.#gateway = word(lease.router);
    this.#nameserver = word(lease.nameserver);
    if (lease.mtu > 0) this.mtu = lease.mtu;
    return lease;
  }

  /** Waits for a router, and configures IPv6 as it says (SLAAC). */
  async slaac(): Promise<Ipv6Configuration> {
    const configuration = await this.#ipv6.solicit();
    [this.#nameserver6] = configuration.nameservers;
    if (configuration.mtu > 0) this.mtu = configuration.mtu;
    return configuration;
  }

  /** The guest's own of IPv6; undefined before `slaac`. */
  get address6(): string | undefined {
    return this.#ipv6.address?.toString();
  }

  /** The guest's own, dotted; `0.0.0.0` before it has a lease. */
  get address(): string {
    return formatIpv4(this.#address);
  }

  /** The resolver it asks: the lease's, or without one the router's. */
  get nameserver(): string {
    return this.#nameserver === 0 && this.#nameserver6 !== undefined ? this.#nameserver6 : formatIpv4(this.#nameserver);
  }

  /** IPv4 addresses of a name; empty when there are none. Rejects when the resolver doesn't answer. */
  resolve(name: string): Promise<string[]> {
    return resolveName(this, name, 'A');
  }

  /** As `resolve`, its IPv6 addresses. */
  resolve6(name: string): Promise<string[]> {
    return resolveName(this, name, 'AAAA');
  }

  /** Sends an echo request and resolves with the round trip in milliseconds; rejects after `timeout` ms. */
  ping(host: string, timeout = 1000): Promise<number> {
    const identifier = 1 + (this.#identification++ & 0x7fff);
    const started = this.scheduler.now();
    const to = parse(host);
    const message = new Uint8Array(icmp.HEADER + 56).fill(0x5a, icmp.HEADER);
    icmp.write(message, 0, to.isIpv4 ? icmp.ECHO_REQUEST : icmpv6.ECHO_REQUEST, 0, (identifier << 16) | 1);
    return new Promise((resolve, reject) => {
      const cancel = this.scheduler.after(timeout, () => {
        this.#pings.delete(identifier);
        reject(new Error(`no echo reply from ${host}`));
      });
      this.#pings.set(identifier, () => {
        cancel();
        resolve(this.scheduler.now() - started);
      });
      this.#sendEcho(to, message);
    });
  }

  /** Takes datagrams to `port`; undefined ends it. */
  onDatagram(port: number, receive: ((datagram: Datagram) => void) | undefined): void {
    if (receive === undefined) this.#udp.delete(port);
    else this.#udp.set(port, receive);
  }

  #sendEcho(to: IpAddress, message: Uint8Array): void {
    if (!to.isIpv4) return void this.#ipv6.send(ipv6.PROTOCOL_ICMPV6, to, [message], 2);
    icmp.setChecksum(message, 0, 0);
    icmp.setChecksum(message, 0, finish(sum(message, 0, message.length)));
    this.#sendIpv4(ipv4.PROTOCOL_ICMP, to.w3, [message]);
  }

  /** `host` is an IP address; throws TypeError when it isn't. */
  sendDatagram(fromPort: number, host: string, port: number, payload: Uint8Array): void {
    const to = parse(host);
    const bytes = new Uint8Array(udp.HEADER + payload.length);
    udp.write(bytes, 0, fromPort, port, bytes.length);
    bytes.set(payload, udp.HEADER);
    if (!to.isIpv4) return void this.#ipv6.send(ipv4.PROTOCOL_UDP, to, [bytes], UDP_CHECKSUM);
    udp.setChecksum(bytes, 0, finish(sum(bytes, 0, bytes.length, pseudoIpv4(this.#address, to.w3, ipv4.PROTOCOL_UDP, bytes.length))));
    this.#sendIpv4(ipv4.PROTOCOL_UDP, to.w3, [bytes]);
  }

  /** A port of its own for a client. */
  ephemeralPort(): number {
    this.#nextPort = this.#nextPort >= 65_000 ? 40_000 : this.#nextPort + 1;
    return this.#nextPort;
  }

  connect(host: string, port: number): Promise<SoftSocket> {
    return new Promise((resolve, reject) => {
      const socket = this.#socket(this.ephemeralPort(), parse(host), port, (error) => (error ? reject(error) : resolve(socket)));
      socket.connectNow();
    });
  }

  /** Accepts connections on `port`. */
  listen(port: number, accept: (socket: SoftSocket) => void): void {
    this.#listeners.set(port, accept);
  }

  #socket(local: number, remote: IpAddress, remotePort: number, opened: (error?: Error) => void): SoftSocket {
    const key = keyOf(local, remote, remotePort);
    const output: SegmentOutput = {
      mss: this.mtu - (remote.isIpv4 ? ipv4.HEADER : ipv6.HEADER) - tcp.HEADER,
      scheduler: this.scheduler,
      send: (header, pieces) => this.#sendSegment(remote, header, pieces),
      complain: (offence) => void this.errors.push(`TCP ${local}: ${offence}`),
    };
    const ports = { local, remote: remotePort, address: remote.toString() };
    const isn = Math.floor(this.scheduler.now() * 250) | 0;
    const socket = new SoftSocket(output, ports, isn, opened, () => this.#sockets.delete(key));
    this.#sockets.set(key, socket);
    return socket;
  }

  #sendSegment(remote: IpAddress, header: Uint8Array, pieces: readonly Uint8Array[]): boolean {
    if (!remote.isIpv4) return this.#ipv6.send(ipv4.PROTOCOL_TCP, remote, [header, ...pieces], tcp.CHECKSUM);
    const to = remote.w3;
    const length = pieces.reduce((total, piece) => total + piece.length, header.length);
    tcp.setChecksum(header, 0, 0);
    return this.#sendIpv4(ipv4.PROTOCOL_TCP, to, [header, ...pieces], (frame) => {
      tcp.setChecksum(frame, PAYLOAD, finish(sum(frame, PAYLOAD, length, pseudoIpv4(this.#address, to, ipv4.PROTOCOL_TCP, length))));
    });
  }

  /** False when the wire is full. A packet for an unresolved neighbour waits for ARP and counts as sent. */
  #sendIpv4(protocol: number, to: number, pieces: readonly Uint8Array[], complete?: (frame: Uint8Array) => void): boolean {
    const length = pieces.reduce((total, piece) => total + piece.length, ipv4.HEADER);
    const frame = new Uint8Array(ethernet.HEADER + length);
    ipv4.write(frame, IP, length, this.#identification++ & 0xffff, 0, 64, protocol, this.#address, to);
    let at = PAYLOAD;
    for (const piece of pieces) {
      frame.set(piece, at);
      at += piece.length;
    }
    complete?.(frame);
    if (to === BROADCAST) return this.#sendTo({ hi: 0xffff, lo: -1 }, frame);
    const hop = (to & this.#mask) === (this.#address & this.#mask) ? to : this.#gateway;
    const known = this.#neighbours.get(hop);
    if (known !== undefined) return this.#sendTo(known, frame);
    const asks = this.#resolutions.add(hop, (mac) => mac && this.#sendTo(mac, frame));
    if (asks) this.#sendArp(arp.REQUEST, { hi: 0xffff, lo: -1 }, hop);
    return true;
  }

  #sendTo(mac: Mac, frame: Uint8Array): boolean {
    ethernet.write(frame, 0, mac.hi, mac.lo, this.mac.hi, this.mac.lo, ethernet.TYPE_IPV4);
    return this.#wire.send(frame);
  }

  #sendArp(operation: number, to: Mac, target: number): void {
    const frame = new Uint8Array(ethernet.HEADER + arp.LENGTH);
    ethernet.write(frame, 0, to.hi, to.lo, this.mac.hi, this.mac.lo, ethernet.TYPE_ARP);
    arp.write(frame, ethernet.HEADER, operation, this.mac.hi, this.mac.lo, this.#address, to.hi, to.lo, target);
    this.#wire.send(frame);
  }

  /** The wire has room again. */
  drained(): void {
    for (const socket of [...this.#sockets.values()]) socket.drained();
  }

  /** A frame from the network; the bytes are valid during the call. */
  receive(bytes: Uint8Array, at: number, length: number): void {
    if (length < ethernet.HEADER) return void this.errors.push(`frame of ${length} bytes`);
    const type = ethernet.type(bytes, at);
    if (type === ethernet.TYPE_ARP) this.#arp(bytes, at + ethernet.HEADER, length - ethernet.HEADER);
    else if (type === ethernet.TYPE_IPV4) this.#ipv4(bytes, at + ethernet.HEADER, length - ethernet.HEADER);
    else if (type === ethernet.TYPE_IPV6) this.#ipv6.receive(bytes, at, length);
  }

  #arp(bytes: Uint8Array, at: number, length: number): void {
    if (length < arp.LENGTH || !arp.isIpv4OverEthernet(bytes, at)) return void this.errors.push('malformed ARP');
    const sender = arp.senderAddress(bytes, at);
    const mac = { hi: arp.senderMacHi(bytes, at), lo: arp.senderMacLo(bytes, at) };
    if (this.#address !== 0) this.#neighbours.set(sender, mac);
    this.#resolutions.settle(sender, mac);
    if (arp.operation(bytes, at) === arp.REQUEST && arp.targetAddress(bytes, at) === this.#address) this.#sendArp(arp.REPLY, mac, sender);
  }

  #ipv4(bytes: Uint8Array, at: number, length: number): void {
    const total = length < ipv4.HEADER ? 0 : ipv4.totalLength(bytes, at);
    if (total < ipv4.HEADER || total > length || ipv4.headerLength(bytes, at) !== ipv4.HEADER || sum(bytes, at, ipv4.HEADER) !== 0xffff) {
      return void this.errors.push('malformed IPv4 header');
    }
    const from = ipv4.source(bytes, at);
    const to = ipv4.destination(bytes, at);
    const protocol = ipv4.protocol(bytes, at);
    const payload = at + ipv4.HEADER;
    const end = at + total;
    if (to !== this.#address && to !== BROADCAST) return;
    const initial = protocol === ipv4.PROTOCOL_ICMP ? 0 : pseudoIpv4(from, to, protocol, end - payload);
    if (sum(bytes, payload, end - payload, initial) !== 0xffff) return void this.errors.push(`bad checksum, protocol ${protocol}`);
    this.#deliver(protocol === ipv4.PROTOCOL_ICMP, protocol, bytes, payload, end, IpAddress.v4(from));
  }

  #deliver(isIcmp: boolean, protocol: number, bytes: Uint8Array, at: number, end: number, from: IpAddress): void {
    if (protocol === ipv4.PROTOCOL_TCP) this.#tcp(bytes, at, end, from);
    else if (protocol === ipv4.PROTOCOL_UDP) this.#datagram(bytes, at, end, from);
    else if (isIcmp) this.#icmp(bytes, at, end, from);
  }

  #datagram(bytes: Uint8Array, at: number, end: number, from: IpAddress): void {
    if (end - at < udp.HEADER || udp.length(bytes, at) !== end - at) return void this.errors.push('malformed UDP');
    const payload = Buffer.from(bytes.subarray(at + udp.HEADER, end));
    this.#udp.get(udp.destinationPort(bytes, at))?.({ from: from.toString(), port: udp.sourcePort(bytes, at), payload });
  }

  #icmp(bytes: Uint8Array, at: number, end: number, from: IpAddress): void {
    if (end - at < icmp.HEADER) return void this.errors.push('malformed ICMP');
    const type = icmp.type(bytes, at);
    const [request, answer] = from.isIpv4 ? [icmp.ECHO_REQUEST, icmp.ECHO_REPLY] : [icmpv6.ECHO_REQUEST, icmpv6.ECHO_REPLY];
    if (type === answer) {
      const identifier = icmp.identifier(bytes, at);
      this.#pings.get(identifier)?.();
      this.#pings.delete(identifier);
    } else if (type === request) {
      const reply = Uint8Array.from(bytes.subarray(at, end));
      reply[0] = answer;
      this.#sendEcho(from, reply);
    }
  }

  #tcp(bytes: Uint8Array, at: number, end: number, from: IpAddress): void {
    const offset = dataOffset(bytes, at, end - at);
    if (offset < 0) return void this.errors.push('malformed TCP');
    const local = tcp.destinationPort(bytes, at);
    const remotePort = tcp.sourcePort(bytes, at);
    this.#options.read(bytes, at + tcp.HEADER, at + offset);
    const socket = this.#sockets.get(keyOf(local, from, remotePort));
    const flags = tcp.flags(bytes, at);
    if (socket !== undefined && !(socket.isLingering && flags & tcp.SYN)) {
      return socket.segment(bytes, at, at + offset, end, this.#options);
    }
    socket?.forget();
    const accept = this.#listeners.get(local);
    if (accept === undefined || (flags & (tcp.SYN | tcp.ACK | tcp.RST)) !== tcp.SYN) return this.#refuse(bytes, at, end, from);
    const opened: SoftSocket = this.#socket(local, from, remotePort, (error) => error ?? accept(opened));
    opened.acceptNow(bytes, at, this.#options);
  }

  #refuse(bytes: Uint8Array, at: number, end: number, from: IpAddress): void {
    const flags = tcp.flags(bytes, at);
    if (flags & tcp.RST) return;
    const header = new Uint8Array(tcp.HEADER);
    const ack = (tcp.sequence(bytes, at) + end - at - dataOffset(bytes, at, end - at) + (flags & tcp.SYN ? 1 : 0) + (flags & tcp.FIN)) | 0;
    const seq = flags & tcp.ACK ? tcp.acknowledgment(bytes, at) : 0;
    tcp.write(header, 0, tcp.destinationPort(bytes, at), tcp.sourcePort(bytes, at), seq, ack, tcp.HEADER, tcp.RST | tcp.ACK, 0);
    this.#sendSegment(from, header, []);
  }
}

function parse(address: string): IpAddress {
  const parsed = IpAddress.parse(address);
  if (parsed === undefined) throw new TypeError(`${address} is no IP address`);
  return parsed;
}

function keyOf(local: number, { w0, w1, w2, w3 }: IpAddress, remotePort: number): string {
  return `${local},${w0},${w1},${w2},${w3},${remotePort}`;
}

function word(address: string): number {
  const value = parseIpv4(address);
  if (value === undefined) throw new TypeError(`${address} is no IPv4 address`);
  return value;
}
