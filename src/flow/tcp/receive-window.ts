/**
 * How much the guest may send ahead of the host (RFC 9293 §3.8.6).
 *
 *     hostNxt ── not taken by the host yet ──► rcvNxt ── window ──► rcvEdge         rcvEdge <= hostNxt + rcvLimit
 *
 * The limit follows what the flow moves: it begins small and doubles when the guest makes use of it while the host takes
 * everything at once. So a thousand quiet flows are promised little, and a fast one soon gets what its round trips need.
 */
import type { TcpContext } from './context.ts';
import type { TcpFlow } from './flow.ts';
import { windowField } from './segment.ts';

/** Bytes every flow may send at first: what RFC 6928's initial window has become after a few round trips. */
const FIRST = 128 * 1024;

/** `most` bytes are what the window may grow to. */
export function startWindow(flow: TcpFlow, most: number): void {
  flow.rcvMost = most;
  flow.rcvLimit = Math.min(FIRST, most);
}

/** Window to advertise: what the host side has not consumed counts against the limit; the right edge never moves left. */
export function receiveWindow(flow: TcpFlow): number {
  const room = flow.rcvLimit - ((flow.dataEnd - flow.hostNxt) | 0);
  const promised = (flow.rcvEdge - flow.rcvNxt) | 0;
  return Math.max(room, promised, 0);
}

/**
 * The window field of a non-SYN segment; remembers the edge that was promised. Scaling may make the window look up to one
 * unit smaller than promised; what was promised is still accepted (RFC 7323 §2.4).
 */
export function advertise(flow: TcpFlow): number {
  const field = windowField(receiveWindow(flow), flow.rcvScale);
  const edge = (flow.rcvNxt + (field << flow.rcvScale)) | 0;
  if (((edge - flow.rcvEdge) | 0) > 0) flow.rcvEdge = edge;
  return field;
}

/**
 * After a batch: was the guest about to run out of window, or did it move more than half of it within a round trip? On a link
 * without delay the first shows it, on one with delay the second (as Linux's receive buffers follow what is copied in an RTT).
 */
export function tuneWindow(ctx: TcpContext, flow: TcpFlow): void {
  const left = (flow.rcvEdge - flow.rcvNxt) | 0;
  const isMuch = left < flow.rcvLimit - (flow.rcvLimit >>> 2);
  const share = isMuch ? flow.link.sending.of(flow, ctx.timers.now, ctx.limits.linkWindow, true) : Infinity;
  const most = Math.min(share, flow.rcvMost);
  if (flow.rcvLimit > most) flow.rcvLimit = most;
  if (flow.rcvLimit >= most || flow.hostNxt !== flow.dataEnd) return;
  const usedUp = left < flow.rcvLimit >>> 2 && flow.rcvLimit < ctx.limits.linkWindow;
  if (movedHalf(flow, ctx.timers.now) || usedUp) flow.rcvLimit = Math.min(2 * flow.rcvLimit, most);
}

/** Looks once a round trip. */
function movedHalf(flow: TcpFlow, now: number): boolean {
  const roundTrip = flow.rtt.smoothed;
  const elapsed = now - flow.tunedAt;
  if (elapsed < roundTrip) return false;
  const moved = (flow.rcvNxt - flow.tunedSeq) | 0;
  flow.tunedAt = now;
  flow.tunedSeq = flow.rcvNxt;
  return moved * roundTrip > (elapsed * flow.rcvLimit) / 2;
}
