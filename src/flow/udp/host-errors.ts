/** What guests are told when the host or its network refuses their datagrams. */
import * as icmp from '../../packet/icmpv4.ts';
import type { InboundPacket } from '../../gateway/packet.ts';
import { EACCES, EAGAIN, ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, ENOBUFS, EPERM } from '../../host/errno.ts';
import type { UdpContext } from './context.ts';

/** Tells the guest why its datagram went nowhere. False when it is the host's own trouble, which is only counted. */
export function tellGuest(ctx: UdpContext, packet: InboundPacket, errno: number): boolean {
  const { counters } = ctx;
  const { icmp: errors } = ctx.gateway;
  if (errno === ECONNREFUSED) {
    counters.refused++;
    errors.unreachable(packet, icmp.CODE_PORT);
  } else if (errno === ENETUNREACH || errno === EHOSTUNREACH) {
    counters.unreachable++;
    errors.unreachable(packet, errno === ENETUNREACH ? icmp.CODE_NET : icmp.CODE_HOST);
  } else if (errno === EACCES || errno === EPERM) {
    counters.unreachable++;
    errors.unreachable(packet, icmp.CODE_PROHIBITED);
  } else {
    if (errno === EAGAIN || errno === ENOBUFS) counters.dropHostBusy++;
    else counters.dropHostError++;
    return false;
  }
  return true;
}
