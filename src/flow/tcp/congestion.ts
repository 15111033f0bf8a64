/** Congestion control towards the guest: slow start and avoidance (RFC 5681), loss recovery entry and exit (RFC 6675, RFC 6582). */
import type { TcpContext } from './context.ts';
import type { TcpFlow } from './flow.ts';
import { rackOf } from './rack.ts';
import { rememberReduction, rememberTimeout } from './undo.ts';

/** RFC 6928: the initial window. */
const INITIAL_SEGMENTS = 10;
/** RFC 5681 §3.2: duplicates that mean a loss. */
export const DUPLICATE_THRESHOLD = 3;
/**
 * What a loss leaves of the window: RFC 9438 §4.6. It would have the window grow more slowly too, in fairness to connections that
 * halve theirs (§4.3): but all that share this link are ours.
 */
const BETA = 0.7;
/** Beyond any window a guest can offer with scale 14 the number has no meaning; it must stay an exact integer. */
const LIMIT = 1 << 30;

export function startCongestion(flow: TcpFlow): void {
  flow.cwnd = INITIAL_SEGMENTS * flow.mss;
  flow.ssthresh = LIMIT;
  flow.recover = flow.sndUna;
}

/** `acknowledged` new bytes, outside recovery. RFC 5681 §3.1; growth stops when the window is not what holds us back (RFC 7661). */
export function grow(flow: TcpFlow, acknowledged: number): void {
  if (flow.flight + acknowledged < flow.cwnd >>> 1) return;
  if (flow.cwnd < flow.ssthresh) flow.cwnd += acknowledged;
  else flow.cwnd += Math.max(1, Math.floor((flow.mss * acknowledged) / flow.cwnd));
  if (flow.cwnd > LIMIT) flow.cwnd = LIMIT;
}

/** RFC 5681 §3.2 step 2: what was in flight when the loss was seen, less; remembered in case that nothing was lost. */
function reduce(flow: TcpFlow): void {
  const { rack } = flow;
  rememberReduction(flow);
  if (rack !== null) {
    if (rack.persist > 0) rack.persist--;
    else rack.quarters = 1;
  }
  flow.ssthresh = Math.max(Math.floor(BETA * Math.min(flow.cwnd, (flow.sndMax - flow.sndUna) | 0)), 2 * flow.mss);
}

/** A loss was seen: reduce and repair (RFC 6675 §5, RFC 5681 §3.2). */
export function enterRecovery(ctx: TcpContext, flow: TcpFlow): void {
  // RFC 6582 §3.2 step 1: duplicates of data sent before the last timeout or recovery say nothing new.
  if (flow.recovering || (!flow.sack && ((flow.sndUna - flow.recover) | 0) < 0)) return;
  if (flow.sack) flow.link.lossy = true;
  flow.recovering = true;
  flow.growing = false;
  flow.recover = flow.sndMax;
  reduce(flow);
  flow.cwnd = flow.sack ? flow.ssthresh : flow.ssthresh + DUPLICATE_THRESHOLD * flow.mss;
  // The last recovery may have repaired beyond its end.
  if (flow.rack === null || flow.rack.again.count === 0) flow.rexmitNxt = flow.sndUna;
  flow.tailProbed = false;
  flow.rtt.timing = false;
  ctx.counters.fastRecoveries++;
}

export function leaveRecovery(flow: TcpFlow): void {
  flow.recovering = false;
  if (!flow.sack) flow.cwnd = flow.ssthresh;
}

/** RFC 5681 §3.1 equation 4 and §3.1 last paragraph: after a timeout one segment, and everything counts as lost. */
export function collapse(ctx: TcpContext, flow: TcpFlow): void {
  // Once until it is repaired (RFC 5681 §3.1, RFC 6582 §4).
  if (!flow.recovering && flow.attempts <= 1) reduce(flow);
  rememberTimeout(flow);
  flow.cwnd = flow.mss;
  flow.recover = flow.sndMax;
  flow.duplicateAcks = 0;
  flow.tailProbed = false;
  const { sndUna, sndMax } = flow;
  // Behind a window that has shrunk nothing may be repaired, and behind a full port nothing can be.
  if (!flow.sack || flow.blocked || flow.sndWnd < ((sndMax - sndUna) | 0)) return startOver(flow);
  // Of one segment there is nothing to tell apart: ten thousand FINs that wait for a slow guest need no state each.
  if (flow.rack === null && flow.flight <= flow.mss) return startOver(flow);
  const rack = rackOf(ctx, flow, 0);
  // RFC 2018 §8: it may have taken that back.
  if (flow.attempts > 1) flow.scoreboard.clear();
  // What the guest has reported it most probably has (RFC 6675 §5.1).
  flow.recovering = true;
  flow.growing = true;
  flow.rexmitNxt = sndUna;
  flow.lostEdge = sndMax;
  flow.sndNxt = sndMax;
  rack.again.clear();
  rack.times.forget(sndMax);
}

/** Sends everything in flight again, from the beginning. RFC 2018 §8: nothing but the cumulative ACK is certain. */
export function startOver(flow: TcpFlow): void {
  flow.recovering = false;
  flow.scoreboard.clear();
  flow.rack?.again.clear();
  flow.rtt.timing = false;
  flow.sndNxt = flow.sndUna;
}

/** RFC 6675 §4 SetPipe. Bytes believed to be on the wire. */
export function pipe(flow: TcpFlow): number {
  const { scoreboard, rack, sndUna } = flow;
  if (rack === null) return flow.flight;
  let lost = rack.again.count > 0 ? rack.again.bytesBefore(rack.lostBefore, sndUna, scoreboard) : 0;
  let at = scoreboard.holeStart(((flow.rexmitNxt - sndUna) | 0) > 0 ? flow.rexmitNxt : sndUna);
  while (((flow.lostEdge - at) | 0) > 0) {
    const end = scoreboard.holeEnd(at, flow.lostEdge);
    const until = ((end - flow.lostEdge) | 0) < 0 ? end : flow.lostEdge;
    lost += (until - at) | 0;
    at = scoreboard.holeStart(until);
  }
  return flow.flight - scoreboard.sacked - lost;
}
