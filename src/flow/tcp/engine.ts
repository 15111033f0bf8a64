/**
 * The TCP engine: one table of flows, fed by the gateway with segments and by the turn loop with endpoint events.
 *
 *     input ─► segments of a batch ─► endOfBatch: write to the hosts ─► pump: read from the hosts, send, acknowledge
 *
 * The role files do the work (README of this folder); here is who is looked at when, and who is taken out.
 */
import { NetworkError } from '../../errors.ts';
import type { Sum } from '../../packet/checksum.ts';
import * as tcp from '../../packet/tcp.ts';
import type { Arena } from '../../runtime/arena.ts';
import type { Random } from '../../runtime/clock.ts';
import { RateLimit } from '../../runtime/rate-limit.ts';
import type { TimerWheel } from '../../runtime/timer-wheel.ts';
import type { GuestReport } from '../../gateway/guest-report.ts';
import type { Neighbour } from '../../gateway/neighbour.ts';
import type { InboundPacket, Transport } from '../../gateway/packet.ts';
import { type HostNetwork, Spans, type StreamEndpoint } from '../../host/endpoint.ts';
import type { Port } from '../../link/port.ts';
import { FlowTable } from '../flow-table.ts';
import type { FlowPolicy } from '../policy.ts';
import { FairShares } from '../../runtime/fair-shares.ts';
import { takeAck } from './acknowledge.ts';
import { abort, countEnding, guestDone, guestGone, guestReset, hostFailed, settle } from './close.ts';
import { type GuestSide, TcpCounters, type TcpContext, TcpEndings, type TcpLimits } from './context.ts';
import { Dialling } from './dialling.ts';
import { type FlowOwner, type RemoteAddress, State, type TcpFlow } from './flow.ts';
import { GuestLinks } from './guest-link.ts';
import { answerSynSent, checkConnect, connectHost, endConnect, establish, openFromGuest, openFromHost } from './handshake.ts';
import { InitialSequence } from './initial-sequence.ts';
import { refuse, sendAck, sendSyn } from './output.ts';
import { isAboutSize, takePathMtu } from './path-mtu.ts';
import { PutOffAcks } from './put-off-acks.ts';
import { acceptable, drainBuffer, flushToHost, releaseBuffer, takeData } from './receive.ts';
import { afterSyn, isOpening, Segment } from './segment.ts';
import { BatchChain } from '../batch-chain.ts';
import { armTimeWait, expire, rearm } from './timers.ts';
import { discardAcknowledged, hasToSend, transmit } from './transmit.ts';
import { WorkList } from './work-list.ts';

/** Segments with data in one batch; a receive region of 1 MiB can hold no more that are longer than a header. */
const CHAIN_LIMIT = 16_384;
/** One VM may have so many times the flows that are left for the others: alone eight ninths of the limit. */
const SHARE = 8;
/** RFC 5961 §7: challenge ACKs per second. By VM: a limit that others share tells them what happens in its flows (CVE-2016-5696). */
const CHALLENGES_PER_SECOND = 100;

export const DEFAULT_TCP_LIMITS: TcpLimits = {
  flows: 65_536,
  connecting: 2048,
  connectTimeout: 30_000,
  receiveWindow: 4 << 20,
  linkWindow: 512 * 1024,
  timeWait: 4096,
};

export interface TcpOptions {
  readonly arena: Arena;
  readonly sum: Sum;
  readonly gateway: GuestSide;
  readonly timers: TimerWheel;
  readonly random: Random;
  readonly host: HostNetwork;
  readonly policy: FlowPolicy;
  readonly limits?: Partial<TcpLimits>;
}

/** Takes a guest's connection to a local port: sets the flow's endpoint. False refuses it. */
export type Accept = (flow: TcpFlow) => boolean;

export class TcpEngine implements Transport, FlowOwner {
  readonly counters: TcpCounters = new TcpCounters();
  readonly endings: TcpEndings = new TcpEndings();
  readonly #ctx: TcpContext;
  readonly #segment: Segment = new Segment();
  readonly #listeners: Map<number, Accept> = new Map();
  /** Flows with work at the end of this batch; used up to `#touchedCount`, so that the arrays never shrink and regrow. */
  readonly #touched: TcpFlow[] = [];
  #touchedCount = 0;
  readonly #work: WorkList = new WorkList();
  readonly #workOn: (flow: TcpFlow) => void = (flow) => this.#attend(flow);
  readonly #dialling: Dialling = new Dialling((flow) => connectHost(this.#ctx, flow));
  readonly #putOff: PutOffAcks = new PutOffAcks((flow) => this.#settleAcks(flow));
  readonly #timeWait: Set<TcpFlow> = new Set();
  readonly #initialSequence: InitialSequence;
  readonly #wake: () => void;
  readonly #challenges: RateLimit<Port> = new RateLimit(CHALLENGES_PER_SECOND, CHALLENGES_PER_SECOND);
  #ephemeral = 0;

  /** `wake` asks the turn loop for a pump when work arises outside a turn. */
  constructor(options: TcpOptions, wake: () => void) {
    const limits = { ...DEFAULT_TCP_LIMITS, ...options.limits };
    this.#wake = wake;
    this.#initialSequence = new InitialSequence(options.random, options.timers);
    const { arena } = options;
    this.#ctx = {
      arena,
      bytes: arena.bytes,
      sum: options.sum,
      gateway: options.gateway,
      timers: options.timers,
      random: options.random,
      host: options.host,
      policy: options.policy,
      limits,
      counters: this.counters,
      table: new FlowTable<TcpFlow>(limits.flows, options.random, SHARE),
      chain: new BatchChain(CHAIN_LIMIT),
      spans: new Spans(),
      scratch: arena.allocate(4096),
      links: new GuestLinks(),
      connecting: new FairShares<Port>(limits.connecting),
      dial: (flow) => void (this.#dialling.start(flow) || this.#wake()),
      touch: (flow) => this.#touch(flow),
      putOffAck: (flow) => this.#putOff.add(flow),
      ready: (flow) => this.ready(flow),
      block: (flow) => this.#block(flow),
      enterTimeWait: (flow) => this.#enterTimeWait(flow),
      remove: (flow) => this.#remove(flow),
      isn: (flow) => this.#initialSequence.of(flow),
      listener: (port) => this.#listeners.get(port),
    };
  }

  /** Flows in the table, in every state. */
  get size(): number {
    return this.#ctx.table.size;
  }

  [Symbol.iterator](): Iterator<TcpFlow> {
    return this.#ctx.table[Symbol.iterator]();
  }

  get flows(): FlowTable<TcpFlow> {
    return this.#ctx.table;
  }

  /** Resets a flow on both sides. */
  reset(flow: TcpFlow): void {
    if (!flow.removed) abort(this.#ctx, flow);
  }

  listens(port: number): boolean {
    return this.#listeners.has(port);
  }

  /** Guests' connections to `port` of the gateway go to `accept`. Throws when the port is taken. */
  listen(port: number, accept: Accept): { close(): void } {
    if (this.#listeners.has(port)) throw new NetworkError('port-taken', `port ${port} of the gateway is already listened on`);
    this.#listeners.set(port, accept);
    return { close: () => void this.#listeners.delete(port) };
  }

  /**
   * Connects to a guest for a host side that is there already. The guest sees the connection come from `remote`;
   * `remotePort` 0 picks a free one. Null when the table is full or no port is free.
   */
  connect(neighbour: Neighbour, guestPort: number, remote: RemoteAddress, remotePort: number, endpoint: StreamEndpoint): TcpFlow | null {
    const { table, counters } = this.#ctx;
    if (neighbour.port === null) return null;
    if (!table.shares.allows(neighbour.port)) {
      counters.tableFull++;
      return null;
    }
    const port = remotePort || this.#ephemeralPort(neighbour, guestPort, remote);
    if (port === 0 || this.#find(neighbour, guestPort, remote, port) !== null) return null;
    const flow = openFromHost(this.#ctx, this, neighbour, guestPort, remote, port, endpoint);
    this.#wake();
    return flow;
  }

  /** Contract §9.3: 16000 to 65535. */
  #ephemeralPort(neighbour: Neighbour, guestPort: number, remote: RemoteAddress): number {
    const span = 65_536 - 16_000;
    if (this.#ephemeral === 0) this.#ephemeral = 1 + ((this.#ctx.random.word() >>> 0) % span);
    for (let tries = 0; tries < span; tries++) {
      this.#ephemeral = (this.#ephemeral + 1) % span;
      const port = 16_000 + this.#ephemeral;
      if (this.#find(neighbour, guestPort, remote, port) === null) return port;
    }
    return 0;
  }

  #find(neighbour: Neighbour, guestPort: number, remote: RemoteAddress, port: number): TcpFlow | null {
    const { w0, w1, w2, w3 } = neighbour;
    return this.#ctx.table.find(w0, w1, w2, w3, guestPort, remote.w0, remote.w1, remote.w2, remote.w3, port);
  }

  input(packet: InboundPacket): void {
    const ctx = this.#ctx;
    const segment = this.#segment;
    ctx.counters.segmentsIn++;
    const at = packet.payload;
    if (!segment.read(ctx.bytes, at, packet.end)) {
      ctx.counters.dropMalformed++;
      return;
    }
    const guestPort = tcp.sourcePort(ctx.bytes, at);
    const remotePort = tcp.destinationPort(ctx.bytes, at);
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
    if (ctx.chain.full) this.#settleBatch();
    if (flow === null) this.#unmatched(packet, segment, guestPort !== 0 && remotePort !== 0);
    else this.#matched(flow, packet, segment);
    // A reassembled packet lies in a buffer of its own, which the next one reuses.
    if (packet.reassembled) this.#settleBatch();
  }

  #unmatched(packet: InboundPacket, segment: Segment, ports: boolean): void {
    if (ports && isOpening(segment)) return openFromGuest(this.#ctx, this, packet, segment, this.#wake);
    this.#ctx.counters.dropNoFlow++;
    refuse(this.#ctx, packet, segment);
  }

  #matched(flow: TcpFlow, packet: InboundPacket, segment: Segment): void {
    const ctx = this.#ctx;
    if (flow.state === State.CONNECTING) return this.#whileConnecting(flow, segment);
    if (flow.state === State.SYN_SENT) {
      if (!answerSynSent(ctx, flow, packet, segment)) return;
      return takeData(ctx, flow, afterSyn(segment));
    }
    if (flow.state === State.TIME_WAIT && reopens(flow, segment)) {
      this.#initialSequence.pass(flow);
      this.#remove(flow);
      return openFromGuest(ctx, this, packet, segment, this.#wake);
    }
    this.#synchronized(flow, packet, segment);
  }

  /** Nothing was promised to the guest yet: only its change of mind matters. */
  #whileConnecting(flow: TcpFlow, segment: Segment): void {
    if ((segment.flags & tcp.RST) === 0 || segment.sequence !== flow.rcvNxt) return;
    this.counters.resetsIn++;
    guestReset(this.#ctx, flow);
  }

  /** RFC 9293 §3.10.7.4, in its order. */
  #synchronized(flow: TcpFlow, packet: InboundPacket, segment: Segment): void {
    const ctx = this.#ctx;
    const { flags } = segment;
    flow.lastHeard = ctx.timers.now;
    // Probes are answered: what counts with data in flight is that it gets acknowledged.
    if (flow.flight === 0 || flow.sndWnd === 0) flow.attempts = 0;
    if (flow.state === State.SYN_RECEIVED && (flags & (tcp.SYN | tcp.RST)) === tcp.SYN && segment.sequence === ((flow.rcvNxt - 1) | 0)) {
      return this.#repeatedSyn(flow, packet, segment);
    }
    if (!acceptable(flow, segment)) {
      this.counters.dropUnacceptable++;
      if (flags & tcp.RST) return;
      this.#acknowledgeNow(flow);
      // RFC 9293 §3.10.7.4, eighth: the guest's FIN again, our ACK was lost.
      if (flow.state === State.TIME_WAIT && flow.endpoint === null && flags & tcp.FIN) armTimeWait(ctx, flow);
      return;
    }
    if (flags & tcp.RST) return this.#reset(flow, segment);
    // RFC 5961 §4.2: a SYN here is an attack or an old life; the ACK makes an honest peer reset.
    if (flags & tcp.SYN) return this.#challenge(flow);
    if (!(flags & tcp.ACK)) {
      this.counters.dropNoAck++;
      return;
    }
    if (flow.state === State.SYN_RECEIVED) {
      if (segment.acknowledgment !== flow.sndNxt) return refuse(ctx, packet, segment);
      establish(ctx, flow, segment, flow.sndScale);
    } else if (!takeAck(ctx, flow, segment)) return;
    takeData(ctx, flow, segment);
  }

  /** The guest's SYN again: our SYN-ACK was lost. With an ACK it answers a simultaneous open (RFC 9293 §3.5). */
  #repeatedSyn(flow: TcpFlow, packet: InboundPacket, segment: Segment): void {
    const ctx = this.#ctx;
    if (!(segment.flags & tcp.ACK)) return void sendSyn(ctx, flow);
    if (segment.acknowledgment !== flow.sndNxt) return refuse(ctx, packet, segment);
    flow.acksDue = 1;
    establish(ctx, flow, segment, 0);
    takeData(ctx, flow, afterSyn(segment));
  }

  /** RFC 5961 §3.2: only a RST at exactly RCV.NXT resets; another one in the window is asked to prove itself. */
  #reset(flow: TcpFlow, segment: Segment): void {
    if (segment.sequence !== flow.rcvNxt) return this.#challenge(flow);
    this.counters.resetsIn++;
    if (!guestDone(flow)) guestReset(this.#ctx, flow);
    else if (flow.endpoint === null) this.#remove(flow);
    // The host still gets what the guest was told is taken.
    else flow.state = State.CLOSED;
  }

  #challenge(flow: TcpFlow): void {
    if (!this.#challenges.take(flow.vm, this.#ctx.timers.now)) return;
    this.counters.challengeAcks++;
    this.#acknowledgeNow(flow);
  }

  #acknowledgeNow(flow: TcpFlow): void {
    flow.acksDue = Math.max(flow.acksDue, 1);
    this.#touch(flow);
  }

  /** A VM's batch is complete, and its memory is about to be reused. */
  endOfBatch(): void {
    this.#dialling.endOfBatch();
    this.#settleBatch();
  }

  #settleBatch(): void {
    const ctx = this.#ctx;
    for (let i = 0; i < this.#touchedCount; i++) {
      const flow = this.#touched[i]!;
      flow.touched = false;
      if (flow.endpoint !== null) flushToHost(ctx, flow);
      if (flow.endpoint !== null) discardAcknowledged(flow);
      if (flow.state !== State.CLOSED || flow.endpoint !== null) this.ready(flow);
    }
    this.#touchedCount = 0;
    ctx.chain.clear();
  }

  /** A phase of the turn. True when a flow used up its quota and has more to send. */
  pump(): boolean {
    if (this.#dialling.waiting) this.#dialling.more();
    this.#work.run(this.#workOn);
    return !this.#work.empty || this.#dialling.waiting;
  }

  #attend(flow: TcpFlow): void {
    const ctx = this.#ctx;
    if (flow.removed) return;
    if (flow.state === State.CONNECTING) return checkConnect(ctx, flow);
    if (flow.state === State.TIME_WAIT && flow.endpoint === null) return this.#settleAcks(flow);
    if (flow.endpoint === null) return;
    if (flow.state === State.SYN_SENT || flow.state === State.SYN_RECEIVED) return this.#whileOpening(flow);
    if (flow.hangup && !this.#alive(flow)) return;
    drainBuffer(ctx, flow);
    if (flow.removed) return;
    if (!flow.finAcked && !flow.blocked && hasToSend(flow)) this.#send(flow);
    if (flow.removed || settle(ctx, flow)) return this.#settleAcks(flow);
    this.#settleAcks(flow);
    rearm(ctx, flow);
  }

  /** Behind those that wait for room already. */
  #send(flow: TcpFlow): void {
    if (flow.link.waiting.size > 0) this.#block(flow);
    else if (transmit(this.#ctx, flow)) this.#work.addLast(flow);
  }

  /** The host side may fail while the guest's handshake is under way. That it has ended is looked into when its bytes can be sent. */
  #whileOpening(flow: TcpFlow): void {
    if (!flow.hangup || this.#alive(flow)) this.#settleAcks(flow);
  }

  /** Looks behind a hang-up: an error ends the flow at once, even while nothing can be sent. */
  #alive(flow: TcpFlow): boolean {
    const status = flow.endpoint!.connectStatus();
    if (status >= 0) return true;
    hostFailed(this.#ctx, flow, -status);
    return false;
  }

  #settleAcks(flow: TcpFlow): void {
    if (flow.removed) return;
    for (; flow.acksDue > 0; flow.acksDue--) {
      if (sendAck(this.#ctx, flow)) continue;
      if (flow.neighbour.port !== null) this.#block(flow);
      return;
    }
  }

  /** See Ending of the turn loop. */
  endOfTurn(idle: boolean): number {
    return this.#putOff.endOfTurn(idle);
  }

  /** A guest's port has room again. */
  drained(port: Port): void {
    const link = this.#ctx.links.of(port);
    if (link.waiting.size === 0) return;
    for (const flow of link.release()) {
      flow.blocked = false;
      this.ready(flow);
    }
  }

  /** A guest's ICMP error about a segment it, or somebody behind it, got. */
  report(report: GuestReport): void {
    if (!isAboutSize(report)) return;
    const flow = this.#ctx.table.about(report);
    if (flow !== null) takePathMtu(this.#ctx, flow, report.mtu);
  }

  /** A guest's port is gone, and its neighbours with it: nobody will read what its flows bring. */
  detached(): void {
    for (const flow of [...this.#ctx.table]) if (flow.neighbour.port === null) guestGone(this.#ctx, flow);
  }

  /** Resets every flow on both sides. */
  close(): void {
    for (const flow of [...this.#ctx.table]) abort(this.#ctx, flow);
    this.#ctx.arena.free(this.#ctx.scratch, 4096);
  }

  ready(flow: TcpFlow): void {
    if (!flow.removed && this.#work.add(flow)) this.#wake();
  }

  expired(flow: TcpFlow): void {
    const connecting = flow.state === State.CONNECTING && flow.endpoint !== null;
    // Who was asleep hears of timers first: the host may have answered long ago.
    if (connecting) checkConnect(this.#ctx, flow);
    if (!connecting || flow.state === State.CONNECTING) expire(this.#ctx, flow);
  }

  #touch(flow: TcpFlow): void {
    if (flow.touched) return;
    flow.touched = true;
    this.#touched[this.#touchedCount++] = flow;
  }

  #block(flow: TcpFlow): void {
    flow.blocked = true;
    flow.link.waiting.add(flow);
  }

  #enterTimeWait(flow: TcpFlow): void {
    releaseBuffer(flow);
    if (this.#timeWait.size >= this.#ctx.limits.timeWait) {
      const [oldest] = this.#timeWait;
      this.#remove(oldest!);
    }
    this.#timeWait.add(flow);
    armTimeWait(this.#ctx, flow);
  }

  #remove(flow: TcpFlow): void {
    if (flow.removed) return;
    flow.removed = true;
    countEnding(this.endings, flow);
    flow.state = State.CLOSED;
    endConnect(this.#ctx, flow);
    this.#ctx.timers.cancel(flow.timer);
    this.#ctx.table.remove(flow);
    this.#dialling.delete(flow);
    if (flow.blocked) flow.link.waiting.delete(flow);
    this.#timeWait.delete(flow);
    releaseBuffer(flow);
    flow.onClosed?.();
    flow.onClosed = null;
  }
}

/** RFC 9293 §3.10.7.4 first check, TIME-WAIT: a new SYN beyond the old connection's data may open the next one. */
function reopens(flow: TcpFlow, segment: Segment): boolean {
  const opens = flow.endpoint === null && isOpening(segment);
  return opens && ((segment.sequence - flow.rcvNxt) | 0) > 0;
}
