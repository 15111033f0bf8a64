/**
 * The frame path of a VirtualNetwork without its two ends: a guest whose frames are made once and patched, a host in memory, and a
 * clock that goes on by a fraction of a millisecond each round. Neither end allocates: what the heap grows by is the gateway's.
 *
 *     frames ─► MemoryPort ─► Switch ─► Gateway ─► TcpEngine, UdpEngine ─► SilentHost, and back
 */
import { type Family, IPV4, ReplyAddresses } from '../../src/flow/family.ts';
import { FlowPolicy } from '../../src/flow/policy.ts';
import { TcpEngine } from '../../src/flow/tcp/engine.ts';
import { UdpEngine } from '../../src/flow/udp/engine.ts';
import { Gateway } from '../../src/gateway/gateway.ts';
import { MemoryPort } from '../../src/link/memory-port.ts';
import { IpAddress, parseIpv4 } from '../../src/packet/address.ts';
import { i32, setU32 } from '../../src/packet/bytes.ts';
import * as ethernet from '../../src/packet/ethernet.ts';
import * as ipv4 from '../../src/packet/ipv4.ts';
import * as ipv6 from '../../src/packet/ipv6.ts';
import { parseMac } from '../../src/packet/mac.ts';
import * as tcp from '../../src/packet/tcp.ts';
import { writeSynOptions } from '../../src/packet/tcp-options.ts';
import * as udp from '../../src/packet/udp.ts';
import { arenaSum } from '../../src/runtime/arena-checksum.ts';
import { Arena } from '../../src/runtime/arena.ts';
import { SeededRandom } from '../../src/runtime/clock.ts';
import { TimerWheel } from '../../src/runtime/timer-wheel.ts';
import { Switch } from '../../src/switch/switch.ts';
import { SilentHost, SilentListener } from './silent-host.ts';

const MTU = 1500;
const DATAGRAM = 1400;
const WINDOW_SCALE = 7;

const GATEWAY_MAC = parseMac('5a:94:ef:e4:0c:dd')!;
const GUEST_MAC = parseMac('5a:94:ef:e4:0c:ee')!;
const IPV4_ENDS = [IpAddress.parse('10.0.0.1')!, IpAddress.parse('192.168.127.2')!] as const;
const GATEWAY6 = IpAddress.parse('fd00:7777::1')!;
const IPV6_ENDS = [IpAddress.parse('2001:db8::1')!, IpAddress.parse('fd00:7777::2')!] as const;
/** Of datagrams. */
const GUEST_PORT = 5000;
const REMOTE_PORT = 5001;
/** Milliseconds of a round; no whole number, as the real clock's are not. */
const ROUND = 0.037;

export class SilentNetwork {
  readonly arena: Arena = new Arena(64 << 20);
  readonly timers: TimerWheel = new TimerWheel(0);
  readonly host: SilentHost = new SilentHost();
  readonly tcp: TcpEngine;
  readonly udp: UdpEngine;
  readonly gateway: Gateway;
  readonly port: MemoryPort;
  /** Data of a full-sized segment. */
  readonly mss: number;
  /** Frames in both directions. */
  frames = 0;
  /** Rounds of the phases, in each of which the clock is read once. */
  rounds = 0;
  /** Segments with data, and datagrams, for the guest. */
  received = 0;
  readonly #switch: Switch;
  #now = 0;
  #sequence = 1000;
  /** What the guest has got in order, and what of its own was acknowledged. */
  #expected = 0;
  #acknowledged = 0;
  readonly #addresses: ReplyAddresses = new ReplyAddresses();
  /** Where TCP or UDP begins in a frame. */
  readonly #transport: number;
  readonly #data: Uint8Array;
  readonly #small: Uint8Array;
  readonly #ack: Uint8Array;
  readonly #datagram: Uint8Array;

  constructor(family: Family = IPV4) {
    const { arena, timers } = this;
    this.#addresses.between(...(family === IPV4 ? IPV4_ENDS : IPV6_ENDS));
    this.#transport = family.headers;
    this.mss = MTU - family.header - tcp.HEADER;
    this.#data = this.#segmentFrame(this.mss, tcp.ACK);
    this.#small = this.#segmentFrame(1, tcp.ACK | tcp.PSH);
    this.#ack = this.#segmentFrame(0, tcp.ACK);
    this.#datagram = this.#datagramFrame();
    const sum = arenaSum(arena);
    const random = new SeededRandom(11);
    const address = parseIpv4('192.168.127.1')!;
    const mask = parseIpv4('255.255.255.0')!;
    this.gateway = new Gateway({
      arena,
      sum,
      timers,
      random,
      mac: GATEWAY_MAC,
      address,
      subnet: address & mask,
      mask,
      virtualAddresses: [],
      mtu: MTU,
      ...(family === IPV4 ? {} : { ipv6: { address: GATEWAY6, virtualAddresses: [], searchList: [] } }),
    });
    const { gateway } = this;
    this.#switch = new Switch({ bytes: arena.bytes, gatewayMac: GATEWAY_MAC, gateway, now: () => timers.now });
    gateway.connect(this.#switch);
    const policy = new FlowPolicy({ nat: [], allowLinkLocal: false });
    const shared = { arena, sum, timers, random, host: this.host.network(DATAGRAM), gateway, policy };
    const wake = (): void => {};
    this.tcp = new TcpEngine(shared, wake);
    this.udp = new UdpEngine(shared, wake);
    gateway.transport(ipv4.PROTOCOL_TCP, this.tcp);
    gateway.transport(ipv4.PROTOCOL_UDP, this.udp);
    gateway.onBatch(() => this.tcp.endOfBatch());
    gateway.onBatch(() => this.udp.endOfBatch());
    gateway.onDrained((port) => this.tcp.drained(port));
    gateway.onDrained((port) => this.udp.drained(port));
    this.port = new MemoryPort(0, 'silent', arena, { wake }, this.#switch, (bytes, at, length) => this.#take(bytes, at, length));
    this.#switch.attached(this.port);
  }

  /** The guest connects. Throws when it is not answered. */
  connect(): void {
    const syn = this.#segmentFrame(12, tcp.SYN);
    tcp.write(syn, this.#transport, 40_000, 80, this.#sequence, 0, tcp.HEADER + 12, tcp.SYN, 0xffff);
    writeSynOptions(syn, this.#transport + tcp.HEADER, this.mss, WINDOW_SCALE, true);
    this.#sequence++;
    this.port.send(syn);
    this.round();
    if (this.#acknowledged !== this.#sequence) throw new Error('the gateway has not answered the SYN');
    this.acknowledge();
    this.round();
  }

  /** A port of the host that leads to the port that the guest's datagrams come from, with the host that they go to as its client. */
  forward(): SilentListener {
    const { remote0, remote1, remote2, remote3, guest0, guest1, guest2, guest3 } = this.#addresses;
    const client = new IpAddress(remote0, remote1, remote2, remote3);
    const { neighbours } = this.gateway;
    const options = {
      address: new IpAddress(guest0, guest1, guest2, guest3),
      port: GUEST_PORT,
      neighbours,
      seenAs: (address: IpAddress) => address,
    };
    let listener: SilentListener | undefined;
    this.udp.inbound.open(options, (handler) => (listener = new SilentListener(handler, client, REMOTE_PORT, DATAGRAM)));
    return listener!;
  }

  /** As the turn loop does it, a turn of one round. */
  round(): void {
    this.rounds++;
    this.#now += ROUND;
    this.timers.advance(this.#now);
    let more = true;
    while (more) {
      more = this.port.deliver();
      if (this.tcp.pump()) more = true;
      if (this.udp.pump()) more = true;
      if (this.port.flush()) more = true;
    }
    if (this.tcp.endOfTurn(true) !== 0) while (this.tcp.pump());
    this.port.flush();
  }

  /** A full-sized segment of the guest, for the next round. */
  sendData(): void {
    this.#send(this.#data, this.mss);
  }

  /** One byte. */
  sendByte(): void {
    this.#send(this.#small, 1);
  }

  /** An ACK of everything that has come. */
  acknowledge(): void {
    this.#send(this.#ack, 0);
  }

  #send(frame: Uint8Array, length: number): void {
    setU32(frame, this.#transport + 4, this.#sequence);
    setU32(frame, this.#transport + 8, this.#expected);
    this.#sequence = (this.#sequence + length) | 0;
    this.frames++;
    if (!this.port.send(frame)) throw new Error('the port is full');
  }

  sendDatagram(): void {
    this.frames++;
    if (!this.port.send(this.#datagram)) throw new Error('the port is full');
  }

  /** Bytes of the guest that were not acknowledged. */
  get unacknowledged(): number {
    return (this.#sequence - this.#acknowledged) | 0;
  }

  #take(bytes: Uint8Array, at: number, length: number): void {
    this.frames++;
    const { family } = this.#addresses;
    if (ethernet.type(bytes, at) !== family.etherType) return;
    const ip = at + ethernet.HEADER;
    const protocol = family === IPV4 ? ipv4.protocol(bytes, ip) : ipv6.nextHeader(bytes, ip);
    if (protocol === ipv4.PROTOCOL_UDP) {
      this.received++;
      return;
    }
    if (protocol !== ipv4.PROTOCOL_TCP) return;
    const segment = at + this.#transport;
    this.#acknowledged = i32(bytes, segment + 8);
    if (tcp.flags(bytes, segment) & tcp.SYN) {
      this.#expected = (i32(bytes, segment + 4) + 1) | 0;
      return;
    }
    const data = length - this.#transport - tcp.headerLength(bytes, segment);
    if (data === 0) return;
    if (i32(bytes, segment + 4) !== this.#expected) throw new Error('a segment out of order');
    this.#expected = (this.#expected + data) | 0;
    this.received++;
  }

  /** The checksum stays zero: the gateway leaves that to the guest's own stack. */
  #segmentFrame(payload: number, flags: number): Uint8Array {
    const frame = this.#packetFrame(ipv4.PROTOCOL_TCP, tcp.HEADER + payload);
    tcp.write(frame, this.#transport, 40_000, 80, 0, 0, tcp.HEADER, flags, 0xffff);
    return frame;
  }

  #datagramFrame(): Uint8Array {
    const frame = this.#packetFrame(ipv4.PROTOCOL_UDP, udp.HEADER + DATAGRAM);
    udp.write(frame, this.#transport, GUEST_PORT, REMOTE_PORT, udp.HEADER + DATAGRAM);
    return frame;
  }

  #packetFrame(protocol: number, length: number): Uint8Array {
    const { family } = this.#addresses;
    const frame = new Uint8Array(this.#transport + length);
    ethernet.write(frame, 0, GATEWAY_MAC.hi, GATEWAY_MAC.lo, GUEST_MAC.hi, GUEST_MAC.lo, family.etherType);
    family.writeFromGuest(frame, ethernet.HEADER, this.#addresses, protocol, length, true);
    return frame;
  }
}
