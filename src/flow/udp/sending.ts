/** Guest → host: what a batch brought for a flow leaves in one call. */
import { Spans } from '../../host/endpoint.ts';
import { EAGAIN, ECONNREFUSED, EMSGSIZE, ENOBUFS } from '../../host/errno.ts';
import type { UdpContext } from './context.ts';
import type { UdpFlow } from './flow.ts';
import { tellGuest } from './host-errors.ts';
import { touch } from './lifetime.ts';

/** Sends in a row that a host may refuse before the rest of a batch is given up. */
const REFUSALS = 3;

/** Sends the flow's run. */
export function sendChain(ctx: UdpContext, flow: UdpFlow): void {
  const { chain, spans } = ctx;
  let entry = flow.chainHead;
  flow.chainHead = flow.chainTail = -1;
  if (flow.removed) return;
  while (entry >= 0) {
    spans.count = 0;
    for (; entry >= 0 && spans.count < Spans.LIMIT; entry = chain.next[entry]!) spans.add(chain.offset[entry]!, chain.length[entry]!);
    flow.sent += spans.count;
    send(ctx, flow);
  }
  touch(ctx, flow);
}

/** A send that takes only some of the datagrams has met an error; the next one says which, unless it was about an earlier datagram. */
function send(ctx: UdpContext, flow: UdpFlow): void {
  const { spans } = ctx;
  let refusals = 0;
  let told = false;
  while (spans.count > 0) {
    const sent = flow.endpoint.send(spans);
    if (sent > 0) {
      skip(spans, sent);
      refusals = 0;
    } else if (sent === -ECONNREFUSED && refusals++ < REFUSALS) {
      // About an earlier datagram; reporting it clears it, and this one may still go.
      if (!told) tellGuest(ctx, ctx.delivery.quote(flow), ECONNREFUSED);
      told = true;
    } else if (sent === -EMSGSIZE) {
      ctx.counters.dropTooLarge++;
      skip(spans, 1);
    } else {
      giveUp(ctx, flow, -sent);
    }
  }
}

/** What is left of the batch is dropped. */
function giveUp(ctx: UdpContext, flow: UdpFlow, errno: number): void {
  const { count } = ctx.spans;
  ctx.spans.count = 0;
  if (errno === 0 || errno === EAGAIN || errno === ENOBUFS) ctx.counters.dropHostBusy += count;
  else if (errno === ECONNREFUSED) ctx.counters.dropHostError += count;
  else tellGuest(ctx, ctx.delivery.quote(flow), errno);
}

/** The first `count` are done with. */
function skip(spans: Spans, count: number): void {
  spans.offset.copyWithin(0, count, spans.count);
  spans.length.copyWithin(0, count, spans.count);
  spans.count -= count;
}
