/** What the role files of the TCP engine share: the outside world as parameters, limits, counters, work lists. */
import type { IpAddress } from '../../packet/address.ts';
import type { Sum } from '../../packet/checksum.ts';
import type { Arena } from '../../runtime/arena.ts';
import type { Random } from '../../runtime/clock.ts';
import type { TimerWheel } from '../../runtime/timer-wheel.ts';
import type { HostNetwork, Spans } from '../../host/endpoint.ts';
import type { InboundPacket } from '../../gateway/packet.ts';
import type { Port } from '../../link/port.ts';
import type { FlowTable } from '../flow-table.ts';
import type { FlowPolicy } from '../policy.ts';
import type { FairShares } from '../../runtime/fair-shares.ts';
import type { GuestLinks } from './guest-link.ts';
import type { TcpFlow } from './flow.ts';
import type { BatchChain } from '../batch-chain.ts';

/** The part of the gateway that TCP needs. */
export interface GuestSide {
  readonly macHi: number;
  readonly macLo: number;
  readonly mtu: number;
  isLocal(address: IpAddress): boolean;
  readonly icmp: { unreachable(packet: InboundPacket, code: number): void };
}

export interface TcpLimits {
  /** Flows in the table, all states. Of this and the next, one VM may have its share (see fair-shares.ts). */
  readonly flows: number;
  /** Host connects under way at once. */
  readonly connecting: number;
  /** Milliseconds a host connect may take. */
  readonly connectTimeout: number;
  /** Bytes taken from a guest ahead of the host, per flow, at most. */
  readonly receiveWindow: number;
  /** As far as a window grows only because the guest uses it up; beyond, round trips must be long. Below what a guest's own queue holds. */
  readonly linkWindow: number;
  /** Flows kept in TIME-WAIT; the oldest go first. */
  readonly timeWait: number;
}

export class TcpCounters {
  segmentsIn = 0;
  segmentsOut = 0;
  opened = 0;
  openedFromHost = 0;
  /** Host connects that failed, by what the guest was told. */
  refused = 0;
  unreachable = 0;
  blocked = 0;
  resetsIn = 0;
  resetsOut = 0;
  retransmitted = 0;
  timeouts = 0;
  fastRecoveries = 0;
  tailProbes = 0;
  /** Retransmissions that were found lost in turn. */
  lostRetransmissions = 0;
  /** Losses that were none: the guest had got twice what was sent again. */
  spuriousRecoveries = 0;
  outOfOrder = 0;
  duplicates = 0;
  challengeAcks = 0;
  /** Times a guest's report has made segments smaller. */
  pathMtu = 0;
  zeroWindowProbes = 0;
  keepAliveProbes = 0;
  timedOut = 0;
  /** Dropped segments. */
  dropMalformed = 0;
  dropNoFlow = 0;
  dropUnacceptable = 0;
  dropBadAck = 0;
  dropNoAck = 0;
  dropNoBuffer = 0;
  /** New flows refused. */
  tableFull = 0;
  connectingFull = 0;
  hostExhausted = 0;
}

/** How connections that stood have ended: each side said so, or not. Those in TIME-WAIT have not ended yet. */
export class TcpEndings {
  orderly = 0;
  cut = 0;
}

export interface TcpContext {
  readonly arena: Arena;
  readonly bytes: Uint8Array;
  readonly sum: Sum;
  readonly gateway: GuestSide;
  readonly timers: TimerWheel;
  readonly random: Random;
  readonly host: HostNetwork;
  readonly policy: FlowPolicy;
  readonly limits: TcpLimits;
  readonly counters: TcpCounters;
  readonly table: FlowTable<TcpFlow>;
  readonly chain: BatchChain;
  /** Scratch for one write. */
  readonly spans: Spans;
  /** Where a fake packet is built to be quoted in an ICMP error. */
  readonly scratch: number;
  readonly links: GuestLinks;
  /** Host connects under way, or waiting for their turn. */
  readonly connecting: FairShares<Port>;
  /** Opens the host side of a flow that is CONNECTING: now, or soon when many are being opened. */
  dial(flow: TcpFlow): void;
  /** Has work for the end of this batch. */
  touch(flow: TcpFlow): void;
  /** Acknowledge at the end of the turn, unless data has done it until then. */
  putOffAck(flow: TcpFlow): void;
  /** Has work for the next pump. */
  ready(flow: TcpFlow): void;
  /** Waits for room on its guest's port. */
  block(flow: TcpFlow): void;
  enterTimeWait(flow: TcpFlow): void;
  /** Takes the flow out of every list and frees what it holds. */
  remove(flow: TcpFlow): void;
  isn(flow: TcpFlow): number;
  listener(port: number): ((flow: TcpFlow) => boolean) | undefined;
}
