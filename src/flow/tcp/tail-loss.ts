/**
 * Losses that nothing follows (RFC 8985 §7): the end of a reply got lost, so no duplicate ACK tells of it, and the
 * retransmission timeout is long. Two round trips after the last ACK the last segment goes out once more: the guest's answer
 * either covers everything or reports, by SACK, what is missing in front of it.
 *
 * Only on a link that has lost something before (guest-link.ts): elsewhere a late ACK means a VM that does not run,
 * or hundreds of downloads in front of it. And once until something new is acknowledged. Where the guest has reported holes already, but too few
 * segments behind them to be sure, time has shown by now that they are lost. In recovery, where RFC 8985 §7.2 would wait for
 * the timeout, the oldest repair goes out once more: with a hole open no ACK is put off (RFC 5681 §4.2).
 */
import { enterRecovery } from './congestion.ts';
import type { TcpContext } from './context.ts';
import { State, type TcpFlow } from './flow.ts';
import { rackOf } from './rack.ts';
import { sendTail } from './transmit.ts';

/** Milliseconds that are waited at least: two ticks of the timer wheel, and what a busy host may be late. */
const SHORTEST = 10;
/** A guest may put off the ACK of a single segment: Linux by 40 ms. */
const DELAYED_ACK = 50;

/** Milliseconds until a probe makes sense; 0 when it makes none, or the retransmission timeout comes first. */
export function tailTimeout(flow: TcpFlow): number {
  if (!flow.sack || !flow.link.lossy || flow.tailProbed || flow.state < State.ESTABLISHED || flow.rtt.smoothed === 0) return 0;
  // Behind a timeout everything is sent again anyway.
  if (flow.sndNxt !== flow.sndMax) return 0;
  const roundTrip = Math.max(flow.rtt.smoothed, flow.link.roundTrip);
  const delay = Math.max(2 * roundTrip, SHORTEST) + (flow.flight <= flow.mss ? DELAYED_ACK : 0);
  return delay < flow.rtt.timeout ? delay : 0;
}

export function probeTail(ctx: TcpContext, flow: TcpFlow): void {
  if (flow.blocked || flow.flight === 0) return;
  flow.tailProbed = true;
  flow.rtt.timing = false;
  const { sndMax, scoreboard } = flow;
  if (flow.recovering && flow.rack !== null && flow.rack.again.count > 0) {
    flow.rack.again.doubt(flow.mss);
    return ctx.ready(flow);
  }
  if (scoreboard.count > 0 && !flow.recovering) {
    flow.lostEdge = scoreboard.highest;
    enterRecovery(ctx, flow);
    return ctx.ready(flow);
  }
  const rack = rackOf(ctx, flow, 2 * flow.rtt.smoothed);
  if (!sendTail(ctx, flow)) return;
  if (rack.again.count === 0) flow.rexmitNxt = flow.sndUna;
  rack.again.push((sndMax - 1) | 0, sndMax, ctx.timers.now);
  ctx.counters.tailProbes++;
}
