/**
 * The UDP engine: guests' datagrams leave through one connected host socket per conversation, and answers come back.
 *
 *     input ─► chained by flow ─► endOfBatch: one send per flow          pump: receive in batches ─► frames
 *
 * The role files do the work: opening.ts, sending.ts, receiving.ts, host-errors.ts, lifetime.ts. Here is who is looked at
 * when, and who is taken out.
 */
import type { IpAddress } from '../../packet/address.ts';
import * as ipv4 from '../../packet/ipv4.ts';
import * as udp from '../../packet/udp.ts';
import { type GuestReport, ReportKind } from '../../gateway/guest-report.ts';
import type { Neighbour } from '../../gateway/neighbour.ts';
import type { InboundPacket, Transport } from '../../gateway/packet.ts';
import { type DatagramEndpoint, DatagramReport, Spans } from '../../host/endpoint.ts';
import type { Port } from '../../link/port.ts';
import { BatchChain } from '../batch-chain.ts';
import type { Decision } from '../gate.ts';
import { FlowTable } from '../flow-table.ts';
import type { DatagramListening, DatagramService, Listener } from '../listener.ts';
import { type UdpContext, UdpCounters, type UdpOptions } from './context.ts';
import { Delivery } from './delivery.ts';
import type { UdpFlow } from './flow.ts';
import { InboundPorts } from './inbound-ports.ts';
import { sleptThrough } from './lifetime.ts';
import { openFromGuest, openFromHost, OPENINGS } from './opening.ts';
import { receiveFrom, SLOT_SIZE, SLOTS } from './receiving.ts';
import { follow, forbidsFragments, hopsOf, sendChain } from './sending.ts';
import { UdpServices } from './services.ts';
import { Undecided } from './undecided.ts';
import { UseOrder } from './use-order.ts';

/** Datagrams of one batch. */
const CHAIN_LIMIT = 16_384;

/** Of these one VM may have its share (see fair-shares.ts). */
export const DEFAULT_UDP_FLOWS = 16_384;

export class UdpEngine implements Transport {
  readonly counters: UdpCounters = new UdpCounters();
  /** UDP ports of the host that lead to guests. */
  readonly inbound: InboundPorts;
  readonly #ctx: UdpContext;
  readonly #wake: () => void;
  readonly #touched: UdpFlow[] = [];
  #touchedCount = 0;
  #queue: UdpFlow[] = [];
  #queueCount = 0;
  #pumping: UdpFlow[] = [];
  readonly #blocked: Set<UdpFlow> = new Set();

  constructor(options: UdpOptions, wake: () => void) {
    this.#wake = wake;
    const { arena, sum, gateway } = options;
    this.#ctx = {
      arena,
      gateway,
      timers: options.timers,
      random: options.random,
      host: options.host,
      policy: options.policy,
      counters: this.counters,
      services: new UdpServices(arena, sum, gateway),
      delivery: new Delivery(arena, sum, gateway),
      table: new FlowTable(options.maxFlows ?? DEFAULT_UDP_FLOWS, options.random),
      order: new UseOrder(),
      chain: new BatchChain(CHAIN_LIMIT),
      undecided: new Undecided(arena, options.timers, this.counters, (packet, decision) => this.#replay(packet, decision)),
      spans: new Spans(),
      report: new DatagramReport(),
      receive: arena.allocate(SLOTS * SLOT_SIZE),
      lengths: new Int32Array(SLOTS),
      openings: OPENINGS,
      ready: (flow) => this.#ready(flow),
      idle: (flow) => this.#idle(flow),
      block: (flow) => void this.#blocked.add(flow),
      remove: (flow) => this.#remove(flow),
    };
    this.inbound = new InboundPorts(this.#ctx, wake);
  }

  get services(): UdpServices {
    return this.#ctx.services;
  }

  /** Conversations that there are. */
  get flows(): FlowTable<UdpFlow> {
    return this.#ctx.table;
  }

  get size(): number {
    return this.#ctx.table.size;
  }

  [Symbol.iterator](): Iterator<UdpFlow> {
    return this.#ctx.table[Symbol.iterator]();
  }

  /** See ServiceHost.listenDatagram. */
  listen(port: number, service: DatagramService, options: DatagramListening = {}): Listener {
    return this.services.listen(port, service, options);
  }

  input(packet: InboundPacket): void {
    this.counters.datagramsIn++;
    this.#take(packet, null);
  }

  /** A datagram that has waited for the gate. */
  #replay(packet: InboundPacket, decision: Decision): void {
    this.#take(packet, decision);
    this.#wake();
  }

  #take(packet: InboundPacket, decided: Decision | null): void {
    const { counters } = this;
    const ctx = this.#ctx;
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
    const flow = ctx.table.find(
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
    const target = flow ?? openFromGuest(ctx, packet, guestPort, remotePort, length - udp.HEADER, decided);
    if (target === null) return;
    if (ctx.chain.full) this.#sendChains();
    if (hopsOf(packet) !== target.hops || (length > target.examined && forbidsFragments(packet) !== target.hostDf)) {
      follow(ctx, target, packet, length);
    }
    this.#append(target, at + udp.HEADER, length - udp.HEADER);
    if (packet.reassembled) this.#sendChains();
  }

  #append(flow: UdpFlow, at: number, length: number): void {
    if (flow.chainHead < 0) this.#touched[this.#touchedCount++] = flow;
    flow.chainTail = this.#ctx.chain.append(flow.chainTail, at, length);
    if (flow.chainHead < 0) flow.chainHead = flow.chainTail;
  }

  /** A VM's batch is complete, and its memory is about to be reused. */
  endOfBatch(): void {
    this.#ctx.openings = OPENINGS;
    this.#sendChains();
  }

  /** Sends each flow's run. */
  #sendChains(): void {
    for (let i = 0; i < this.#touchedCount; i++) sendChain(this.#ctx, this.#touched[i]!);
    this.#touchedCount = 0;
    this.#ctx.chain.clear();
  }

  /** UdpFlowOwner: the socket has something. */
  #ready(flow: UdpFlow): void {
    if (flow.queued || flow.removed) return;
    flow.queued = true;
    this.#queue[this.#queueCount++] = flow;
    this.#wake();
  }

  /** UdpFlowOwner: the conversation has been quiet long enough. */
  #idle(flow: UdpFlow): void {
    if (sleptThrough(this.#ctx, flow)) return;
    this.counters.timedOut++;
    this.#remove(flow);
  }

  /** A phase of the turn: answers go to the guests. True when there is more. */
  pump(): boolean {
    const flows = this.#queue;
    const more = this.inbound.pump();
    const count = this.#queueCount;
    if (count === 0) return more;
    this.#queue = this.#pumping;
    this.#pumping = flows;
    this.#queueCount = 0;
    for (let i = 0; i < count; i++) {
      const flow = flows[i]!;
      flow.queued = false;
      if (!flow.removed && !this.#waits(flow) && receiveFrom(this.#ctx, flow)) this.#ready(flow);
    }
    return more || this.#queueCount > 0;
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
    this.inbound.drained(port);
    for (const flow of this.#blocked) {
      if (flow.blockedOn !== port) continue;
      this.#unblock(flow);
      this.#ready(flow);
    }
  }

  /** A guest's port is gone. */
  detached(): void {
    this.inbound.detached();
    this.#ctx.undecided.detached();
    for (const flow of [...this.#ctx.table]) if (flow.neighbour.port === null) this.#remove(flow);
    for (const flow of this.#blocked) if (!this.#waits(flow)) this.#ready(flow);
  }

  /** A guest's ICMP error: nobody has the port that a conversation's answers go to. */
  report(report: GuestReport): void {
    if (report.protocol !== ipv4.PROTOCOL_UDP || report.kind !== ReportKind.PORT_UNREACHABLE) return;
    const flow = this.#ctx.table.about(report);
    if (flow === null) return;
    this.counters.closedByGuest++;
    this.#remove(flow);
  }

  /** A conversation for a host side that is there already; see opening.ts. */
  openFromHost(neighbour: Neighbour, guestPort: number, remote: IpAddress, remotePort: number, endpoint: DatagramEndpoint): UdpFlow | null {
    const flow = openFromHost(this.#ctx, neighbour, guestPort, remote, remotePort, endpoint);
    if (flow !== null) this.#ready(flow);
    return flow;
  }

  #remove(flow: UdpFlow): void {
    if (flow.removed) return;
    flow.removed = true;
    this.#ctx.timers.cancel(flow.timer);
    this.#ctx.table.remove(flow);
    this.#ctx.order.delete(flow);
    this.#blocked.delete(flow);
    flow.endpoint.close();
  }

  /** Ends a conversation; neither side is told. */
  end(flow: UdpFlow): void {
    this.#remove(flow);
  }

  close(): void {
    this.inbound.close();
    this.#ctx.undecided.close();
    for (const flow of [...this.#ctx.table]) this.#remove(flow);
    this.services.close();
    this.#ctx.arena.free(this.#ctx.receive, SLOTS * SLOT_SIZE);
    this.#ctx.delivery.close();
  }
}
