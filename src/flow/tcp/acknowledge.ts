/** Host → guest: what the guest's acknowledgments say (RFC 9293 §3.10.7.4 fifth check, RFC 5681, RFC 6675, RFC 5961). */
import { FIN, SYN } from '../../packet/tcp.ts';
import { finAcknowledged } from './close.ts';
import { DUPLICATE_THRESHOLD, enterRecovery, grow, leaveRecovery } from './congestion.ts';
import type { TcpContext } from './context.ts';
import type { TcpFlow } from './flow.ts';
import { detectLosses, type Rack, takeCumulative, takeReport } from './rack.ts';
import type { Segment } from './segment.ts';
import { takeAfterTimeout, takeDuplicateReport } from './undo.ts';

/** False when the segment must be dropped for its acknowledgment. */
export function takeAck(ctx: TcpContext, flow: TcpFlow, segment: Segment): boolean {
  const ack = segment.acknowledgment;
  const advance = (ack - flow.sndUna) | 0;
  if (((ack - flow.sndMax) | 0) > 0 || advance < -flow.maxSndWnd) {
    // RFC 5961 §5: data never sent, or from an older life of this connection.
    ctx.counters.dropBadAck++;
    flow.acksDue = Math.max(flow.acksDue, 1);
    ctx.touch(flow);
    return false;
  }
  // An old ACK that was overtaken: its data may still be good.
  if (advance < 0) return true;
  const rack = flow.rack;
  if (rack !== null && advance > 0 && (flow.scoreboard.count > 0 || flow.recovering)) takeCumulative(ctx, flow, rack, ack);
  const news = flow.sack && segment.hasOptions && takeSack(ctx, flow, segment);
  if (advance > 0) advanceUna(ctx, flow, ack, advance);
  else if (news || (!flow.sack && isDuplicate(flow, segment))) takeDuplicate(ctx, flow);
  if (flow.rack !== null) lookForLosses(ctx, flow, flow.rack);
  takeWindow(ctx, flow, segment, advance > 0);
  return true;
}

/** RFC 5681 §2; an ACK with data, or one that changes the window, is no duplicate. With SACK only news counts (RFC 6675 §2). */
function isDuplicate(flow: TcpFlow, segment: Segment): boolean {
  return (
    flow.flight > 0 && segment.dataLength === 0 && (segment.flags & (SYN | FIN)) === 0 && segment.window << flow.sndScale === flow.sndWnd
  );
}

function lookForLosses(ctx: TcpContext, flow: TcpFlow, rack: Rack): void {
  const { again } = rack;
  if (flow.scoreboard.count === 0 && !flow.recovering) {
    // What was repaired last has arrived. Remembered on, it would lie ahead of sndUna again when the numbers come round.
    if (again.count > 0) again.settle(flow.sndUna, flow.scoreboard);
    return;
  }
  // After `startOver` everything is sent again anyway.
  if (flow.sndNxt !== flow.sndMax) return;
  detectLosses(ctx, flow, rack);
  ctx.touch(flow);
}

function advanceUna(ctx: TcpContext, flow: TcpFlow, ack: number, advance: number): void {
  const { scoreboard } = flow;
  if (flow.timedOut) takeAfterTimeout(ctx, flow, ack);
  flow.sndUna = ack;
  if (((flow.sndNxt - ack) | 0) < 0) flow.sndNxt = ack;
  flow.link.measured(flow.rtt.acknowledge(ack, ctx.timers.now));
  flow.attempts = 0;
  flow.duplicateAcks = 0;
  flow.tailProbed = false;
  if (scoreboard.count > 0 && scoreboard.advance(ack) !== ack) {
    // RFC 2018 §8: it ends where a range begins, which therefore was taken back; and who knows what else. Now only time tells.
    scoreboard.clear();
    flow.tailProbed = true;
  }
  if (flow.recovering) {
    if (((ack - flow.recover) | 0) >= 0) leaveRecovery(flow);
    else if (flow.growing) grow(flow, advance);
    else if (!flow.sack) {
      // RFC 6582 §3.2 step 3: a partial ACK points at the next hole; deflate by what it took.
      flow.rexmitNxt = ack;
      flow.cwnd = Math.max(flow.cwnd - advance + flow.mss, flow.mss);
    }
  } else {
    // Without SACK: where the last recovery ended says nothing once it is passed, and must not come round again.
    if (!flow.sack && ((ack - flow.recover) | 0) > 0) flow.recover = ack;
    grow(flow, advance);
  }
  flow.restart = true;
  if (flow.finSent && ack === ((flow.endAt + 1) | 0)) finAcknowledged(flow);
  ctx.touch(flow);
}

function takeDuplicate(ctx: TcpContext, flow: TcpFlow): void {
  flow.duplicateAcks++;
  flow.tailProbed = false;
  ctx.touch(flow);
  if (flow.sack) flow.restart = true;
  // RFC 5681 §3.2 step 4: each duplicate means that a segment has left the wire. It does not put off the timeout (RFC 6298 §5.3).
  else if (flow.recovering) flow.cwnd += flow.mss;
  else if (flow.duplicateAcks >= DUPLICATE_THRESHOLD) {
    enterRecovery(ctx, flow);
    if (flow.recovering) flow.restart = true;
  }
}

/** RFC 2018 §5: ranges outside what is in flight are ignored. True when something was reported for the first time. */
function takeSack(ctx: TcpContext, flow: TcpFlow, segment: Segment): boolean {
  const { sackCount, sackLeft, sackRight } = segment.options;
  if (flow.undoBytes > 0 && reportsDuplicate(segment)) takeDuplicateReport(ctx, flow, sackLeft[0]!, sackRight[0]!);
  let news = false;
  for (let i = 0; i < sackCount; i++) {
    const [left, right] = [sackLeft[i]!, sackRight[i]!];
    const inFlight = ((left - flow.sndUna) | 0) > 0 && ((right - flow.sndMax) | 0) <= 0 && ((right - left) | 0) > 0;
    if (!inFlight || ((left - segment.acknowledgment) | 0) <= 0) continue;
    takeReport(ctx, flow, left, right);
    if (flow.scoreboard.add(left, right)) news = true;
  }
  return news;
}

/** RFC 2883 §4: the first block tells of a duplicate when it lies below the acknowledgment or within the second. */
function reportsDuplicate(segment: Segment): boolean {
  const { sackCount, sackLeft, sackRight } = segment.options;
  const [left, right] = [sackLeft[0]!, sackRight[0]!];
  if (sackCount === 0 || ((right - left) | 0) <= 0) return false;
  if (((right - segment.acknowledgment) | 0) <= 0) return true;
  return sackCount > 1 && ((left - sackLeft[1]!) | 0) >= 0 && ((right - sackRight[1]!) | 0) <= 0;
}

/**
 * RFC 9293 §3.10.7.4: only a segment newer than the one that last set the window may set it. One that acknowledges something is
 * newer even when it repeats data (as Linux has it): without its window, the old one would reach beyond the new edge.
 */
function takeWindow(ctx: TcpContext, flow: TcpFlow, segment: Segment, acknowledges: boolean): void {
  const order = (segment.sequence - flow.sndWl1) | 0;
  if (!acknowledges && (order < 0 || (order === 0 && ((segment.acknowledgment - flow.sndWl2) | 0) < 0))) return;
  const window = segment.window << flow.sndScale;
  if (window > flow.sndWnd) ctx.touch(flow);
  flow.sndWnd = window;
  flow.sndWl1 = segment.sequence;
  flow.sndWl2 = segment.acknowledgment;
  if (window > flow.maxSndWnd) flow.maxSndWnd = window;
}
