/** Guest → host: what a batch brought for a flow leaves in one call. */
import * as icmp from '../../packet/icmpv4.ts';
import * as icmpv6 from '../../packet/icmpv6.ts';
import * as ipv4 from '../../packet/ipv4.ts';
import type { InboundPacket } from '../../gateway/packet.ts';
import { DEFAULT_HOPS, Spans } from '../../host/endpoint.ts';
import { EAGAIN, ECONNREFUSED, EMSGSIZE } from '../../host/errno.ts';
import { IPV6 } from '../family.ts';
import type { UdpContext } from './context.ts';
import type { UdpFlow } from './flow.ts';
import { isBusy, isStale, NETWORK, NONE, takeReports, tellGuest, TOO_LARGE } from './host-errors.ts';
import { touch } from './lifetime.ts';

/** Sends in a row that a host may refuse before the rest of a batch is given up. */
const REFUSALS = 3;

/** Whether the guest forbids fragmenting: by DF, and with IPv6 by not doing it itself. What was put together from fragments allows it. */
export function forbidsFragments(packet: InboundPacket): boolean {
  if (packet.version === 6) return !packet.reassembled;
  return (ipv4.fragment(packet.bytes, packet.header) & ipv4.FLAG_DF) !== 0;
}

/** RFC 1122 §3.2.1.7: a datagram is not dropped for having come with no hops left, and none leaves with none. */
export function hopsOf(packet: InboundPacket): number {
  return Math.min(packet.ttl || 1, DEFAULT_HOPS);
}

/** The guest's wishes for this datagram of `length` bytes differ from those for the ones before. */
export function follow(ctx: UdpContext, flow: UdpFlow, packet: InboundPacket, length: number): void {
  if (flow.chainHead >= 0) sendChain(ctx, flow);
  const hops = hopsOf(packet);
  if (hops !== flow.hops) {
    flow.hops = hops;
    flow.endpoint.limitHops(hops);
  }
  if (length <= flow.examined) return;
  flow.df = forbidsFragments(packet);
  if (flow.df === flow.hostDf) return;
  flow.hostDf = flow.df;
  flow.endpoint.dontFragment(flow.df);
}

/** Sends the flow's run. */
export function sendChain(ctx: UdpContext, flow: UdpFlow): void {
  const { chain, spans } = ctx;
  let entry = flow.chainHead;
  flow.chainHead = flow.chainTail = -1;
  if (flow.removed) return;
  while (entry >= 0 && !flow.removed) {
    spans.count = 0;
    for (; entry >= 0 && spans.count < Spans.LIMIT; entry = chain.next[entry]!) spans.add(chain.offset[entry]!, chain.length[entry]!);
    flow.sent += spans.count;
    send(ctx, flow);
  }
  if (!flow.removed) touch(ctx, flow);
}

/** A send that takes only some of the datagrams has met an error; the next one says which, unless it was about an earlier datagram. */
function send(ctx: UdpContext, flow: UdpFlow): void {
  const { spans } = ctx;
  let refusals = 0;
  let told = false;
  let toldSize = false;
  while (spans.count > 0) {
    const sent = flow.endpoint.send(spans);
    if (sent > 0) {
      skip(spans, sent);
      refusals = 0;
      continue;
    }
    const found = sent === 0 || sent === -EAGAIN ? NONE : takeReports(ctx, flow);
    if (sent === -EMSGSIZE && (found & TOO_LARGE || found === NONE)) {
      ctx.counters.dropTooLarge++;
      if (found & TOO_LARGE && !toldSize) tellSize(ctx, flow);
      toldSize = true;
      skip(spans, 1);
    } else if (found & NETWORK && refusals++ < REFUSALS) {
      // About earlier datagrams, and the guest was told; this one may still go.
    } else if (sent === -ECONNREFUSED && refusals++ < REFUSALS) {
      // About an earlier datagram; reporting it clears it, and this one may still go.
      if (!told) tellGuest(ctx, ctx.delivery.quote(flow), ECONNREFUSED);
      told = true;
    } else {
      giveUp(ctx, flow, -sent);
    }
  }
}

/** RFC 1191 §4, RFC 4443 §3.2: the first datagram of the run is larger than the path's MTU, and its guest forbids fragments. */
function tellSize(ctx: UdpContext, flow: UdpFlow): void {
  const { spans } = ctx;
  const packet = ctx.delivery.quoteWhole(flow, spans.offset[0]!, spans.length[0]!);
  const [type, code] = flow.family === IPV6 ? [icmpv6.PACKET_TOO_BIG, 0] : [icmp.UNREACHABLE, icmp.CODE_FRAGMENTATION_NEEDED];
  ctx.gateway.icmp.relay(packet, type, code, flow.pathMtu, null);
}

/** What is left of the batch is dropped. */
function giveUp(ctx: UdpContext, flow: UdpFlow, errno: number): void {
  const { count } = ctx.spans;
  ctx.spans.count = 0;
  if (errno === 0 || isBusy(errno)) ctx.counters.dropHostBusy += count;
  else if (errno === ECONNREFUSED) ctx.counters.dropHostError += count;
  else tellGuest(ctx, ctx.delivery.quote(flow), errno);
  if (!isStale(errno)) return;
  ctx.counters.stale++;
  ctx.remove(flow);
}

/** The first `count` are done with. */
function skip(spans: Spans, count: number): void {
  spans.offset.copyWithin(0, count, spans.count);
  spans.length.copyWithin(0, count, spans.count);
  spans.count -= count;
}
