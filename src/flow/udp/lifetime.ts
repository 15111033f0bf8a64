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
/** A timer that is later than this was not: the process was stopped, or the machine asleep. */
const LATE = 5000;
/** What a conversation then gets, so that what came meanwhile still arrives. */
const GRACE = 2000;

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

/**
 * The conversation's time is over, but nobody was there to hear whether it lived: it gets a moment for what waits in its socket
 * and for what the guest sends as it wakes up.
 */
export function sleptThrough(ctx: UdpContext, flow: UdpFlow): boolean {
  const { order, timers } = ctx;
  // The order of use is kept to the second.
  if (timers.now - flow.ordered < timeout(flow) + LATE) return false;
  order.touch(flow, timers.now);
  timers.arm(flow.timer, GRACE);
  return true;
}

function timeout(flow: UdpFlow): number {
  if (flow.lifetime > 0) return flow.lifetime;
  if (flow.remotePort === DNS && flow.received > 0 && flow.received >= flow.sent) return TIMEOUT_ANSWERED_DNS;
  if (flow.sent <= 1 && flow.received <= 1) return TIMEOUT_ONE_SHOT;
  return flow.received >= TALK ? TIMEOUT_TALK : TIMEOUT_ONE_WAY;
}
