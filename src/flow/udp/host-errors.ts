/**
 * What guests are told when the host or its network refuses their datagrams.
 *
 *     send or open fails: errno ──────────────────────────────► ICMP as a host or router would send it
 *     EPOLLERR ─► error queue: ICMP of a router or peer ──────► the same message about the guest's own datagram
 *
 * The queue is read when the endpoint says that there is something, and when a send or receive fails: the failure may be what
 * the queue explains, about an earlier datagram.
 *
 * Datagrams leave as the kernel sends them by default (IP_PMTUDISC_WANT): with DF up to the path's known MTU, fragmented by
 * the host beyond. Nothing has to be set for that, and it suits a guest that allows fragments. A guest that sends a datagram
 * of more than 1260 bytes with DF wants to be told instead (RFC 1191, RFC 8899 would measure wrongly otherwise): the socket
 * is switched to IP_PMTUDISC_DO, and back when one without DF comes; small datagrams don't switch. Hops count from the guest:
 * the gateway takes none off, and a TTL below the host's default is set on the socket, so that traceroute works.
 */
import * as icmp from '../../packet/icmpv4.ts';
import * as icmpv6 from '../../packet/icmpv6.ts';
import { IpAddress } from '../../packet/address.ts';
import type { InboundPacket } from '../../gateway/packet.ts';
import type { DatagramReport } from '../../host/endpoint.ts';
import {
  EACCES,
  EADDRNOTAVAIL,
  EAGAIN,
  ECONNREFUSED,
  EHOSTUNREACH,
  EINVAL,
  EMSGSIZE,
  ENETDOWN,
  ENETUNREACH,
  ENOBUFS,
  ENOMEM,
  EPERM,
} from '../../host/errno.ts';
import { IPV6 } from '../family.ts';
import type { UdpContext } from './context.ts';
import type { UdpFlow } from './flow.ts';

/** Reports read at a time. */
const REPORTS = 16;

/** What `takeReports` found, as bits. */
export const NONE = 0;
/** The network has reported about earlier datagrams. */
export const NETWORK = 1;
/** The host has refused a datagram that is larger than the path's MTU: `flow.pathMtu`. */
export const TOO_LARGE = 2;

/** Tells the guest why its datagram went nowhere. False when it is the host's own trouble, which is only counted. */
export function tellGuest(ctx: UdpContext, packet: InboundPacket, errno: number): boolean {
  const { counters } = ctx;
  const { icmp: errors } = ctx.gateway;
  if (errno === ECONNREFUSED) {
    counters.refused++;
    errors.unreachable(packet, icmp.CODE_PORT);
  } else if (errno === ENETUNREACH || errno === ENETDOWN || errno === EHOSTUNREACH) {
    counters.unreachable++;
    errors.unreachable(packet, errno === EHOSTUNREACH ? icmp.CODE_HOST : icmp.CODE_NET);
  } else if (errno === EACCES || errno === EPERM) {
    counters.unreachable++;
    errors.unreachable(packet, icmp.CODE_PROHIBITED);
  } else {
    if (isBusy(errno)) counters.dropHostBusy++;
    else counters.dropHostError++;
    return false;
  }
  return true;
}

/** The host has no room at the moment. */
export function isBusy(errno: number): boolean {
  return errno === EAGAIN || errno === ENOBUFS || errno === ENOMEM;
}

/** The host's network is not what it was when the socket was connected: another socket may do. */
export function isStale(errno: number): boolean {
  return errno === EINVAL || errno === EADDRNOTAVAIL || errno === ENETDOWN || errno === ENETUNREACH;
}

/** Reads what was reported about the flow's datagrams, and tells the guest what the network said. */
export function takeReports(ctx: UdpContext, flow: UdpFlow): number {
  const { delivery, report } = ctx;
  let found = NONE;
  flow.troubled = false;
  for (let i = 0; i < REPORTS; i++) {
    if (!flow.endpoint.nextReport(report, delivery.quoteAt, delivery.quoteSize)) return found;
    if (report.errno === EMSGSIZE && report.mtu > 0) flow.examined = Math.min(flow.examined, report.mtu - flow.family.header);
    if (report.type >= 0) {
      found |= NETWORK;
      relay(ctx, flow, report);
    } else if (report.errno === EMSGSIZE) {
      found |= TOO_LARGE;
      flow.pathMtu = report.mtu;
    }
  }
  flow.troubled = true;
  ctx.ready(flow);
  return found;
}

function relay(ctx: UdpContext, flow: UdpFlow, report: DatagramReport): void {
  const { counters } = ctx;
  const { type, code } = report;
  const meaning = flow.family === IPV6 ? meaningOf6(type, code) : meaningOf4(type, code);
  counters[meaning]++;
  // A guest that allows fragments has not asked; the host fragments what comes next.
  if (meaning === 'dropHostError' || (meaning === 'dropTooLarge' && !flow.df)) return;
  const packet = ctx.delivery.quote(flow, report.length);
  ctx.gateway.icmp.relay(packet, type, code, report.mtu, reporter(ctx, flow, report.offender));
}

/** By which counter a message of ICMP counts; those that count as errors of the host are told to nobody. */
type Meaning = 'dropTooLarge' | 'refused' | 'unreachable' | 'expired' | 'dropHostError';

function meaningOf4(type: number, code: number): Meaning {
  if (type === icmp.TIME_EXCEEDED) return 'expired';
  if (type !== icmp.UNREACHABLE) return 'dropHostError';
  if (code === icmp.CODE_FRAGMENTATION_NEEDED) return 'dropTooLarge';
  return code === icmp.CODE_PORT ? 'refused' : 'unreachable';
}

function meaningOf6(type: number, code: number): Meaning {
  if (type === icmpv6.TIME_EXCEEDED) return 'expired';
  if (type === icmpv6.PACKET_TOO_BIG) return 'dropTooLarge';
  if (type !== icmpv6.UNREACHABLE) return 'dropHostError';
  return code === icmpv6.CODE_PORT ? 'refused' : 'unreachable';
}

/** The address that the guest sees a report come from; null for the gateway's. */
function reporter(ctx: UdpContext, flow: UdpFlow, offender: IpAddress | null): IpAddress | null {
  if (offender === null) return null;
  const remote = new IpAddress(flow.remote0, flow.remote1, flow.remote2, flow.remote3);
  // The peer itself, by the name the guest knows.
  if (offender.equals(ctx.policy.translate(remote))) return remote;
  return ctx.gateway.isOutside(offender) ? offender : null;
}
