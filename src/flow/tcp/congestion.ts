/** Congestion control towards the guest: slow start and avoidance (RFC 5681), loss recovery entry and exit (RFC 6675, RFC 6582). */
import type { TcpContext } from './context.ts';
import type { TcpFlow } from './flow.ts';

/** RFC 6928: the initial window. */
const INITIAL_SEGMENTS = 10;
/** RFC 5681 §3.2: duplicates that mean a loss. */
export const DUPLICATE_THRESHOLD = 3;
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

/** A loss was seen by duplicates: halve and repair (RFC 6675 §5, RFC 5681 §3.2). */
export function enterRecovery(ctx: TcpContext, flow: TcpFlow): void {
  // RFC 6582 §3.2 step 1: duplicates of data sent before the last timeout or recovery say nothing new.
  if (flow.recovering || ((flow.sndUna - flow.recover) | 0) < 0) return;
  flow.recovering = true;
  flow.recover = flow.sndMax;
  flow.ssthresh = Math.max(flow.flight >>> 1, 2 * flow.mss);
  flow.cwnd = flow.sack ? flow.ssthresh : flow.ssthresh + DUPLICATE_THRESHOLD * flow.mss;
  flow.rexmitNxt = flow.sndUna;
  flow.rexmitMark = flow.sndMax;
  flow.tailProbed = false;
  flow.rtt.timing = false;
  ctx.counters.fastRecoveries++;
}

/**
 * What was sent after the last retransmission has arrived, by as much as means a loss, and there are still holes that were
 * filled before: they are filled once more (what RFC 8985 finds out by time, here by the order of sending).
 */
export function noticeLostRetransmissions(ctx: TcpContext, flow: TcpFlow): void {
  const board = flow.scoreboard;
  if (board.count === 0 || ((board.highest - flow.rexmitMark) | 0) < DUPLICATE_THRESHOLD * flow.mss) return;
  if (((flow.rexmitNxt - board.holeStart(flow.sndUna)) | 0) <= 0) return;
  ctx.counters.lostRetransmissions++;
  flow.rexmitNxt = flow.sndUna;
}

export function leaveRecovery(flow: TcpFlow): void {
  flow.recovering = false;
  flow.cwnd = flow.ssthresh;
}

/** RFC 5681 §3.1 equation 4 and §3.1 last paragraph: after a timeout one segment, and everything counts as lost. */
export function collapse(flow: TcpFlow): void {
  flow.ssthresh = Math.max(((flow.sndMax - flow.sndUna) | 0) >>> 1, 2 * flow.mss);
  flow.cwnd = flow.mss;
  flow.recovering = false;
  flow.recover = flow.sndMax;
  flow.duplicateAcks = 0;
  flow.tailProbed = false;
  // RFC 2018 §8: the guest may have reneged; nothing but the cumulative ACK is certain.
  flow.scoreboard.clear();
}

/** RFC 6675 §4 SetPipe, with every hole below the highest SACKed byte taken for lost. Bytes believed to be on the wire. */
export function pipe(flow: TcpFlow): number {
  const board = flow.scoreboard;
  if (board.count === 0) return flow.flight;
  let lost = 0;
  let at = board.holeStart(((flow.rexmitNxt - flow.sndUna) | 0) > 0 ? flow.rexmitNxt : flow.sndUna);
  while (((board.highest - at) | 0) > 0) {
    const end = board.holeEnd(at, board.highest);
    lost += (end - at) | 0;
    at = board.holeStart(end);
  }
  return flow.flight - board.sacked - lost;
}
