/** What the role files of the UDP engine share: the tables and buffers of one engine, and its counters. */
import type { IpAddress } from '../../packet/address.ts';
import type { Sum } from '../../packet/checksum.ts';
import type { Arena } from '../../runtime/arena.ts';
import type { Random } from '../../runtime/clock.ts';
import type { TimerWheel } from '../../runtime/timer-wheel.ts';
import type { InboundPacket } from '../../gateway/packet.ts';
import type { DatagramReport, HostNetwork, Spans } from '../../host/endpoint.ts';
import type { BatchChain } from '../batch-chain.ts';
import type { FlowTable } from '../flow-table.ts';
import type { FlowPolicy } from '../policy.ts';
import type { Delivery, DeliveryGateway } from './delivery.ts';
import type { UdpFlow, UdpFlowOwner } from './flow.ts';
import type { UdpServices } from './services.ts';
import type { Undecided } from './undecided.ts';
import type { UseOrder } from './use-order.ts';

export interface UdpGateway extends DeliveryGateway {
  isLocal(address: IpAddress): boolean;
  isOutside(address: IpAddress): boolean;
  /** See IcmpErrors. */
  readonly icmp: {
    unreachable(packet: InboundPacket, code: number): void;
    relay(packet: InboundPacket, type: number, code: number, mtu: number, from: IpAddress | null): void;
  };
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

export class UdpCounters {
  datagramsIn = 0;
  datagramsOut = 0;
  opened = 0;
  /** Conversations that clients of forwarded ports began. */
  openedFromHost = 0;
  timedOut = 0;
  /** The guest answered with port unreachable. */
  closedByGuest = 0;
  evicted = 0;
  blocked = 0;
  toServices = 0;
  refused = 0;
  unreachable = 0;
  /** A router reported that a datagram's hops were used up, or its fragments did not arrive in time. */
  expired = 0;
  /** The socket's address or network is the host's no more; the guest's next datagram opens another. */
  stale = 0;
  dropMalformed = 0;
  dropPort = 0;
  dropHostBusy = 0;
  dropHostError = 0;
  /** Larger than the path's MTU, as the host or a router found. */
  dropTooLarge = 0;
  /** Would have opened too many conversations at once. */
  dropFlood = 0;
  dropNoRoom = 0;
  /** From clients of a forwarded port whose guest is not there. */
  dropNobody = 0;
  hostExhausted = 0;
}

export interface UdpContext extends UdpFlowOwner {
  readonly arena: Arena;
  readonly gateway: UdpGateway;
  readonly timers: TimerWheel;
  readonly random: Random;
  readonly host: HostNetwork;
  readonly policy: FlowPolicy;
  readonly counters: UdpCounters;
  readonly services: UdpServices;
  readonly delivery: Delivery;
  readonly table: FlowTable<UdpFlow>;
  readonly order: UseOrder;
  readonly chain: BatchChain;
  /** Conversations that wait for the gate. */
  readonly undecided: Undecided;
  readonly spans: Spans;
  readonly report: DatagramReport;
  /** Where datagrams of the host are received, and their lengths. */
  readonly receive: number;
  readonly lengths: Int32Array;
  /** Conversations that may still be opened in this batch. */
  openings: number;
  /** The flow's answers wait until its port has room. */
  block(flow: UdpFlow): void;
  remove(flow: UdpFlow): void;
}
