/**
 * How a flow ends: the two half-closes, each carried across, and resets, each carried across.
 *
 *     guest FIN ─► (everything written) ─► shutdown of the host side        state: see RFC 9293 §3.3.2, figure 5
 *     host end  ─► (everything sent)    ─► FIN to the guest
 *     guest RST ─► host reset           host reset or failure ─► RST to the guest
 */
import type { TcpContext, TcpEndings } from './context.ts';
import { State, type TcpFlow } from './flow.ts';
import { sendReset } from './output.ts';

/** The guest's FIN is in order. */
export function guestFinished(flow: TcpFlow): void {
  flow.finReceived = true;
  flow.rcvNxt = (flow.rcvNxt + 1) | 0;
  if (flow.state === State.ESTABLISHED || flow.state === State.SYN_RECEIVED) flow.state = State.CLOSE_WAIT;
  else if (flow.state === State.FIN_WAIT_1) flow.state = State.CLOSING;
  else if (flow.state === State.FIN_WAIT_2) flow.state = State.TIME_WAIT;
}

/** Our FIN goes out for the first time. */
export function finSending(flow: TcpFlow): void {
  if (flow.state === State.ESTABLISHED) flow.state = State.FIN_WAIT_1;
  else if (flow.state === State.CLOSE_WAIT) flow.state = State.LAST_ACK;
}

/** The guest has acknowledged our FIN. */
export function finAcknowledged(flow: TcpFlow): void {
  flow.finAcked = true;
  if (flow.state === State.FIN_WAIT_1) flow.state = State.FIN_WAIT_2;
  else if (flow.state === State.CLOSING) flow.state = State.TIME_WAIT;
  else if (flow.state === State.LAST_ACK) flow.state = State.CLOSED;
}

/** Both directions are closed towards the guest: only the host may have something left to take. */
export function guestDone(flow: TcpFlow): boolean {
  return flow.state === State.CLOSED || flow.state === State.TIME_WAIT;
}

/** Ends the host side once both directions are done there and here. Returns true when the flow needs no more pumping. */
export function settle(ctx: TcpContext, flow: TcpFlow): boolean {
  if (!flow.finAcked || !flow.hostShut) return false;
  // Not ended: the VM has gone, and nobody reads the rest.
  if (flow.ended) flow.endpoint?.close();
  else flow.endpoint?.abandon();
  flow.endpoint = null;
  if (flow.state === State.TIME_WAIT) ctx.enterTimeWait(flow);
  else ctx.remove(flow);
  return true;
}

/** The host side failed with `errno`: whatever it was, the guest must not take it for an orderly end. */
export function hostFailed(ctx: TcpContext, flow: TcpFlow, _errno: number): void {
  if (!guestDone(flow)) sendReset(ctx, flow);
  flow.endpoint?.close();
  flow.endpoint = null;
  ctx.remove(flow);
}

/** The guest is gone or has reset the connection. */
export function guestReset(ctx: TcpContext, flow: TcpFlow): void {
  flow.endpoint?.reset();
  flow.endpoint = null;
  ctx.remove(flow);
}

/** The guest's link is gone. A host that was still to take the end of what the guest had sent takes it; any other learns that it was cut off. */
export function guestGone(ctx: TcpContext, flow: TcpFlow): void {
  if (!flow.finReceived) return guestReset(ctx, flow);
  if (flow.endpoint === null) return ctx.remove(flow);
  flow.state = State.CLOSED;
  flow.finAcked = true;
  flow.endAt = flow.headSeq;
  flow.sndUna = flow.sndNxt = flow.sndMax;
  ctx.ready(flow);
}

/** The flow is about to be taken out. */
export function countEnding(endings: TcpEndings, flow: TcpFlow): void {
  if (flow.finAcked && flow.finReceived) endings.orderly++;
  else if (flow.state >= State.ESTABLISHED) endings.cut++;
}

/** Both sides are told: the flow can't go on (timeouts, shutdown). */
export function abort(ctx: TcpContext, flow: TcpFlow): void {
  if (!guestDone(flow)) sendReset(ctx, flow);
  guestReset(ctx, flow);
}
