/**
 * A virtual machine's network in TypeScript, in memory: Ethernet, ARP, IPv4, ICMP echo, UDP, DHCP client, DNS lookups, TCP
 * client and server. For tests without a virtual machine, and for the demo.
 *
 * It verifies every checksum and length it receives; `errors` lists what was wrong.
 */
import { formatIpv4, parseIpv4 } from '../packet/address.ts';
import * as arp from '../packet/arp.ts';
import { finish, pseudoIpv4, sum } from '../packet/checksum.ts';
import * as ethernet from '../packet/ethernet.ts';
import * as icmp from '../packet/icmpv4.ts';
import * as ipv4 from '../packet/ipv4.ts';
import { type Mac, parseMac } from '../packet/mac.ts';
import * as tcp from '../packet/tcp.ts';
import { TcpOptions } from '../packet/tcp-options.ts';
import * as udp from '../packet/udp.ts';
import type { Datagram, Datagrams } from './datagrams.ts';
import { type Lease, requestLease } from './dhcp-client.ts';
import { resolve4 } from './dns-client.ts';
import { dataOffset, type SegmentOutput, SoftSocket } from './soft-tcp.ts';
import type { Scheduler, Wire } from './wire.ts';

const IP = ethernet.HEADER;
const PAYLOAD = ethernet.HEADER + ipv4.HEADER;
const BROADCAST = -1;
const ARP_TIMEOUT = 1000;

export interface SoftGuestOptions {
  readonly mac: string;
  readonly wire: Wire;
  readonly scheduler: Scheduler;
  /** Default 1500. A lease that says otherwise is followed. */
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
  readonly #wire: Wire;
  readonly #neighbours: Map<number, Mac> = new Map();
  readonly #resolving: Map<number, ((mac: Mac | undefined) => void)[]> = new Map();
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

  /** The guest's own, dotted; `0.0.0.0` before it has a lease. */
  get address(): string {
    return formatIpv4(this.#address);
  }

  /** The resolver it asks, dotted. */
  get nameserver(): string {
    return formatIpv4(this.#nameserver);
  }

  /** IPv4 addresses of a name, from the lease's resolver; empty when there are none. Rejects when it doesn't answer. */
  resolve(name: string): Promise<string[]> {
    return resolve4(this, name);
  }

  /** Sends an echo request and resolves with the round trip in milliseconds; rejects after `timeout` ms. */
  ping(host: string, timeout = 1000): Promise<number> {
    const identifier = 1 + (this.#identification++ & 0x7fff);
    const started = this.scheduler.now();
    const message = new Uint8Array(icmp.HEADER + 56).fill(0x5a, icmp.HEADER);
    icmp.write(message, 0, icmp.ECHO_REQUEST, 0, (identifier << 16) | 1);
    icmp.setChecksum(message, 0, finish(sum(message, 0, message.length)));
    return new Promise((resolve, reject) => {
      const cancel = this.scheduler.after(timeout, () => {
        this.#pings.delete(identifier);
        reject(new Error(`no echo reply from ${host}`));
      });
      this.#pings.set(identifier, () => {
        cancel();
        resolve(this.scheduler.now() - started);
      });
      this.#sendIp(ipv4.PROTOCOL_ICMP, word(host), [message]);
    });
  }

  /** Takes datagrams to `port`; undefined ends it. */
  onDatagram(port: number, receive: ((datagram: Datagram) => void) | undefined): void {
    if (receive === undefined) this.#udp.delete(port);
    else this.#udp.set(port, receive);
  }

  /** `host` is a dotted IPv4 address; throws TypeError when it isn't. */
  sendDatagram(fromPort: number, host: string, port: number, payload: Uint8Array): void {
    const to = word(host);
    const bytes = new Uint8Array(udp.HEADER + payload.length);
    udp.write(bytes, 0, fromPort, port, bytes.length);
    bytes.set(payload, udp.HEADER);
    udp.setChecksum(bytes, 0, finish(sum(bytes, 0, bytes.length, pseudoIpv4(this.#address, to, ipv4.PROTOCOL_UDP, bytes.length))));
    this.#sendIp(ipv4.PROTOCOL_UDP, to, [bytes]);
  }

  /** A port of its own for a client. */
  ephemeralPort(): number {
    this.#nextPort = this.#nextPort >= 65_000 ? 40_000 : this.#nextPort + 1;
    return this.#nextPort;
  }

  connect(host: string, port: number): Promise<SoftSocket> {
    return new Promise((resolve, reject) => {
      const socket = this.#socket(this.ephemeralPort(), word(host), port, (error) => (error ? reject(error) : resolve(socket)));
      socket.connectNow();
    });
  }

  /** Accepts connections on `port`. */
  listen(port: number, accept: (socket: SoftSocket) => void): void {
    this.#listeners.set(port, accept);
  }

  #socket(local: number, remote: number, remotePort: number, opened: (error?: Error) => void): SoftSocket {
    const key = `${local},${remote},${remotePort}`;
    const output: SegmentOutput = {
      mss: this.mtu - ipv4.HEADER - tcp.HEADER,
      scheduler: this.scheduler,
      send: (header, pieces) => this.#sendSegment(remote, header, pieces),
      complain: (offence) => void this.errors.push(`TCP ${local}: ${offence}`),
    };
    const ports = { local, remote: remotePort, address: formatIpv4(remote) };
    const isn = Math.floor(this.scheduler.now() * 250) | 0;
    const socket = new SoftSocket(output, ports, isn, opened, () => this.#sockets.delete(key));
    this.#sockets.set(key, socket);
    return socket;
  }

  #sendSegment(to: number, header: Uint8Array, pieces: readonly Uint8Array[]): boolean {
    const length = pieces.reduce((total, piece) => total + piece.length, header.length);
    tcp.setChecksum(header, 0, 0);
    return this.#sendIp(ipv4.PROTOCOL_TCP, to, [header, ...pieces], (frame) => {
      tcp.setChecksum(frame, PAYLOAD, finish(sum(frame, PAYLOAD, length, pseudoIpv4(this.#address, to, ipv4.PROTOCOL_TCP, length))));
    });
  }

  /** False when the wire is full. A packet for an unresolved neighbour waits for ARP and counts as sent. */
  #sendIp(protocol: number, to: number, pieces: readonly Uint8Array[], complete?: (frame: Uint8Array) => void): boolean {
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
    this.#resolve(hop, (mac) => mac && this.#sendTo(mac, frame));
    return true;
  }

  #sendTo(mac: Mac, frame: Uint8Array): boolean {
    ethernet.write(frame, 0, mac.hi, mac.lo, this.mac.hi, this.mac.lo, ethernet.TYPE_IPV4);
    return this.#wire.send(frame);
  }

  #resolve(address: number, done: (mac: Mac | undefined) => void): void {
    const waiting = this.#resolving.get(address);
    if (waiting !== undefined) return void waiting.push(done);
    this.#resolving.set(address, [done]);
    this.#sendArp(arp.REQUEST, { hi: 0xffff, lo: -1 }, address);
    this.scheduler.after(ARP_TIMEOUT, () => this.#resolved(address, undefined));
  }

  #resolved(address: number, mac: Mac | undefined): void {
    const waiting = this.#resolving.get(address) ?? [];
    this.#resolving.delete(address);
    for (const done of waiting) done(mac);
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
    else if (type === ethernet.TYPE_IPV4) this.#ip(bytes, at + ethernet.HEADER, length - ethernet.HEADER);
  }

  #arp(bytes: Uint8Array, at: number, length: number): void {
    if (length < arp.LENGTH || !arp.isIpv4OverEthernet(bytes, at)) return void this.errors.push('malformed ARP');
    const sender = arp.senderAddress(bytes, at);
    const mac = { hi: arp.senderMacHi(bytes, at), lo: arp.senderMacLo(bytes, at) };
    if (this.#address !== 0) this.#neighbours.set(sender, mac);
    this.#resolved(sender, mac);
    if (arp.operation(bytes, at) === arp.REQUEST && arp.targetAddress(bytes, at) === this.#address) this.#sendArp(arp.REPLY, mac, sender);
  }

  #ip(bytes: Uint8Array, at: number, length: number): void {
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
    if (protocol === ipv4.PROTOCOL_TCP) this.#tcp(bytes, payload, end, from);
    else if (protocol === ipv4.PROTOCOL_UDP) this.#datagram(bytes, payload, end, from);
    else if (protocol === ipv4.PROTOCOL_ICMP) this.#icmp(bytes, payload, end, from);
  }

  #datagram(bytes: Uint8Array, at: number, end: number, from: number): void {
    if (end - at < udp.HEADER || udp.length(bytes, at) !== end - at) return void this.errors.push('malformed UDP');
    const payload = Buffer.from(bytes.subarray(at + udp.HEADER, end));
    this.#udp.get(udp.destinationPort(bytes, at))?.({ from: formatIpv4(from), port: udp.sourcePort(bytes, at), payload });
  }

  #icmp(bytes: Uint8Array, at: number, end: number, from: number): void {
    if (end - at < icmp.HEADER) return void this.errors.push('malformed ICMP');
    const type = icmp.type(bytes, at);
    if (type === icmp.ECHO_REPLY) {
      const identifier = icmp.identifier(bytes, at);
      this.#pings.get(identifier)?.();
      this.#pings.delete(identifier);
    } else if (type === icmp.ECHO_REQUEST) {
      const reply = Uint8Array.from(bytes.subarray(at, end));
      reply[0] = icmp.ECHO_REPLY;
      icmp.setChecksum(reply, 0, 0);
      icmp.setChecksum(reply, 0, finish(sum(reply, 0, reply.length)));
      this.#sendIp(ipv4.PROTOCOL_ICMP, from, [reply]);
    }
  }

  #tcp(bytes: Uint8Array, at: number, end: number, from: number): void {
    const offset = dataOffset(bytes, at, end - at);
    if (offset < 0) return void this.errors.push('malformed TCP');
    const local = tcp.destinationPort(bytes, at);
    const remotePort = tcp.sourcePort(bytes, at);
    this.#options.read(bytes, at + tcp.HEADER, at + offset);
    const socket = this.#sockets.get(`${local},${from},${remotePort}`);
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

  #refuse(bytes: Uint8Array, at: number, end: number, from: number): void {
    const flags = tcp.flags(bytes, at);
    if (flags & tcp.RST) return;
    const header = new Uint8Array(tcp.HEADER);
    const ack = (tcp.sequence(bytes, at) + end - at - dataOffset(bytes, at, end - at) + (flags & tcp.SYN ? 1 : 0) + (flags & tcp.FIN)) | 0;
    const seq = flags & tcp.ACK ? tcp.acknowledgment(bytes, at) : 0;
    tcp.write(header, 0, tcp.destinationPort(bytes, at), tcp.sourcePort(bytes, at), seq, ack, tcp.HEADER, tcp.RST | tcp.ACK, 0);
    this.#sendSegment(from, header, []);
  }
}

function word(address: string): number {
  const value = parseIpv4(address);
  if (value === undefined) throw new TypeError(`${address} is no IPv4 address`);
  return value;
}
