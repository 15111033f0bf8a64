/**
 * How much the guest may send ahead of the host (RFC 9293 §3.8.6).
 *
 *     hostNxt ── not taken by the host yet ──► rcvNxt ── window ──► rcvEdge         rcvEdge <= hostNxt + rcvLimit
 *
 * The limit follows what the flow moves: it begins small and doubles when the guest has nearly used it up while the host took
 * everything at once. So a thousand quiet flows are promised little, and a fast one soon gets what its round trips need.
 */
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

/** After a batch that the host took whole: was the guest about to run out of window? */
export function tuneWindow(flow: TcpFlow): void {
  const left = (flow.rcvEdge - flow.rcvNxt) | 0;
  if (left >= flow.rcvLimit >>> 2 || flow.rcvLimit >= flow.rcvMost || flow.received !== null) return;
  flow.rcvLimit = Math.min(2 * flow.rcvLimit, flow.rcvMost);
}
