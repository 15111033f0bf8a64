/** A guest reports that segments are too large for the way behind it (RFC 1191, RFC 8201): send smaller ones. */
import { PROTOCOL_TCP } from '../../packet/ipv4.ts';
import { HEADER } from '../../packet/tcp.ts';
import { type GuestReport, ReportKind } from '../../gateway/guest-report.ts';
import { startOver } from './congestion.ts';
import type { TcpContext } from './context.ts';
import { State, type TcpFlow } from './flow.ts';

/** Whether the report is about the size of a TCP segment. */
export function isAboutSize(report: GuestReport): boolean {
  return report.protocol === PROTOCOL_TCP && report.kind === ReportKind.TOO_BIG;
}

/** Takes over the MTU when it lowers ours and something is in flight that it can be about (RFC 5927 §7.2), and sends that again. */
export function takePathMtu(ctx: TcpContext, flow: TcpFlow, mtu: number): void {
  if (flow.state < State.ESTABLISHED || flow.flight === 0) return;
  const { family } = flow;
  const mss = Math.max(mtu, family.leastMtu) - family.header - HEADER;
  if (mss >= flow.mss) return;
  ctx.counters.pathMtu++;
  flow.mss = mss;
  // Lost for their size, which says nothing of congestion: the windows stay (RFC 1191 §6.4).
  startOver(flow);
  // Whatever is acknowledged next may have been sent again.
  flow.timedOut = false;
  ctx.ready(flow);
}
