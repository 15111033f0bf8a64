/** Host → guest: what the guest's acknowledgments say (RFC 9293 §3.10.7.4 fifth check, RFC 5681, RFC 6675, RFC 5961). */
import { FIN, SYN } from '../../packet/tcp.ts';
import { finAcknowledged } from './close.ts';
import { DUPLICATE_THRESHOLD, enterRecovery, grow, leaveRecovery, noticeLostRetransmissions } from './congestion.ts';
import type { TcpContext } from './context.ts';
import type { TcpFlow } from './flow.ts';
import type { Segment } from './segment.ts';
import { tailArrived } from './tail-loss.ts';

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
  const news = flow.sack && segment.hasOptions && takeSack(flow, segment);
  if (advance > 0) advanceUna(ctx, flow, ack, advance);
  else if (news || (!flow.sack && isDuplicate(flow, segment))) takeDuplicate(ctx, flow);
  takeWindow(ctx, flow, segment, advance > 0);
  return true;
}

/** RFC 5681 §2; an ACK with data, or one that changes the window, is no duplicate. With SACK only news counts (RFC 6675 §2). */
function isDuplicate(flow: TcpFlow, segment: Segment): boolean {
  return (
    flow.flight > 0 && segment.dataLength === 0 && (segment.flags & (SYN | FIN)) === 0 && segment.window << flow.sndScale === flow.sndWnd
  );
}

function advanceUna(ctx: TcpContext, flow: TcpFlow, ack: number, advance: number): void {
  flow.sndUna = ack;
  if (((flow.sndNxt - ack) | 0) < 0) flow.sndNxt = ack;
  if (flow.scoreboard.count > 0) flow.scoreboard.advance(ack);
  flow.rtt.acknowledge(ack, ctx.timers.now);
  flow.attempts = 0;
  flow.duplicateAcks = 0;
  flow.tailProbed = false;
  if (flow.recovering) {
    if (((ack - flow.recover) | 0) >= 0) leaveRecovery(flow);
    else if (flow.sack) noticeLostRetransmissions(ctx, flow);
    else {
      // RFC 6582 §3.2 step 3: a partial ACK points at the next hole; deflate by what it took.
      flow.rexmitNxt = ack;
      flow.cwnd = Math.max(flow.cwnd - advance + flow.mss, flow.mss);
    }
  } else {
    grow(flow, advance);
  }
  flow.restart = true;
  if (flow.finSent && ack === ((flow.endAt + 1) | 0)) finAcknowledged(flow);
  ctx.touch(flow);
}

function takeDuplicate(ctx: TcpContext, flow: TcpFlow): void {
  flow.duplicateAcks++;
  ctx.touch(flow);
  if (flow.recovering) {
    // RFC 5681 §3.2 step 4: each duplicate means that a segment has left the wire.
    if (!flow.sack) flow.cwnd += flow.mss;
    else noticeLostRetransmissions(ctx, flow);
    return;
  }
  const lost = flow.duplicateAcks >= DUPLICATE_THRESHOLD || flow.scoreboard.sacked >= DUPLICATE_THRESHOLD * flow.mss;
  if (lost || tailArrived(flow)) enterRecovery(ctx, flow);
}

/** RFC 2018 §5: ranges outside what is in flight are ignored (RFC 2883's reports of duplicates among them). */
function takeSack(flow: TcpFlow, segment: Segment): boolean {
  const { sackCount, sackLeft, sackRight } = segment.options;
  let news = false;
  for (let i = 0; i < sackCount; i++) {
    const [left, right] = [sackLeft[i]!, sackRight[i]!];
    const inFlight = ((left - flow.sndUna) | 0) > 0 && ((right - flow.sndMax) | 0) <= 0 && ((right - left) | 0) > 0;
    if (inFlight && ((left - segment.acknowledgment) | 0) > 0 && flow.scoreboard.add(left, right)) news = true;
  }
  return news;
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
