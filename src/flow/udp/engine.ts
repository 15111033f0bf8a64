/**
 * The UDP engine: guests' datagrams leave through one connected host socket per conversation, and answers come back.
 *
 *     input ─► chained by flow ─► endOfBatch: one send per flow          pump: receive in batches ─► frames
 *
 * A conversation lives as long as it looks like needing: seconds for a question and its answer, minutes for talk.
 */
import { IpAddress, MAPPED } from '../../packet/address.ts';
import { finish, pseudoIpv4, type Sum } from '../../packet/checksum.ts';
import * as ethernet from '../../packet/ethernet.ts';
import * as icmp from '../../packet/icmpv4.ts';
import * as ipv4 from '../../packet/ipv4.ts';
import * as udp from '../../packet/udp.ts';
import type { Arena } from '../../runtime/arena.ts';
import type { Random } from '../../runtime/clock.ts';
import type { TimerWheel } from '../../runtime/timer-wheel.ts';
import type { Neighbour } from '../../gateway/neighbour.ts';
import { InboundPacket, type Transport } from '../../gateway/packet.ts';
import { type DatagramEndpoint, type HostNetwork, Spans } from '../../host/endpoint.ts';
import { EACCES, EAGAIN, ECONNREFUSED, EHOSTUNREACH, EMFILE, ENETUNREACH, ENFILE, ENOBUFS, EPERM } from '../../host/errno.ts';
import type { Port } from '../../link/port.ts';
import { BatchChain } from '../batch-chain.ts';
import { FlowTable } from '../flow-table.ts';
import type { DatagramService, Listener } from '../listener.ts';
import type { FlowPolicy } from '../policy.ts';
import { UdpFlow, type UdpFlowOwner } from './flow.ts';
import { type ServiceGateway, UDP_HEADERS, UdpServices } from './services.ts';

/** Datagrams of one batch. */
const CHAIN_LIMIT = 16_384;
/** Datagrams taken from a socket in one call, and calls per flow and pump. */
const SLOTS = 32;
const CALLS_PER_PUMP = 4;
const SLOT_SIZE = 65_536;

/** Milliseconds of silence: after the answer of a resolver, of a one-shot exchange, of one-way traffic, of talk (RFC 4787 REQ-5). */
const TIMEOUT_ANSWERED_DNS = 2000;
const TIMEOUT_ONE_SHOT = 10_000;
const TIMEOUT_ONE_WAY = 30_000;
const TIMEOUT_TALK = 120_000;
const DNS = 53;

export interface UdpGateway extends ServiceGateway {
  readonly macHi: number;
  readonly macLo: number;
  readonly mtu: number;
  isLocal(word: number): boolean;
  readonly icmp: { unreachable(packet: InboundPacket, code: number): void };
}

export interface UdpOptions {
  readonly arena: Arena;
  readonly sum: Sum;
  readonly gateway: UdpGateway;
  readonly timers: TimerWheel;
  readonly random: Random;
  readonly host: HostNetwork;
  readonly policy: FlowPolicy;
  /** Conversations at once; beyond, the one that is quiet longest makes room. */
  readonly maxFlows?: number;
}

export const DEFAULT_UDP_FLOWS = 8192;

export class UdpCounters {
  datagramsIn = 0;
  datagramsOut = 0;
  opened = 0;
  timedOut = 0;
  evicted = 0;
  blocked = 0;
  toServices = 0;
  refused = 0;
  unreachable = 0;
  dropMalformed = 0;
  dropPort = 0;
  dropHostBusy = 0;
  dropHostError = 0;
  dropNoRoom = 0;
  hostExhausted = 0;
}

export class UdpEngine implements Transport, UdpFlowOwner {
  readonly counters: UdpCounters = new UdpCounters();
  readonly services: UdpServices;
  readonly #options: UdpOptions;
  readonly #bytes: Uint8Array;
  readonly #wake: () => void;
  readonly #table: FlowTable<UdpFlow>;
  readonly #maxFlows: number;
  readonly #chain: BatchChain = new BatchChain(CHAIN_LIMIT);
  readonly #spans: Spans = new Spans();
  readonly #touched: UdpFlow[] = [];
  #touchedCount = 0;
  #queue: UdpFlow[] = [];
  #queueCount = 0;
  #pumping: UdpFlow[] = [];
  readonly #blocked: Set<UdpFlow> = new Set();
  /** In order of last use, for eviction. */
  readonly #quiet: Set<UdpFlow> = new Set();
  readonly #lengths: Int32Array = new Int32Array(SLOTS);
  readonly #receive: number;
  readonly #scratch: number;
  readonly #quoted: InboundPacket = new InboundPacket();

  constructor(options: UdpOptions, wake: () => void) {
    this.#options = options;
    this.#bytes = options.arena.bytes;
    this.#wake = wake;
    this.#maxFlows = options.maxFlows ?? DEFAULT_UDP_FLOWS;
    this.#table = new FlowTable(this.#maxFlows, options.random);
    this.services = new UdpServices(options.arena, options.sum, options.gateway);
    this.#receive = options.arena.allocate(SLOTS * SLOT_SIZE);
    this.#scratch = options.arena.allocate(4096);
  }

  get size(): number {
    return this.#table.size;
  }

  [Symbol.iterator](): Iterator<UdpFlow> {
    return this.#table[Symbol.iterator]();
  }

  /** See ServiceHost.listenDatagram. */
  listen(port: number, service: DatagramService, anyAddress = false): Listener {
    return this.services.listen(port, service, anyAddress);
  }

  input(packet: InboundPacket): void {
    const { counters } = this;
    counters.datagramsIn++;
    const bytes = packet.bytes;
    const at = packet.payload;
    const available = packet.end - at;
    const length = available < udp.HEADER ? 0 : udp.length(bytes, at);
    if (length < udp.HEADER || length > available) {
      counters.dropMalformed++;
      return;
    }
    const guestPort = udp.sourcePort(bytes, at);
    const remotePort = udp.destinationPort(bytes, at);
    if (guestPort === 0 || remotePort === 0) {
      counters.dropPort++;
      return;
    }
    const flow = this.#table.find(
      packet.source0,
      packet.source1,
      packet.source2,
      packet.source3,
      guestPort,
      packet.destination0,
      packet.destination1,
      packet.destination2,
      packet.destination3,
      remotePort,
    );
    const target = flow ?? this.#open(packet, guestPort, remotePort, length - udp.HEADER);
    if (target === null) return;
    if (this.#chain.full) this.endOfBatch();
    this.#append(target, at + udp.HEADER, length - udp.HEADER);
    if (packet.reassembled) this.endOfBatch();
  }

  #append(flow: UdpFlow, at: number, length: number): void {
    if (flow.chainHead < 0) this.#touched[this.#touchedCount++] = flow;
    flow.chainTail = this.#chain.append(flow.chainTail, at, length);
    if (flow.chainHead < 0) flow.chainHead = flow.chainTail;
  }

  /** The first datagram of a conversation. Null when it was dealt with otherwise, or refused. */
  #open(packet: InboundPacket, guestPort: number, remotePort: number, length: number): UdpFlow | null {
    const { gateway, policy, host } = this.#options;
    const destination = packet.destination3;
    const local = gateway.isLocal(destination);
    if (this.services.deliver(packet, local, packet.payload + udp.HEADER, length)) {
      this.counters.toServices++;
      return null;
    }
    if (packet.source3 === 0 || policy.blocked(destination)) {
      this.counters.blocked++;
      return null;
    }
    const target = policy.translate(destination);
    if (gateway.isLocal(target)) {
      this.counters.refused++;
      gateway.icmp.unreachable(packet, icmp.CODE_PORT);
      return null;
    }
    if (this.#table.full) this.#evict();
    const flow = new UdpFlow(this, packet.neighbour, guestPort, [0, 0, MAPPED, destination], remotePort);
    const endpoint = this.#dial(host, target, remotePort, guestPort, flow);
    if (typeof endpoint === 'number') {
      this.#failed(packet, -endpoint);
      return null;
    }
    flow.endpoint = endpoint;
    this.#adopt(flow);
    this.counters.opened++;
    return flow;
  }

  /** A host without descriptors gets one back from the conversation that is quiet longest. */
  #dial(host: HostNetwork, target: number, port: number, localPort: number, flow: UdpFlow): DatagramEndpoint | number {
    const address = new IpAddress(0, 0, MAPPED, target);
    const endpoint = host.openDatagram(address, port, localPort, flow);
    if (endpoint !== -EMFILE && endpoint !== -ENFILE) return endpoint;
    this.counters.hostExhausted++;
    if (!this.#evict()) return endpoint;
    return host.openDatagram(address, port, localPort, flow);
  }

  #adopt(flow: UdpFlow): void {
    this.#table.add(flow);
    this.#quiet.add(flow);
    this.#options.timers.arm(flow.timer, TIMEOUT_ONE_SHOT);
  }

  #evict(): boolean {
    const [oldest] = this.#quiet;
    if (oldest === undefined) return false;
    this.counters.evicted++;
    this.#remove(oldest);
    return true;
  }

  /** Tells the guest why its datagram went nowhere. */
  #failed(packet: InboundPacket, errno: number): void {
    const { icmp: errors } = this.#options.gateway;
    if (errno === ECONNREFUSED) {
      this.counters.refused++;
      errors.unreachable(packet, icmp.CODE_PORT);
    } else if (errno === ENETUNREACH || errno === EHOSTUNREACH) {
      this.counters.unreachable++;
      errors.unreachable(packet, errno === ENETUNREACH ? icmp.CODE_NET : icmp.CODE_HOST);
    } else if (errno === EACCES || errno === EPERM) {
      this.counters.unreachable++;
      errors.unreachable(packet, icmp.CODE_PROHIBITED);
    } else if (errno === EAGAIN || errno === ENOBUFS) {
      this.counters.dropHostBusy++;
    } else {
      this.counters.dropHostError++;
    }
  }

  /** The memory of this batch is about to be reused: send each flow's run. */
  endOfBatch(): void {
    for (let i = 0; i < this.#touchedCount; i++) this.#sendChain(this.#touched[i]!);
    this.#touchedCount = 0;
    this.#chain.clear();
  }

  #sendChain(flow: UdpFlow): void {
    const chain = this.#chain;
    const spans = this.#spans;
    let entry = flow.chainHead;
    flow.chainHead = flow.chainTail = -1;
    if (flow.removed) return;
    while (entry >= 0) {
      spans.count = 0;
      for (; entry >= 0 && spans.count < Spans.LIMIT; entry = chain.next[entry]!) spans.add(chain.offset[entry]!, chain.length[entry]!);
      flow.sent += spans.count;
      this.#send(flow);
    }
    this.#touchTimer(flow);
  }

  #send(flow: UdpFlow): void {
    const spans = this.#spans;
    let sent = flow.endpoint.send(spans);
    // A refusal is about an earlier datagram; reporting it clears it, and this one may still go.
    if (sent === -ECONNREFUSED) {
      this.#failed(this.#quote(flow), ECONNREFUSED);
      sent = flow.endpoint.send(spans);
    }
    if (sent < 0) this.#failed(this.#quote(flow), -sent);
    else if (sent < spans.count) this.counters.dropHostBusy += spans.count - sent;
  }

  /** The conversation lives. Which one is quiet longest is kept to the second: a set is reordered per second, not per batch. */
  #touchTimer(flow: UdpFlow): void {
    const { timers } = this.#options;
    timers.arm(flow.timer, timeout(flow));
    if (timers.now - flow.ordered < 1000) return;
    flow.ordered = timers.now;
    this.#quiet.delete(flow);
    this.#quiet.add(flow);
  }

  /** UdpFlowOwner: the socket has something. */
  ready(flow: UdpFlow): void {
    if (flow.queued || flow.removed) return;
    flow.queued = true;
    this.#queue[this.#queueCount++] = flow;
    this.#wake();
  }

  /** UdpFlowOwner: the conversation has been quiet long enough. */
  idle(flow: UdpFlow): void {
    this.counters.timedOut++;
    this.#remove(flow);
  }

  /** A phase of the turn: answers go to the guests. True when there is more. */
  pump(): boolean {
    const flows = this.#queue;
    const count = this.#queueCount;
    if (count === 0) return false;
    this.#queue = this.#pumping;
    this.#pumping = flows;
    this.#queueCount = 0;
    for (let i = 0; i < count; i++) {
      const flow = flows[i]!;
      flow.queued = false;
      if (!flow.removed && !flow.blocked && this.#receiveFrom(flow)) this.ready(flow);
    }
    return this.#queueCount > 0;
  }

  /** True when the socket may have more. */
  #receiveFrom(flow: UdpFlow): boolean {
    for (let call = 0; call < CALLS_PER_PUMP; call++) {
      const port = flow.neighbour.port;
      if (port === null) return false;
      // Room for one large datagram and its headers in fragments, or for a batch of ordinary ones.
      if (port.claim(SLOT_SIZE * 2) < 0) {
        this.#block(flow);
        return false;
      }
      const got = flow.endpoint.receive(this.#receive, SLOT_SIZE, SLOT_SIZE, SLOTS, this.#lengths);
      if (got === -EAGAIN) return false;
      if (got < 0) {
        this.#failed(this.#quote(flow), -got);
        continue;
      }
      for (let i = 0; i < got; i++) this.#deliver(flow, this.#receive + i * SLOT_SIZE, this.#lengths[i]!);
      flow.received += got;
      this.#touchTimer(flow);
      if (got < SLOTS) return false;
    }
    return true;
  }

  #deliver(flow: UdpFlow, at: number, length: number): void {
    const { gateway } = this.#options;
    if (UDP_HEADERS - ethernet.HEADER + length > gateway.mtu) {
      this.#deliverLarge(flow, at, length);
      return;
    }
    const to = flow.neighbour;
    const port = to.port;
    const claim = port === null ? -1 : port.claim(port.headroom + UDP_HEADERS + length);
    if (claim < 0) {
      this.counters.dropNoRoom++;
      return;
    }
    const bytes = this.#bytes;
    const frame = claim + port!.headroom;
    bytes.copyWithin(frame + UDP_HEADERS, at, at + length);
    ethernet.write(bytes, frame, to.macHi, to.macLo, gateway.macHi, gateway.macLo, ethernet.TYPE_IPV4);
    const total = ipv4.HEADER + udp.HEADER + length;
    ipv4.write(bytes, frame + ethernet.HEADER, total, 0, ipv4.FLAG_DF, 64, ipv4.PROTOCOL_UDP, flow.remote3, flow.guest3);
    this.#writeUdp(flow, frame + ethernet.HEADER + ipv4.HEADER, length);
    port!.commit(frame, UDP_HEADERS + length);
    this.counters.datagramsOut++;
  }

  #writeUdp(flow: UdpFlow, at: number, length: number): void {
    const size = udp.HEADER + length;
    udp.write(this.#bytes, at, flow.remotePort, flow.guestPort, size);
    const total = this.#options.sum(at, size, pseudoIpv4(flow.remote3, flow.guest3, ipv4.PROTOCOL_UDP, size));
    udp.setChecksum(this.#bytes, at, finish(total));
  }

  /** In place: the UDP header goes in front of the payload, which is moved up once to make room. */
  #deliverLarge(flow: UdpFlow, at: number, length: number): void {
    this.#bytes.copyWithin(at + udp.HEADER, at, at + length);
    this.#writeUdp(flow, at, length);
    const { gateway } = this.#options;
    if (gateway.sendIpv4(flow.neighbour, flow.remote3, flow.guest3, ipv4.PROTOCOL_UDP, at, udp.HEADER + length))
      this.counters.datagramsOut++;
    else this.counters.dropNoRoom++;
  }

  /** The guest's datagram as far as an ICMP error quotes it: IP header and ports. */
  #quote(flow: UdpFlow): InboundPacket {
    const bytes = this.#bytes;
    const header = this.#scratch;
    ipv4.write(bytes, header, ipv4.HEADER + udp.HEADER, 0, ipv4.FLAG_DF, 64, ipv4.PROTOCOL_UDP, flow.guest3, flow.remote3);
    udp.write(bytes, header + ipv4.HEADER, flow.guestPort, flow.remotePort, udp.HEADER);
    const packet = this.#quoted;
    packet.bytes = bytes;
    packet.neighbour = flow.neighbour;
    packet.header = header;
    packet.payload = header + ipv4.HEADER;
    packet.end = packet.payload + udp.HEADER;
    packet.protocol = ipv4.PROTOCOL_UDP;
    packet.source3 = flow.guest3;
    packet.destination3 = flow.remote3;
    return packet;
  }

  #block(flow: UdpFlow): void {
    flow.blocked = true;
    this.#blocked.add(flow);
  }

  /** A guest's port has room again. */
  drained(port: Port): void {
    for (const flow of this.#blocked) {
      if (flow.neighbour.port !== port) continue;
      flow.blocked = false;
      this.#blocked.delete(flow);
      this.ready(flow);
    }
  }

  /** A guest's port is gone. */
  detached(): void {
    for (const flow of [...this.#table]) if (flow.neighbour.port === null) this.#remove(flow);
  }

  /**
   * A conversation for a host side that is there already: the guest sees it come from `remote`. Null when one with these
   * addresses exists.
   */
  openFromHost(neighbour: Neighbour, guestPort: number, remote: IpAddress, remotePort: number, endpoint: DatagramEndpoint): UdpFlow | null {
    const { w0, w1, w2, w3 } = neighbour;
    if (this.#table.find(w0, w1, w2, w3, guestPort, remote.w0, remote.w1, remote.w2, remote.w3, remotePort) !== null) return null;
    if (this.#table.full && !this.#evict()) return null;
    const flow = new UdpFlow(this, neighbour, guestPort, [remote.w0, remote.w1, remote.w2, remote.w3], remotePort);
    flow.endpoint = endpoint;
    endpoint.handler = flow;
    this.#adopt(flow);
    this.ready(flow);
    return flow;
  }

  #remove(flow: UdpFlow): void {
    if (flow.removed) return;
    flow.removed = true;
    this.#options.timers.cancel(flow.timer);
    this.#table.remove(flow);
    this.#quiet.delete(flow);
    this.#blocked.delete(flow);
    flow.endpoint.close();
  }

  close(): void {
    for (const flow of [...this.#table]) this.#remove(flow);
    this.services.close();
    this.#options.arena.free(this.#receive, SLOTS * SLOT_SIZE);
    this.#options.arena.free(this.#scratch, 4096);
  }
}

function timeout(flow: UdpFlow): number {
  if (flow.remotePort === DNS && flow.received > 0 && flow.received >= flow.sent) return TIMEOUT_ANSWERED_DNS;
  if (flow.sent <= 1 && flow.received <= 1) return TIMEOUT_ONE_SHOT;
  return flow.received >= 2 ? TIMEOUT_TALK : TIMEOUT_ONE_WAY;
}
