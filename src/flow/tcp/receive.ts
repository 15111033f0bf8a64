/**
 * Guest → host: what the guest sends is checked against the window, put in order and written to the host endpoint.
 *
 * In-order payloads of a batch are chained where they lie in the receive arena and written in one call when the batch
 * ends. What the host refuses, and what came out of order, is copied once into the flow's receive buffer:
 *
 *     hostNxt ── chain ──► ── buffer ──► rcvNxt ···· out of order ····
 *
 * The chain always precedes the buffered part: a segment that arrives while in-order bytes are buffered is buffered too.
 * A FIN counts once everything in front of it is chained or buffered.
 */
import { FIN } from '../../packet/tcp.ts';
import { EAGAIN } from '../../host/errno.ts';
import { Spans } from '../../host/endpoint.ts';
import { guestFinished, hostFailed } from './close.ts';
import type { TcpContext } from './context.ts';
import { State, type TcpFlow } from './flow.ts';
import { ReceiveBuffer } from './receive-buffer.ts';
import { receiveWindow, tuneWindow } from './receive-window.ts';
import type { Segment } from './segment.ts';

/**
 * RFC 9293 §3.10.7.4, first check, with two allowances as Linux makes them: a segment that begins exactly at the right edge
 * passes (its data is trimmed away), and so does one at a closed window, for the ACK it carries.
 */
export function acceptable(flow: TcpFlow, segment: Segment): boolean {
  const window = (flow.rcvEdge - flow.rcvNxt) | 0;
  const offset = (segment.sequence - flow.rcvNxt) | 0;
  const length = segment.sequenceLength;
  if (offset > window) return false;
  return length === 0 ? offset >= 0 : offset + length > 0;
}

/** RFC 9293 §3.10.7.4, seventh and eighth: segment text and FIN of an acceptable segment. */
export function takeData(ctx: TcpContext, flow: TcpFlow, segment: Segment): void {
  if (segment.sequenceLength === 0) return;
  ctx.touch(flow);
  const before = flow.rcvNxt;
  const ended = flow.finSeen;
  place(ctx, flow, segment);
  const continues = flow.rcvNxt !== before || (flow.finSeen && !ended && flow.finAt === flow.rcvNxt);
  // What does not continue the stream wants an answer at once (RFC 5681 §4.2, RFC 9293 §3.10.7.4).
  if (continues) acknowledgeData(ctx, flow);
  else flow.acksDue = Math.max(flow.acksDue, 1);
}

/**
 * RFC 5681 §4.2, RFC 9293 §3.8.6.3: a full-sized segment is acknowledged in this round. Less may be a question whose answer
 * carries the ACK: it waits for the end of the turn or of the next, some milliseconds where 500 are allowed.
 */
function acknowledgeData(ctx: TcpContext, flow: TcpFlow): void {
  const waiting = (flow.rcvNxt - flow.lastAck) | 0;
  if (waiting < flow.mss && flow.promptAcks === 0 && flow.received === null) return ctx.putOffAck(flow);
  if (flow.promptAcks > 0) flow.promptAcks--;
  flow.acksDue = Math.max(flow.acksDue, 1);
}

function place(ctx: TcpContext, flow: TcpFlow, segment: Segment): void {
  // Past the guest's FIN nothing more can follow (fourth state group of the eighth check).
  if (flow.finReceived) return;
  const known = (flow.rcvNxt - segment.sequence) | 0;
  if (known > 0) {
    segment.trimFront(Math.min(known, segment.dataLength));
    if (segment.dataLength === 0) ctx.counters.duplicates++;
  }
  let fin = (segment.flags & FIN) !== 0;
  const beyond = (segment.sequence + segment.dataLength - flow.rcvEdge) | 0;
  if (beyond > 0) {
    segment.dataLength -= Math.min(beyond, segment.dataLength);
    fin = false;
  }
  if (fin) {
    flow.finSeen = true;
    flow.finAt = (segment.sequence + segment.dataLength) | 0;
  }
  if (segment.dataLength === 0) return;
  if (segment.sequence === flow.rcvNxt) takeInOrder(ctx, flow, segment);
  else takeOutOfOrder(ctx, flow, segment);
}

function takeInOrder(ctx: TcpContext, flow: TcpFlow, segment: Segment): void {
  const buffered = ((flow.rcvNxt - flow.hostNxt) | 0) - flow.chainBytes;
  let taken = segment.dataLength;
  if (buffered > 0) {
    taken = keep(ctx, flow, segment.sequence, segment.dataAt, segment.dataLength);
  } else {
    flow.chainTail = ctx.chain.append(flow.chainTail, segment.dataAt, segment.dataLength);
    if (flow.chainHead < 0) flow.chainHead = flow.chainTail;
    flow.chainBytes += segment.dataLength;
  }
  flow.rcvNxt = (flow.rcvNxt + taken) | 0;
  if (flow.received !== null) flow.rcvNxt = flow.received.outOfOrder.advance(flow.rcvNxt);
}

function takeOutOfOrder(ctx: TcpContext, flow: TcpFlow, segment: Segment): void {
  ctx.counters.outOfOrder++;
  // RFC 5681 §4.2: an immediate duplicate ACK for each; a guest with SACK reads the same from one, one without counts to three.
  flow.acksDue = flow.sack ? 1 : Math.min(flow.acksDue + 1, 3);
  const taken = keep(ctx, flow, segment.sequence, segment.dataAt, segment.dataLength);
  if (taken > 0) flow.received!.outOfOrder.add(segment.sequence, (segment.sequence + taken) | 0);
}

/** Copies to the flow's receive buffer. Returns how many bytes found room; the rest counts as lost, the guest sends it again. */
function keep(ctx: TcpContext, flow: TcpFlow, sequence: number, at: number, length: number): number {
  flow.received ??= ReceiveBuffer.create(ctx.arena, flow.vm, flow.rcvMost, flow.hostNxt, sequence);
  const taken = flow.received === null ? 0 : flow.received.store(sequence, at, length);
  if (taken < length) ctx.counters.dropNoBuffer++;
  return taken;
}

/** Hands on what this batch brought in order, before its memory is reused; then what was buffered; then the end. */
export function flushToHost(ctx: TcpContext, flow: TcpFlow): void {
  if (flow.chainHead >= 0) {
    if (!writeChain(ctx, flow)) return;
    tuneWindow(ctx, flow);
  }
  if (flow.finSeen && !flow.finReceived && flow.rcvNxt === flow.finAt) guestFinished(flow);
  drainBuffer(ctx, flow);
}

/** False when the endpoint failed and the flow is gone. */
function writeChain(ctx: TcpContext, flow: TcpFlow): boolean {
  const { chain, spans } = ctx;
  let entry = flow.chainHead;
  let taken = 0;
  let skip = 0;
  while (entry >= 0) {
    spans.count = 0;
    let offered = 0;
    let last = entry;
    for (; last >= 0 && spans.count < Spans.LIMIT; last = chain.next[last]!) {
      spans.add(chain.offset[last]!, chain.length[last]!);
      offered += chain.length[last]!;
    }
    const written = flow.endpoint!.write(spans);
    if (written < 0 && written !== -EAGAIN) {
      hostFailed(ctx, flow, -written);
      return false;
    }
    taken = Math.max(written, 0);
    flow.hostNxt = (flow.hostNxt + taken) | 0;
    if (taken < offered) {
      flow.hostFull = true;
      skip = taken;
      break;
    }
    entry = last;
  }
  if (entry >= 0) keepRest(ctx, flow, entry, skip);
  flow.chainHead = flow.chainTail = -1;
  flow.chainBytes = 0;
  return true;
}

/** Buffers the chain from `entry` on, less its first `skip` bytes, as far as there is room. */
function keepRest(ctx: TcpContext, flow: TcpFlow, entry: number, skip: number): void {
  const { chain } = ctx;
  let kept = flow.hostNxt;
  let end = flow.hostNxt;
  for (; entry >= 0; entry = chain.next[entry]!) {
    const drop = Math.min(skip, chain.length[entry]!);
    skip -= drop;
    const length = chain.length[entry]! - drop;
    if (kept === end) kept = (kept + keep(ctx, flow, kept, chain.offset[entry]! + drop, length)) | 0;
    end = (end + length) | 0;
  }
  if (kept === end) return;
  // Nothing of the chain was acknowledged yet, so it may be forgotten. What it had joined behind it is out of order again.
  if (flow.rcvNxt !== end) flow.received!.outOfOrder.add(end, flow.rcvNxt);
  flow.rcvNxt = kept;
}

/** Writes buffered in-order bytes as far as the host takes them, then the end of the stream. */
export function drainBuffer(ctx: TcpContext, flow: TcpFlow): void {
  const end = flow.dataEnd;
  const buffer = flow.received;
  if (buffer !== null) {
    while (flow.hostNxt !== end && !flow.hostFull) {
      ctx.spans.count = 0;
      buffer.span(ctx.spans, flow.hostNxt, end);
      const written = flow.endpoint!.write(ctx.spans);
      if (written < 0 && written !== -EAGAIN) return hostFailed(ctx, flow, -written);
      const taken = Math.max(written, 0);
      if (taken < ((end - flow.hostNxt) | 0)) flow.hostFull = true;
      flow.hostNxt = (flow.hostNxt + taken) | 0;
    }
    if (flow.hostNxt === end && buffer.outOfOrder.count === 0) releaseBuffer(flow);
    else buffer.discard(flow.hostNxt);
    if (reopens(flow)) flow.acksDue = Math.max(flow.acksDue, 1);
  }
  if (flow.finReceived && flow.hostNxt === end && !flow.hostShut) {
    flow.endpoint!.shutdownWrite();
    flow.hostShut = true;
  }
}

/** RFC 9293 §3.8.6.2.2: tell the guest once the window has grown by two segments or half the limit, not byte by byte. */
function reopens(flow: TcpFlow): boolean {
  if (flow.state === State.CLOSED || flow.finReceived) return false;
  const grown = receiveWindow(flow) - ((flow.rcvEdge - flow.rcvNxt) | 0);
  return grown >= Math.min(2 * flow.mss, flow.rcvLimit >>> 1);
}

export function releaseBuffer(flow: TcpFlow): void {
  flow.received?.free();
  flow.received = null;
}
