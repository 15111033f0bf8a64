/**
 * Reductions of the congestion window that turn out to be needless: the guest reports as doubled (D-SACK, RFC 2883) all that was
 * sent again, so nothing was lost but its acknowledgments, or it was late. Then the window is given back (RFC 3708, RFC 4015).
 */
import type { TcpContext } from './context.ts';
import type { TcpFlow } from './flow.ts';
import { noteReordering } from './rack.ts';

/** Before a reduction. */
export function rememberReduction(flow: TcpFlow): void {
  flow.undoWindow = flow.cwnd;
  flow.undoThreshold = flow.ssthresh;
  flow.undoBytes = 0;
  flow.undoFrom = flow.sndUna;
  flow.undoLast = (flow.sndUna - 1) | 0;
}

/**
 * Before everything in flight counts as lost. At a second timeout the answer to what was sent at the first may have been lost as well:
 * what is sent from now on is what tells. Of what a guest without SACK has got out of order nothing is known.
 */
export function rememberTimeout(flow: TcpFlow): void {
  flow.undoBytes = 0;
  flow.undoLast = (flow.undoFrom - 1) | 0;
  flow.timedOut = flow.sack && flow.scoreboard.count === 0 && (flow.attempts <= 1 || flow.timedOut);
}

/**
 * After a timeout: the guest acknowledges what was not sent again, so what was sent first has arrived (RFC 5682 §3). Not when it has all
 * of it: then the first segment may have been missing alone.
 */
export function takeAfterTimeout(ctx: TcpContext, flow: TcpFlow, ack: number): void {
  const again = flow.recovering ? flow.rexmitNxt : flow.sndNxt;
  if (((ack - flow.recover) | 0) >= 0) flow.timedOut = false;
  else if (flow.scoreboard.count === 0 && ((ack - again) | 0) > 0) {
    undo(ctx, flow);
    stopRepairing(ctx, flow, ack);
  }
}

/**
 * What is still in flight is on its way: a guest that stood still for a while takes it from its queue. Should some be missing, its reports tell.
 * Not behind a window that has shrunk: a guest drops what lies beyond.
 */
function stopRepairing(ctx: TcpContext, flow: TcpFlow, una: number): void {
  if (flow.sndWnd < ((flow.sndMax - una) | 0)) return;
  flow.recovering = false;
  flow.lostEdge = una;
  flow.sndNxt = flow.sndMax;
  flow.rack?.restart(una, flow.sndMax, ctx.timers.now);
  flow.restart = true;
  ctx.touch(flow);
}

/** The guest reports that it has got [left, right) twice. Of interest is what the last recovery has sent again: not a tail probe, or what the link has doubled. */
export function takeDuplicateReport(ctx: TcpContext, flow: TcpFlow, left: number, right: number): void {
  if (flow.undoBytes === 0 || ((left - flow.undoFrom) | 0) < 0 || ((right - flow.recover) | 0) > 0) return;
  // A link that doubles acknowledgments tells nothing by it.
  if (left === flow.undoLast) return;
  flow.undoLast = left;
  if (flow.rack !== null) noteReordering(ctx, flow, flow.rack);
  flow.undoBytes = Math.max(flow.undoBytes - ((right - left) | 0), 0);
  if (flow.undoBytes > 0) return;
  const { timedOut } = flow;
  undo(ctx, flow);
  if (timedOut && flow.scoreboard.count === 0) stopRepairing(ctx, flow, flow.sndUna);
}

function undo(ctx: TcpContext, flow: TcpFlow): void {
  flow.undoBytes = 0;
  flow.timedOut = false;
  flow.cwnd = Math.max(flow.cwnd, flow.undoWindow);
  flow.ssthresh = Math.max(flow.ssthresh, flow.undoThreshold);
  // The rest of the recovery holds nobody back.
  flow.growing = true;
  // A link that loses acknowledgments loses the last of them, too.
  flow.link.lossy = true;
  ctx.counters.spuriousRecoveries++;
}
