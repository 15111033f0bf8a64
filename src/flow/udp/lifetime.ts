/** How long a conversation may be quiet, by what it looks like: seconds for a question and its answer, minutes for talk. */
import type { UdpContext } from './context.ts';
import type { UdpFlow } from './flow.ts';
import { TALK } from './use-order.ts';

/** Milliseconds of silence: after the answer of a resolver, of a one-shot exchange, of one-way traffic, of talk (RFC 4787 REQ-5). */
const TIMEOUT_ANSWERED_DNS = 2000;
const TIMEOUT_ONE_SHOT = 10_000;
const TIMEOUT_ONE_WAY = 30_000;
const TIMEOUT_TALK = 120_000;
const DNS = 53;

/** The conversation begins. */
export function adopt(ctx: UdpContext, flow: UdpFlow): void {
  ctx.table.add(flow);
  ctx.order.touch(flow, ctx.timers.now);
  ctx.timers.arm(flow.timer, TIMEOUT_ONE_SHOT);
}

/** The conversation lives. */
export function touch(ctx: UdpContext, flow: UdpFlow): void {
  const { timers } = ctx;
  timers.arm(flow.timer, timeout(flow));
  ctx.order.touch(flow, timers.now);
}

function timeout(flow: UdpFlow): number {
  if (flow.remotePort === DNS && flow.received > 0 && flow.received >= flow.sent) return TIMEOUT_ANSWERED_DNS;
  if (flow.sent <= 1 && flow.received <= 1) return TIMEOUT_ONE_SHOT;
  return flow.received >= TALK ? TIMEOUT_TALK : TIMEOUT_ONE_WAY;
}
