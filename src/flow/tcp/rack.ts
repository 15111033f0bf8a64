/**
 * Losses are told by time (RFC 8985, RACK): what was sent before something that has arrived, and by more than reordering explains,
 * is lost, whether it was sent for the first time or again.
 *
 *     sndUna ── holes below lostEdge are lost ── lostEdge ── sent too recently to be sure ── sndMax
 *
 * Until reordering is seen there is no window for it, and three segments beyond a hole are enough (RFC 5681 §3.2). It is seen
 * when a hole fills that we had not filled, or when the guest reports something twice that we had sent twice (D-SACK, RFC 2883):
 * then the window is a quarter of the shortest round trip, and more with each round that had such reports. When all that was
 * repaired is reported twice, nothing was lost, and the congestion window is given back (RFC 3708).
 *
 * A flow has none of this until the guest reports a hole.
 */
import { DUPLICATE_THRESHOLD, enterRecovery } from './congestion.ts';
import type { TcpContext } from './context.ts';
import type { TcpFlow } from './flow.ts';
import { Retransmissions } from './retransmissions.ts';
import { SendTimes } from './send-times.ts';

/** Parts of a round trip that times of sending are told apart by. */
const GRAINS = 16;
/** RFC 8985 §6.2 step 4: recoveries without a report of duplicates after which the reordering window is a quarter again. */
const PERSIST = 16;

export class Rack {
  readonly times: SendTimes;
  /** What was in flight when this was made, or begun anew: when exactly that was sent is not known. */
  unknown: number;
  readonly again: Retransmissions = new Retransmissions();
  /** When the newest that has arrived was sent, and how long its acknowledgment took. What lies below `end` was sent for the first time before it. */
  sent = -1;
  rtt = 0;
  end: number;
  /** Retransmissions sent before this are lost. */
  lostBefore = -1;
  /** When more will count as lost without any news; Infinity: never. */
  next: number = Infinity;
  reordering = false;
  /** The reordering window in quarters of the shortest round trip, when it may widen again, and recoveries until it shrinks. */
  quarters = 1;
  widenedAt = 0;
  persist = 0;

  constructor(start: number, unknown: number) {
    this.times = new SendTimes(start);
    this.unknown = unknown;
    this.end = start;
  }

  /** Of what is in flight, `una` to `end`, nothing is known but that it was sent by `now`. */
  restart(una: number, end: number, now: number): void {
    this.times.restart(una, end, now);
    this.unknown = end;
  }
}

/** The flow's, made when it is first needed. What is in flight by then was sent `age` milliseconds ago at the latest. */
export function rackOf(ctx: TcpContext, flow: TcpFlow, age: number): Rack {
  if (flow.rack !== null) return flow.rack;
  const rack = new Rack(flow.sndUna, flow.sndMax);
  rack.times.note(flow.sndMax, ctx.timers.now - age, 0);
  flow.rack = rack;
  return rack;
}

/** New data up to `end` was sent. */
export function noteTime(ctx: TcpContext, flow: TcpFlow, rack: Rack, end: number): void {
  rack.times.forget(flow.sndUna);
  rack.times.note(end, ctx.timers.now, flow.rtt.smoothed / GRAINS);
}

/** What was sent for the first time at `sent`, and ends at `end`, has arrived. */
function firstArrived(ctx: TcpContext, rack: Rack, sent: number, end: number): void {
  if (sent > rack.sent || (sent === rack.sent && ((end - rack.end) | 0) > 0)) rack.end = end;
  arrived(ctx, rack, sent);
}

function arrived(ctx: TcpContext, rack: Rack, sent: number): void {
  if (sent <= rack.sent) return;
  rack.sent = sent;
  rack.rtt = ctx.timers.now - sent;
}

/** The guest has reported [left, right); before the scoreboard knows. */
export function takeReport(ctx: TcpContext, flow: TcpFlow, left: number, right: number): void {
  const board = flow.scoreboard;
  const rack = rackOf(ctx, flow, Math.min(flow.rtt.shortest, flow.rtt.smoothed));
  if (board.count > 0) {
    const news = board.holeStart(left);
    if (((news - board.highest) | 0) < 0 && ((news - right) | 0) < 0 && !wasRepaired(flow, rack, news)) rack.reordering = true;
  }
  const last = (right - 1) | 0;
  const sent = rack.times.timeOf(last);
  if (sent < 0 || board.indexOf(last) >= 0) return;
  firstArrived(ctx, rack, sent, right);
  if (((last - rack.unknown) | 0) >= 0 && !flow.tailProbed && !wasRepaired(flow, rack, last)) flow.rtt.sample(ctx.timers.now - sent);
}

/** Whether `sequence` may have been sent twice. */
function wasRepaired(flow: TcpFlow, rack: Rack, sequence: number): boolean {
  if (flow.sndNxt !== flow.sndMax) return true;
  return (flow.recovering || rack.again.count > 0) && ((sequence - flow.rexmitNxt) | 0) < 0;
}

/** The guest acknowledges up to `ack`; before sndUna moves, while holes are known or recovery goes on. */
export function takeCumulative(ctx: TcpContext, flow: TcpFlow, rack: Rack, ack: number): void {
  if (flow.scoreboard.count > 0 && !wasRepaired(flow, rack, flow.sndUna)) rack.reordering = true;
  firstArrived(ctx, rack, rack.times.timeOf((ack - 1) | 0), ack);
}

/** The guest has got twice what was sent twice: the first was not lost, but late. */
export function noteReordering(ctx: TcpContext, flow: TcpFlow, rack: Rack): void {
  rack.reordering = true;
  rack.persist = PERSIST;
  // Once a round trip (RFC 8985 §6.2 step 4).
  if (ctx.timers.now >= rack.widenedAt) {
    rack.quarters++;
    rack.widenedAt = ctx.timers.now + flow.rtt.smoothed;
  }
}

/** RFC 8985 §6.2 step 4. Milliseconds; negative when the order alone decides. */
function reorderingWindow(flow: TcpFlow, rack: Rack): number {
  const { recovering, duplicateAcks, scoreboard, rtt, mss } = flow;
  if (!rack.reordering && (recovering || duplicateAcks >= DUPLICATE_THRESHOLD || scoreboard.sacked >= DUPLICATE_THRESHOLD * mss)) return -1;
  return Math.min((rack.quarters * rtt.shortest) / 4, rtt.smoothed);
}

/** RFC 8985 §6.2 step 5: what is lost by now? Enters recovery when that is news. */
export function detectLosses(ctx: TcpContext, flow: TcpFlow, rack: Rack): void {
  const { scoreboard, sndUna, rtt } = flow;
  const { now } = ctx.timers;
  if (rack.again.count > 0) {
    const sent = rack.again.newestArrived(sndUna, scoreboard);
    // Sooner than any round trip: it was the first transmission that has arrived.
    if (now - sent >= rtt.shortest) arrived(ctx, rack, sent);
    rack.again.settle(sndUna, scoreboard);
  }
  const window = reorderingWindow(flow, rack);
  const latest = window < 0 ? Infinity : now - rack.rtt - window;
  rack.lostBefore = Math.min(rack.sent, latest);
  if (!flow.recovering) flow.lostEdge = sndUna;
  let edge = rack.times.take(latest, rack.sent, rack.end);
  if (window < 0 && scoreboard.count > 0 && ((scoreboard.highest - edge) | 0) > 0) edge = scoreboard.highest;
  if (((edge - flow.lostEdge) | 0) > 0) flow.lostEdge = edge;
  if (!flow.recovering && ((flow.lostEdge - sndUna) | 0) > 0) enterRecovery(ctx, flow);
  let oldest = rack.times.oldest(rack.sent, rack.end);
  if (rack.again.count > 0 && rack.again.time >= rack.lostBefore && rack.again.time < rack.sent) oldest = Math.min(oldest, rack.again.time);
  rack.next = window < 0 ? Infinity : oldest + rack.rtt + window;
}
