/** How a conversation begins, and who makes room for it. */
import { IpAddress } from '../../packet/address.ts';
import * as icmp from '../../packet/icmpv4.ts';
import * as ipv4 from '../../packet/ipv4.ts';
import * as udp from '../../packet/udp.ts';
import type { Neighbour } from '../../gateway/neighbour.ts';
import type { InboundPacket } from '../../gateway/packet.ts';
import type { DatagramEndpoint } from '../../host/endpoint.ts';
import { EMFILE, ENFILE } from '../../host/errno.ts';
import type { Port } from '../../link/port.ts';
import type { Decision } from '../gate.ts';
import type { UdpContext } from './context.ts';
import { UdpFlow } from './flow.ts';
import { tellGuest } from './host-errors.ts';
import { adopt } from './lifetime.ts';
import { forbidsFragments, sendChain } from './sending.ts';
import { isUnconfigured } from './services.ts';

/** A guest that opens thousands of conversations at once must not hold up the others: what is beyond is dropped. */
export const OPENINGS = 128;

/** The first datagram of a conversation, with `length` payload bytes. Null when it was dealt with otherwise, or refused. */
export function openFromGuest(
  ctx: UdpContext,
  packet: InboundPacket,
  guestPort: number,
  remotePort: number,
  length: number,
  decided: Decision | null = null,
): UdpFlow | null {
  const { gateway, policy, counters } = ctx;
  const { destination0, destination1, destination2, destination3 } = packet;
  const destination = new IpAddress(destination0, destination1, destination2, destination3);
  const local = gateway.isLocal(destination);
  if (ctx.services.deliver(packet, local, packet.payload + udp.HEADER, length)) {
    counters.toServices++;
    return null;
  }
  const { gate } = policy;
  if (isUnconfigured(packet) || (gate === null && decided === null && policy.blocked(destination))) {
    counters.blocked++;
    return null;
  }
  if (ctx.openings <= 0 && decided === null) {
    counters.dropFlood++;
    return null;
  }
  let decision: Decision | null = decided;
  if (gate !== null && decision === null) {
    ctx.openings--;
    decision = ctx.undecided.ask(gate, packet, guestPort, remotePort, ctx.receive);
    if (decision === null) return null;
  }
  if (decision !== null && isTurnedAway(ctx, packet, destination, decision)) return null;
  const target = policy.translate(destination);
  const isAllowed = decision === null || decision.kind === 'allow';
  if (isAllowed && (gateway.isLocal(target) || policy.isRoundabout(ipv4.PROTOCOL_UDP, target, remotePort))) {
    counters.refused++;
    gateway.icmp.unreachable(packet, icmp.CODE_PORT);
    return null;
  }
  if (decision === null) ctx.openings--;
  const flow = new UdpFlow(ctx, packet.neighbour, guestPort, destination, remotePort);
  const endpoint = openHostSide(ctx, flow, decision, target);
  if (typeof endpoint === 'number') {
    tellGuest(ctx, packet, -endpoint);
    return null;
  }
  flow.endpoint = endpoint;
  flow.df = forbidsFragments(packet);
  // Only now: a destination that can't be dialled costs nobody his conversation.
  makeRoom(ctx, flow.vm);
  adopt(ctx, flow);
  counters.opened++;
  return flow;
}

/** The gate has refused it, or let it go where nobody may; the guest is told, or not, as without a gate. */
function isTurnedAway(ctx: UdpContext, packet: InboundPacket, destination: IpAddress, { kind }: Decision): boolean {
  const { counters, gateway, policy } = ctx;
  if (kind === 'allow' && policy.blocked(destination)) {
    counters.blocked++;
    return true;
  }
  if (kind !== 'deny' && kind !== 'stream') return false;
  counters.refused++;
  gateway.icmp.unreachable(packet, icmp.CODE_PROHIBITED);
  return true;
}

function openHostSide(ctx: UdpContext, flow: UdpFlow, decision: Decision | null, target: IpAddress): DatagramEndpoint | number {
  if (decision?.kind === 'redirect') return dial(ctx, decision.address, decision.port, flow.guestPort, flow);
  if (decision?.kind !== 'datagrams') return dial(ctx, target, flow.remotePort, flow.guestPort, flow);
  const endpoint = decision.open();
  endpoint.handler = flow;
  return endpoint;
}

/** A host without descriptors gets one back from a conversation. */
function dial(ctx: UdpContext, address: IpAddress, port: number, localPort: number, flow: UdpFlow): DatagramEndpoint | number {
  const endpoint = ctx.host.openDatagram(address, port, localPort, flow);
  if (endpoint !== -EMFILE && endpoint !== -ENFILE) return endpoint;
  ctx.counters.hostExhausted++;
  if (!evict(ctx, flow.vm)) return endpoint;
  return ctx.host.openDatagram(address, port, localPort, flow);
}

/** A conversation more for this VM. */
export function makeRoom(ctx: UdpContext, vm: Port): void {
  if (!ctx.table.shares.allows(vm)) evict(ctx, vm);
}

/** One conversation makes room for another of this VM. */
function evict(ctx: UdpContext, vm: Port): boolean {
  const leaving = ctx.order.first(ctx.table.shares.donor(vm));
  if (leaving === undefined) return false;
  ctx.counters.evicted++;
  if (leaving.chainHead >= 0) sendChain(ctx, leaving);
  ctx.remove(leaving);
  return true;
}

/** Contract §9.3: ports of the gateway that conversations of its own come from. */
const EPHEMERAL = 16_000;
/** Most ports looked at for a free one: of 49,536 the engine's flows can take a third. */
const EPHEMERAL_TRIES = 1024;

/**
 * A conversation for a host side that is there already: the guest sees it come from `remote`; `remotePort` 0 picks a free one. Null
 * when one with these addresses exists, or the guest has gone.
 */
export function openFromHost(
  ctx: UdpContext,
  neighbour: Neighbour,
  guestPort: number,
  remote: IpAddress,
  remotePort: number,
  endpoint: DatagramEndpoint,
): UdpFlow | null {
  if (neighbour.port === null) return null;
  const port = remotePort || freePort(ctx, neighbour, guestPort, remote);
  if (port === 0 || isTaken(ctx, neighbour, guestPort, remote, port)) return null;
  makeRoom(ctx, neighbour.port);
  const flow = new UdpFlow(ctx, neighbour, guestPort, remote, port);
  flow.fromHost = true;
  flow.endpoint = endpoint;
  endpoint.handler = flow;
  adopt(ctx, flow);
  return flow;
}

function freePort(ctx: UdpContext, neighbour: Neighbour, guestPort: number, remote: IpAddress): number {
  const span = 65_536 - EPHEMERAL;
  const start = ctx.random.word() >>> 0;
  for (let tries = 0; tries < EPHEMERAL_TRIES; tries++) {
    const port = EPHEMERAL + ((start + tries) % span);
    if (!isTaken(ctx, neighbour, guestPort, remote, port)) return port;
  }
  return 0;
}

function isTaken(ctx: UdpContext, { w0, w1, w2, w3 }: Neighbour, guestPort: number, remote: IpAddress, port: number): boolean {
  return ctx.table.find(w0, w1, w2, w3, guestPort, remote.w0, remote.w1, remote.w2, remote.w3, port) !== null;
}
