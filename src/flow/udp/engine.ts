/**
 * The UDP engine: guests' datagrams leave through one connected host socket per conversation, and answers come back.
 *
 *     input ─► chained by flow ─► endOfBatch: one send per flow          pump: receive in batches ─► frames
 *
 * A conversation lives as long as it looks like needing: seconds for a question and its answer, minutes for talk.
 */
import { IpAddress, MAPPED } from '../../packet/address.ts';
import type { Sum } from '../../packet/checksum.ts';
import * as icmp from '../../packet/icmpv4.ts';
import * as ipv4 from '../../packet/ipv4.ts';
import * as udp from '../../packet/udp.ts';
import type { Arena } from '../../runtime/arena.ts';
import type { Random } from '../../runtime/clock.ts';
import type { TimerWheel } from '../../runtime/timer-wheel.ts';
import type { IcmpReport } from '../../gateway/icmp-input.ts';
import type { Neighbour } from '../../gateway/neighbour.ts';
import type { InboundPacket, Transport } from '../../gateway/packet.ts';
import { type DatagramEndpoint, type HostNetwork, Spans } from '../../host/endpoint.ts';
import { EACCES, EAGAIN, ECONNREFUSED, EHOSTUNREACH, EMFILE, EMSGSIZE, ENETUNREACH, ENFILE, ENOBUFS, EPERM } from '../../host/errno.ts';
import type { Port } from '../../link/port.ts';
import { BatchChain } from '../batch-chain.ts';
import { FlowTable } from '../flow-table.ts';
import type { DatagramService, Listener } from '../listener.ts';
import type { FlowPolicy } from '../policy.ts';
import { Delivery, type DeliveryGateway } from './delivery.ts';
import { LARGEST, UdpFlow, type UdpFlowOwner } from './flow.ts';
import { UdpServices } from './services.ts';
import { TALK, UseOrder } from './use-order.ts';

/** Datagrams of one batch. */
const CHAIN_LIMIT = 16_384;
/** Datagrams taken from a socket in one call, and calls per flow and pump. */
const SLOTS = 32;
const CALLS_PER_PUMP = 4;
const SLOT_SIZE = 65_536;
/** Bytes of a guest's port that one call may fill: large datagrams are taken a few at a time, the others wait in the socket. */
const ROOM_PER_CALL = 4 * SLOT_SIZE;
/** Sends in a row that a host may refuse before the rest of a batch is given up. */
const REFUSALS = 3;

/** A guest that opens thousands of conversations at once must not hold up the others: what is beyond is dropped. */
const OPENINGS = 128;

/** Milliseconds of silence: after the answer of a resolver, of a one-shot exchange, of one-way traffic, of talk (RFC 4787 REQ-5). */
const TIMEOUT_ANSWERED_DNS = 2000;
const TIMEOUT_ONE_SHOT = 10_000;
const TIMEOUT_ONE_WAY = 30_000;
const TIMEOUT_TALK = 120_000;
const DNS = 53;

export interface UdpGateway extends DeliveryGateway {
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
  /** Conversations at once; beyond, one makes room (see use-order.ts). */
  readonly maxFlows?: number;
}

/** Of these one VM may have its share (see fair-shares.ts). */
export const DEFAULT_UDP_FLOWS = 16_384;

export class UdpCounters {
  datagramsIn = 0;
  datagramsOut = 0;
  opened = 0;
  timedOut = 0;
  /** The guest answered with port unreachable. */
  closedByGuest = 0;
  evicted = 0;
  blocked = 0;
  toServices = 0;
  refused = 0;
  unreachable = 0;
  dropMalformed = 0;
  dropPort = 0;
  dropHostBusy = 0;
  dropHostError = 0;
  dropTooLarge = 0;
  /** Would have opened too many conversations at once. */
  dropFlood = 0;
  dropNoRoom = 0;
  hostExhausted = 0;
}

export class UdpEngine implements Transport, UdpFlowOwner {
  readonly counters: UdpCounters = new UdpCounters();
  readonly services: UdpServices;
  readonly #options: UdpOptions;
  readonly #wake: () => void;
  readonly #table: FlowTable<UdpFlow>;
  readonly #chain: BatchChain = new BatchChain(CHAIN_LIMIT);
  readonly #spans: Spans = new Spans();
  readonly #touched: UdpFlow[] = [];
  #touchedCount = 0;
  #queue: UdpFlow[] = [];
  #queueCount = 0;
  #pumping: UdpFlow[] = [];
  /** Conversations that may still be opened in this batch. */
  #openings = OPENINGS;
  readonly #blocked: Set<UdpFlow> = new Set();
  readonly #order: UseOrder = new UseOrder();
  readonly #lengths: Int32Array = new Int32Array(SLOTS);
  readonly #receive: number;
  readonly #delivery: Delivery;

  constructor(options: UdpOptions, wake: () => void) {
    this.#options = options;
    this.#wake = wake;
    this.#table = new FlowTable(options.maxFlows ?? DEFAULT_UDP_FLOWS, options.random);
    this.services = new UdpServices(options.arena, options.sum, options.gateway);
    this.#receive = options.arena.allocate(SLOTS * SLOT_SIZE);
    this.#delivery = new Delivery(options.arena, options.sum, options.gateway);
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
    if (this.#chain.full) this.#sendChains();
    this.#append(target, at + udp.HEADER, length - udp.HEADER);
    if (packet.reassembled) this.#sendChains();
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
    if (this.#openings <= 0) {
      this.counters.dropFlood++;
      return null;
    }
    const target = policy.translate(destination);
    if (gateway.isLocal(target)) {
      this.counters.refused++;
      gateway.icmp.unreachable(packet, icmp.CODE_PORT);
      return null;
    }
    this.#openings--;
    const flow = new UdpFlow(this, packet.neighbour, guestPort, [0, 0, MAPPED, destination], remotePort);
    const endpoint = this.#dial(host, target, remotePort, guestPort, flow);
    if (typeof endpoint === 'number') {
      this.#failed(packet, -endpoint);
      return null;
    }
    flow.endpoint = endpoint;
    // Only now: a destination that can't be dialled costs nobody his conversation.
    this.#makeRoom(flow.vm);
    this.#adopt(flow);
    this.counters.opened++;
    return flow;
  }

  /** A host without descriptors gets one back from a conversation. */
  #dial(host: HostNetwork, target: number, port: number, localPort: number, flow: UdpFlow): DatagramEndpoint | number {
    const address = new IpAddress(0, 0, MAPPED, target);
    const endpoint = host.openDatagram(address, port, localPort, flow);
    if (endpoint !== -EMFILE && endpoint !== -ENFILE) return endpoint;
    this.counters.hostExhausted++;
    if (!this.#evict(flow.vm)) return endpoint;
    return host.openDatagram(address, port, localPort, flow);
  }

  #adopt(flow: UdpFlow): void {
    this.#table.add(flow);
    this.#order.touch(flow, this.#options.timers.now);
    this.#options.timers.arm(flow.timer, TIMEOUT_ONE_SHOT);
  }

  #makeRoom(vm: Port): void {
    if (!this.#table.shares.allows(vm)) this.#evict(vm);
  }

  /** One conversation makes room for another of this VM. */
  #evict(vm: Port): boolean {
    const leaving = this.#order.first(this.#table.shares.donor(vm));
    if (leaving === undefined) return false;
    this.counters.evicted++;
    if (leaving.chainHead >= 0) this.#sendChain(leaving);
    this.#remove(leaving);
    return true;
  }

  /** Tells the guest why its datagram went nowhere. False when it is the host's own trouble, which is only counted. */
  #failed(packet: InboundPacket, errno: number): boolean {
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
    } else {
      if (errno === EAGAIN || errno === ENOBUFS) this.counters.dropHostBusy++;
      else this.counters.dropHostError++;
      return false;
    }
    return true;
  }

  /** A VM's batch is complete, and its memory is about to be reused. */
  endOfBatch(): void {
    this.#openings = OPENINGS;
    this.#sendChains();
  }

  /** Sends each flow's run. */
  #sendChains(): void {
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

  /** A send that takes only some of the datagrams has met an error; the next one says which, unless it was about an earlier datagram. */
  #send(flow: UdpFlow): void {
    const spans = this.#spans;
    let refusals = 0;
    let told = false;
    while (spans.count > 0) {
      const sent = flow.endpoint.send(spans);
      if (sent > 0) {
        skip(spans, sent);
        refusals = 0;
      } else if (sent === -ECONNREFUSED && refusals++ < REFUSALS) {
        // About an earlier datagram; reporting it clears it, and this one may still go.
        if (!told) this.#failed(this.#delivery.quote(flow), ECONNREFUSED);
        told = true;
      } else if (sent === -EMSGSIZE) {
        this.counters.dropTooLarge++;
        skip(spans, 1);
      } else {
        this.#giveUp(flow, -sent);
      }
    }
  }

  /** What is left of the batch is dropped. */
  #giveUp(flow: UdpFlow, errno: number): void {
    const { count } = this.#spans;
    this.#spans.count = 0;
    if (errno === 0 || errno === EAGAIN || errno === ENOBUFS) this.counters.dropHostBusy += count;
    else if (errno === ECONNREFUSED) this.counters.dropHostError += count;
    else this.#failed(this.#delivery.quote(flow), errno);
  }

  /** The conversation lives. */
  #touchTimer(flow: UdpFlow): void {
    const { timers } = this.#options;
    timers.arm(flow.timer, timeout(flow));
    this.#order.touch(flow, timers.now);
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
      if (!flow.removed && !this.#waits(flow) && this.#receiveFrom(flow)) this.ready(flow);
    }
    return this.#queueCount > 0;
  }

  /** True when the socket may have more. */
  #receiveFrom(flow: UdpFlow): boolean {
    for (let call = 0; call < CALLS_PER_PUMP; call++) {
      const port = flow.neighbour.port;
      if (port === null) return false;
      const room = this.#delivery.room(flow.largest);
      const count = Math.min(Math.max(Math.floor(ROOM_PER_CALL / room), 1), SLOTS);
      if (port.claim(count * room) < 0) {
        flow.blockedOn = port;
        this.#blocked.add(flow);
        return false;
      }
      const got = flow.endpoint.receive(this.#receive, LARGEST, SLOT_SIZE, count, this.#lengths);
      if (got === -EAGAIN) return false;
      if (got < 0) {
        if (!this.#failed(this.#delivery.quote(flow), -got)) return false;
        continue;
      }
      this.#deliver(flow, got);
      if (got < count) return false;
    }
    return true;
  }

  #deliver(flow: UdpFlow, count: number): void {
    let largest = 0;
    for (let i = 0; i < count; i++) {
      const length = this.#lengths[i]!;
      if (length > largest) largest = length;
      if (this.#delivery.deliver(flow, this.#receive + i * SLOT_SIZE, length)) this.counters.datagramsOut++;
      else this.counters.dropNoRoom++;
    }
    // Down slowly: what was large once may be so again.
    flow.largest = Math.max(largest, flow.largest - (flow.largest >> 3));
    flow.received += count;
    this.#touchTimer(flow);
  }

  /** The port has no room, and the guest has not moved to another. */
  #waits(flow: UdpFlow): boolean {
    if (flow.blockedOn === null) return false;
    if (flow.blockedOn === flow.neighbour.port) return true;
    this.#unblock(flow);
    return false;
  }

  #unblock(flow: UdpFlow): void {
    flow.blockedOn = null;
    this.#blocked.delete(flow);
  }

  /** A guest's port has room again. */
  drained(port: Port): void {
    for (const flow of this.#blocked) {
      if (flow.blockedOn !== port) continue;
      this.#unblock(flow);
      this.ready(flow);
    }
  }

  /** A guest's port is gone. */
  detached(): void {
    for (const flow of [...this.#table]) if (flow.neighbour.port === null) this.#remove(flow);
    for (const flow of this.#blocked) if (!this.#waits(flow)) this.ready(flow);
  }

  /** A guest's ICMP error: nobody has the port that a conversation's answers go to. */
  report(report: IcmpReport): void {
    if (report.protocol !== ipv4.PROTOCOL_UDP || report.type !== icmp.UNREACHABLE || report.code !== icmp.CODE_PORT) return;
    const { destination, destinationPort, source, sourcePort } = report;
    const flow = this.#table.find(0, 0, MAPPED, destination, destinationPort, 0, 0, MAPPED, source, sourcePort);
    if (flow === null) return;
    this.counters.closedByGuest++;
    this.#remove(flow);
  }

  /**
   * A conversation for a host side that is there already: the guest sees it come from `remote`. Null when one with these
   * addresses exists.
   */
  openFromHost(neighbour: Neighbour, guestPort: number, remote: IpAddress, remotePort: number, endpoint: DatagramEndpoint): UdpFlow | null {
    const { w0, w1, w2, w3 } = neighbour;
    if (this.#table.find(w0, w1, w2, w3, guestPort, remote.w0, remote.w1, remote.w2, remote.w3, remotePort) !== null) return null;
    if (neighbour.port === null) return null;
    this.#makeRoom(neighbour.port);
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
    this.#order.delete(flow);
    this.#blocked.delete(flow);
    flow.endpoint.close();
  }

  close(): void {
    for (const flow of [...this.#table]) this.#remove(flow);
    this.services.close();
    this.#options.arena.free(this.#receive, SLOTS * SLOT_SIZE);
    this.#delivery.close();
  }
}

function timeout(flow: UdpFlow): number {
  if (flow.remotePort === DNS && flow.received > 0 && flow.received >= flow.sent) return TIMEOUT_ANSWERED_DNS;
  if (flow.sent <= 1 && flow.received <= 1) return TIMEOUT_ONE_SHOT;
  return flow.received >= TALK ? TIMEOUT_TALK : TIMEOUT_ONE_WAY;
}

/** The first `count` are done with. */
function skip(spans: Spans, count: number): void {
  spans.offset.copyWithin(0, count, spans.count);
  spans.length.copyWithin(0, count, spans.count);
  spans.count -= count;
}
