/** A TCP flow as it is listed. */
import { describe, type FlowSnapshot, TCP_STATES, type TcpStateName } from '../snapshot.ts';
import type { TcpFlow } from './flow.ts';

export function stateName(flow: TcpFlow): TcpStateName {
  return TCP_STATES[flow.state]!;
}

/** `now`: milliseconds of the engine's clock. */
export function snapshotTcp(flow: TcpFlow, now: number): FlowSnapshot {
  // The window is tuned from the SYN on, and only by what the guest sends.
  const heard = Math.max(flow.lastHeard, flow.tunedAt);
  return { ...describe(flow, 'tcp'), state: stateName(flow), idle: heard === 0 ? null : Math.max(0, Math.floor(now - heard)) };
}
