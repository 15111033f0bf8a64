/**
 * Host → guest: peeks at the endpoint's queue straight into frames (see docs of the data path in the README here).
 *
 *     headSeq ──── sndUna ─── in flight ─── sndNxt ─── not sent yet ──►     all of it in the endpoint's queue
 *     └ acknowledged, to be discarded
 *
 * Retransmission is peeking at a smaller offset. Nothing is copied aside.
 */
import * as tcp from '../../packet/tcp.ts';
import { EAGAIN } from '../../host/errno.ts';
import type { Port } from '../../link/port.ts';
import { hostFailed, finSending } from './close.ts';
import { pipe } from './congestion.ts';
import type { TcpContext } from './context.ts';
import { State, type TcpFlow } from './flow.ts';
import { emit, emitWithWindow } from './output.ts';
import { noteTime, type Rack } from './rack.ts';
import { advertise } from './receive-window.ts';

/** Most payload bytes of one flow per pump, so that flows take turns. */
const QUOTA = 256 * 1024;
/** Most segments per peek: what one call of the kernel takes as iovec, well below its limit of 1024. */
const SLOTS = 128;

/** Bytes in flight from which a flow is one that moves much. */
const MUCH = 16 * 1024;

/** `sendRange` could not go on. */
const NOTHING = 0;
const BLOCKED = -1;
const FAILED = -2;

/** Payload that a frame takes: one segment, or as many as the VM takes at once and cuts itself. */
function framePayload(port: Port, flow: TcpFlow): number {
  const { mss } = flow;
  const most = port.largestFrame - flow.headers;
  return most < 2 * mss ? mss : most - (most % mss);
}

/** Drops from the endpoint's queue what the guest has acknowledged. */
export function discardAcknowledged(flow: TcpFlow): void {
  const una = flow.finAcked ? flow.endAt : flow.sndUna;
  const count = (una - flow.headSeq) | 0;
  if (count <= 0) return;
  flow.endpoint!.discard(count);
  flow.headSeq = una;
}

/** Data, a FIN or a repair waits; whether a window allows it is another matter. */
export function hasToSend(flow: TcpFlow): boolean {
  return flow.readable || flow.recovering || ((flow.sndNxt - flow.sndMax) | 0) < 0 || (flow.ended && !flow.finSent);
}

/** Sends what recovery, the windows and the endpoint allow. True when the quota ended it: there is more to send now. */
export function transmit(ctx: TcpContext, flow: TcpFlow): boolean {
  if (flow.recovering && !repair(ctx, flow)) return false;
  let quota = QUOTA;
  while (quota > 0) {
    if (flow.ended) {
      const left = (flow.endAt - flow.sndNxt) | 0;
      if (left === 0) sendFin(ctx, flow);
      // Behind the FIN there is nothing, whatever the endpoint goes on to report.
      if (left <= 0) return false;
    }
    const known = (flow.sndMax - flow.sndNxt) | 0;
    if (!flow.readable && known <= 0) return false;
    const allowed = usable(ctx, flow);
    if (allowed <= 0) return false;
    const sent = sendRange(ctx, flow, flow.sndNxt, Math.min(allowed, quota));
    if (sent <= 0) {
      if (sent === NOTHING && flow.ended) continue;
      return false;
    }
    if (known > 0) flow.undoBytes += Math.min(sent, known);
    quota -= sent;
  }
  return true;
}

/**
 * Bytes that may be sent now: the smaller window less what is in flight, in whole segments. With nothing in flight a
 * window below one segment is used too, or it could never grow (RFC 9293 §3.8.6.2.1).
 */
function usable(ctx: TcpContext, flow: TcpFlow): number {
  const inWindow = flow.sndWnd - flow.flight;
  const inCongestion =
    flow.cwnd - (flow.recovering || (flow.scoreboard.count > 0 && flow.sndNxt === flow.sndMax) ? pipe(flow) : flow.flight);
  const inShare = flow.link.getting.of(flow, ctx.timers.now, ctx.limits.linkWindow, flow.flight >= MUCH) - flow.flight;
  const bytes = Math.min(inWindow, inCongestion, inShare);
  if (bytes >= flow.mss) return bytes - (bytes % flow.mss);
  return flow.flight === 0 ? bytes : 0;
}

/**
 * Sends up to `limit` bytes from sequence number `seq` on, one peek. Returns the bytes sent; NOTHING when the endpoint
 * has none (or has ended: `ended` is set), BLOCKED when the port has no room, FAILED when the flow is gone.
 */
function sendRange(ctx: TcpContext, flow: TcpFlow, seq: number, limit: number): number {
  const port = flow.neighbour.port;
  if (port === null) return BLOCKED;
  const size = Math.min(framePayload(port, flow), limit);
  const stride = port.headroom + flow.headers + size;
  let slots = Math.min(Math.floor(limit / size), SLOTS);
  let at = port.claim(slots * stride);
  while (at < 0 && slots > 1) {
    slots >>= 2;
    if (slots === 0) slots = 1;
    at = port.claim(slots * stride);
  }
  if (at < 0) {
    ctx.block(flow);
    return BLOCKED;
  }
  at += port.headroom;
  const got = flow.endpoint!.peek((seq - flow.headSeq) | 0, at + flow.headers, size, stride, slots);
  if (got <= 0) return nothingRead(ctx, flow, seq, got);
  if (got < slots * size) {
    if (!flow.hangup) flow.readable = false;
    else if (!flow.ended && !findEnd(ctx, flow, (seq + got) | 0)) return FAILED;
  }
  emitRun(ctx, flow, at, seq, size, stride, got);
  return got;
}

/** The host has nothing more to say: is `seq` where its stream ends? Then the FIN goes with the last data. False when the host has failed. */
function findEnd(ctx: TcpContext, flow: TcpFlow, seq: number): boolean {
  const result = flow.endpoint!.peek((seq - flow.headSeq) | 0, ctx.scratch, 1, 1, 1);
  if (result === 0) ended(flow, seq);
  if (result >= 0 || result === -EAGAIN) return true;
  hostFailed(ctx, flow, -result);
  return false;
}

function ended(flow: TcpFlow, seq: number): void {
  flow.ended = true;
  flow.endAt = seq;
  flow.readable = flow.hangup = false;
}

function nothingRead(ctx: TcpContext, flow: TcpFlow, seq: number, result: number): number {
  if (result === 0) {
    ended(flow, seq);
    return NOTHING;
  }
  if (result === -EAGAIN) {
    flow.readable = flow.hangup = false;
    return NOTHING;
  }
  hostFailed(ctx, flow, -result);
  return FAILED;
}

/** Headers for `total` bytes of payload that lie in slots; PSH on the last, for guests that wait for it, and FIN where the stream ends. */
function emitRun(ctx: TcpContext, flow: TcpFlow, at: number, seq: number, size: number, stride: number, total: number): void {
  const again = ((seq - flow.sndMax) | 0) < 0;
  const window = advertise(flow);
  const fin = flow.ended && ((seq + total) | 0) === flow.endAt;
  const last = tcp.ACK | tcp.PSH | (fin ? tcp.FIN : 0);
  for (let left = total; left > 0; left -= size) {
    const length = Math.min(left, size);
    emitWithWindow(ctx, flow, at, seq, left <= size ? last : tcp.ACK, 0, length, window);
    if (again) ctx.counters.retransmitted++;
    seq = (seq + length) | 0;
    at += stride;
  }
  flow.acksDue = 0;
  if (fin) finSent(flow);
  noteSent(ctx, flow, fin ? (seq + 1) | 0 : seq, again);
}

function finSent(flow: TcpFlow): void {
  if (flow.finSent) return;
  flow.finSent = true;
  finSending(flow);
}

function noteSent(ctx: TcpContext, flow: TcpFlow, end: number, again: boolean): void {
  if (((end - flow.sndNxt) | 0) > 0) flow.sndNxt = end;
  if (((end - flow.sndMax) | 0) > 0) flow.sndMax = end;
  if (again) return;
  if (flow.rack !== null) noteTime(ctx, flow, flow.rack, end);
  // What is sent during repairs is acknowledged when they are over.
  if (!flow.rtt.timing && !flow.recovering) flow.rtt.start((end - 1) | 0, ctx.timers.now);
}

function sendFin(ctx: TcpContext, flow: TcpFlow): void {
  const port = flow.neighbour.port;
  const at = port === null ? -1 : port.claim(port.headroom + flow.headers);
  if (at < 0) {
    ctx.block(flow);
    return;
  }
  const again = flow.finSent;
  emit(ctx, flow, at + port!.headroom, flow.endAt, tcp.FIN | tcp.ACK, 0, 0);
  if (again) ctx.counters.retransmitted++;
  flow.acksDue = 0;
  finSent(flow);
  noteSent(ctx, flow, (flow.endAt + 1) | 0, again);
}

/** Retransmits what is lost. False when the port is full or the flow is gone. */
function repair(ctx: TcpContext, flow: TcpFlow): boolean {
  if (flow.rack !== null) return repairHoles(ctx, flow, flow.rack);
  // RFC 6582: the segment at SND.UNA.
  if (flow.rexmitNxt !== flow.sndUna) return true;
  const sent = resend(ctx, flow, flow.sndUna, flow.mss);
  if (sent > 0) flow.rexmitNxt = (flow.sndUna + sent) | 0;
  return sent > 0;
}

/** RFC 6675 §5 step 4, NextSeg rule 1; lost retransmissions first. */
function repairHoles(ctx: TcpContext, flow: TcpFlow, rack: Rack): boolean {
  const { scoreboard, sndUna } = flow;
  const { again } = rack;
  while (!again.full) {
    again.settle(sndUna, scoreboard);
    const twice = again.count > 0 && again.time < rack.lostBefore;
    const from = ((flow.rexmitNxt - sndUna) | 0) > 0 ? flow.rexmitNxt : sndUna;
    const start = twice ? again.left : scoreboard.holeStart(from);
    const limit = twice ? again.right : flow.lostEdge;
    if (((limit - start) | 0) <= 0) return true;
    const end = scoreboard.holeEnd(start, limit);
    const hole = Math.min((end - start) | 0, (limit - start) | 0);
    const room = flow.cwnd - pipe(flow);
    // The first retransmission goes out whatever the pipe holds (RFC 6675 §5 step 4.3).
    if (room < flow.mss && (twice || flow.rexmitNxt !== sndUna || start !== sndUna)) return true;
    const sent = resend(ctx, flow, start, Math.min(hole, Math.max(room, flow.mss)));
    if (sent <= 0) return false;
    const next = (start + sent) | 0;
    if (twice) {
      ctx.counters.lostRetransmissions++;
      if (next === limit) again.drop();
      else again.shorten(next);
    } else flow.rexmitNxt = next;
    again.push(start, next, ctx.timers.now);
    flow.undoBytes += sent;
  }
  return true;
}

/** Sends what was sent before, from `start` on. Returns how much of the sequence numbers it takes; 0 or less when it could not be sent. */
function resend(ctx: TcpContext, flow: TcpFlow, start: number, bytes: number): number {
  if (flow.finSent && start === flow.endAt) {
    sendFin(ctx, flow);
    return flow.blocked ? BLOCKED : 1;
  }
  // What was never sent is not lost, and may lie beyond the window.
  const end = flow.finSent ? flow.endAt : flow.sndMax;
  const sent = sendRange(ctx, flow, start, Math.min(bytes, (end - start) | 0));
  // The FIN went with the last byte.
  return flow.finSent && ((start + sent) | 0) === flow.endAt ? sent + 1 : sent;
}

/** RFC 8985 §7.3: the last segment in flight again; whatever the guest answers tells what is missing. False when it could not be sent. */
export function sendTail(ctx: TcpContext, flow: TcpFlow): boolean {
  const end = flow.finSent ? flow.endAt : flow.sndMax;
  const length = Math.min(flow.mss, (end - flow.sndUna) | 0);
  if (length > 0) return sendRange(ctx, flow, (end - length) | 0, length) > 0;
  sendFin(ctx, flow);
  return !flow.blocked;
}

/** Data or a FIN waits that only the guest's window holds back. */
export function windowBlocked(flow: TcpFlow): boolean {
  if (flow.state < State.ESTABLISHED || flow.finAcked || flow.blocked || flow.flight > 0) return false;
  const pending = flow.readable || ((flow.sndNxt - flow.sndMax) | 0) < 0;
  return pending && flow.sndWnd === 0;
}
