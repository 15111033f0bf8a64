/**
 * The one timer of a flow and what it stands for at the moment.
 *
 *     CONNECT      the host takes too long to connect
 *     RETRANSMIT   something in flight (SYN, data, FIN) was not acknowledged in time (RFC 6298)
 *     TAIL         the same, but early: has the end of what is in flight got lost? (tail-loss.ts)
 *     PERSIST      the guest's window is closed and nothing is in flight: ask whether it has opened (RFC 9293 §3.8.6.1)
 *     KEEP_ALIVE   all quiet: is the guest still there? (RFC 9293 §3.8.4)
 *     TIME_WAIT    both directions are closed: the quiet time
 */
import type { TcpContext } from './context.ts';
import { abort, guestDone } from './close.ts';
import { collapse } from './congestion.ts';
import { State, type TcpFlow } from './flow.ts';
import { sendProbe, sendSyn } from './output.ts';
import { detectLosses } from './rack.ts';
import { probeTail, tailTimeout } from './tail-loss.ts';
import { windowBlocked } from './transmit.ts';

const NONE = 0;
const CONNECT = 1;
const RETRANSMIT = 2;
const PERSIST = 3;
const KEEP_ALIVE = 4;
const TIME_WAIT = 5;
const TAIL = 6;

/** Retransmissions of a SYN, then of data (RFC 9293 §3.8.3, R2), before the guest counts as gone. */
const SYN_ATTEMPTS = 5;
const DATA_ATTEMPTS = 12;
/** Window probes are answered by a live guest however long its window stays closed; these many unanswered ones end the flow. */
const PROBE_ATTEMPTS = 12;
const PROBE_INTERVAL_MAX = 10_000;
/** Milliseconds of silence before the first keep-alive, between them, and how many unanswered ones end the flow. */
const KEEP_ALIVE_IDLE = 120_000;
const KEEP_ALIVE_INTERVAL = 15_000;
const KEEP_ALIVE_ATTEMPTS = 6;
/** Times KEEP_ALIVE_IDLE that a host may take nothing of what a guest left behind: of one that is attached, and of one that is not. */
const DONE_ATTEMPTS = 720;
const GONE_ATTEMPTS = 1;
/** 2 MSL on a link without routers, where no segment lives for seconds (RFC 9293 §3.4.1 lets MSL be an engineering choice). */
const QUIET_TIME = 10_000;

function arm(ctx: TcpContext, flow: TcpFlow, kind: number, delay: number): void {
  flow.timerKind = kind;
  ctx.timers.arm(flow.timer, delay);
}

export function armConnect(ctx: TcpContext, flow: TcpFlow): void {
  arm(ctx, flow, CONNECT, ctx.limits.connectTimeout);
}

export function armRetransmission(ctx: TcpContext, flow: TcpFlow): void {
  arm(ctx, flow, RETRANSMIT, flow.rtt.timeout);
}

export function armTimeWait(ctx: TcpContext, flow: TcpFlow): void {
  arm(ctx, flow, TIME_WAIT, QUIET_TIME);
}

/** After a flow was worked on: what must it be woken for? */
export function rearm(ctx: TcpContext, flow: TcpFlow): void {
  if (flow.flight > 0) {
    if (flow.restart || (flow.timerKind !== RETRANSMIT && flow.timerKind !== TAIL)) armForFlight(ctx, flow);
  } else if (windowBlocked(flow)) {
    if (flow.timerKind !== PERSIST) arm(ctx, flow, PERSIST, flow.rtt.timeout);
  } else if (flow.timerKind !== KEEP_ALIVE) {
    flow.attempts = 0;
    arm(ctx, flow, KEEP_ALIVE, KEEP_ALIVE_IDLE);
  }
  flow.restart = false;
}

function armForFlight(ctx: TcpContext, flow: TcpFlow): void {
  const reordered = flow.rack === null ? Infinity : Math.max(flow.rack.next - ctx.timers.now, 0);
  const delay = Math.min(tailTimeout(flow) || Infinity, reordered);
  if (delay < Infinity) arm(ctx, flow, TAIL, delay);
  else armRetransmission(ctx, flow);
}

/** The timer fired. */
export function expire(ctx: TcpContext, flow: TcpFlow): void {
  const kind = flow.timerKind;
  flow.timerKind = NONE;
  if (kind === TIME_WAIT) ctx.remove(flow);
  else if (kind === CONNECT) giveUp(ctx, flow);
  else if (kind === RETRANSMIT) retransmit(ctx, flow);
  else if (kind === TAIL) tail(ctx, flow);
  else if (kind === PERSIST) probeWindow(ctx, flow);
  else if (kind === KEEP_ALIVE) keepAlive(ctx, flow);
}

function retransmit(ctx: TcpContext, flow: TcpFlow): void {
  const opening = flow.state === State.SYN_SENT || flow.state === State.SYN_RECEIVED;
  // Nothing can reach a guest whose port is full: wait for it without counting the attempt.
  if (!flow.blocked) flow.attempts++;
  if (flow.attempts > (opening ? SYN_ATTEMPTS : DATA_ATTEMPTS)) return giveUp(ctx, flow);
  ctx.counters.timeouts++;
  flow.rtt.expire();
  if (opening) {
    if (sendSyn(ctx, flow)) ctx.counters.retransmitted++;
    else ctx.block(flow);
    return armRetransmission(ctx, flow);
  }
  collapse(ctx, flow);
  armRetransmission(ctx, flow);
  ctx.ready(flow);
}

/** Behind the probe the retransmission timer runs in full (RFC 8985 §7.3). */
function tail(ctx: TcpContext, flow: TcpFlow): void {
  armRetransmission(ctx, flow);
  const { rack } = flow;
  if (rack === null || rack.next === Infinity) return probeTail(ctx, flow);
  detectLosses(ctx, flow, rack);
  flow.restart = true;
  ctx.ready(flow);
}

function probeWindow(ctx: TcpContext, flow: TcpFlow): void {
  if (!windowBlocked(flow)) return ctx.ready(flow);
  if (flow.attempts >= PROBE_ATTEMPTS) return giveUp(ctx, flow);
  if (probe(ctx, flow)) ctx.counters.zeroWindowProbes++;
  flow.rtt.expire();
  arm(ctx, flow, PERSIST, Math.min(flow.rtt.timeout, PROBE_INTERVAL_MAX));
}

function keepAlive(ctx: TcpContext, flow: TcpFlow): void {
  flow.endpoint?.keepAlive();
  // It owes no answer any more; how long the host takes to take the rest is between the host and its kernel.
  if (guestDone(flow)) return awaitHost(ctx, flow);
  const silent = ctx.timers.now - flow.lastHeard;
  if (silent < KEEP_ALIVE_IDLE) {
    flow.attempts = 0;
    return arm(ctx, flow, KEEP_ALIVE, KEEP_ALIVE_IDLE - silent);
  }
  if (flow.attempts >= KEEP_ALIVE_ATTEMPTS) return giveUp(ctx, flow);
  if (probe(ctx, flow)) ctx.counters.keepAliveProbes++;
  arm(ctx, flow, KEEP_ALIVE, KEEP_ALIVE_INTERVAL);
}

/** The guest is done, and the host still has to take something: it may pause for a day, or for some minutes when the VM is gone. */
function awaitHost(ctx: TcpContext, flow: TcpFlow): void {
  flow.attempts = flow.tunedSeq === flow.hostNxt ? flow.attempts + 1 : 0;
  flow.tunedSeq = flow.hostNxt;
  if (flow.attempts > (flow.neighbour.port === null ? GONE_ATTEMPTS : DONE_ATTEMPTS)) return giveUp(ctx, flow);
  arm(ctx, flow, KEEP_ALIVE, KEEP_ALIVE_IDLE);
}

/** An attempt counts only when it left: a VM that is paused, its port full, is not a dead guest. */
function probe(ctx: TcpContext, flow: TcpFlow): boolean {
  if (!sendProbe(ctx, flow)) return false;
  flow.attempts++;
  return true;
}

function giveUp(ctx: TcpContext, flow: TcpFlow): void {
  ctx.counters.timedOut++;
  abort(ctx, flow);
}
