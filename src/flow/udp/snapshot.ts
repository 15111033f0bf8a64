/** A UDP conversation as it is listed. */
import { describe, type FlowSnapshot } from '../snapshot.ts';
import type { UdpFlow } from './flow.ts';

/** `now`: milliseconds of the engine's clock. */
export function snapshotUdp(flow: UdpFlow, now: number): FlowSnapshot {
  const { sent, received, ordered } = flow;
  return {
    ...describe(flow, 'udp'),
    datagramsOut: sent,
    datagramsIn: received,
    idle: ordered === 0 ? null : Math.max(0, Math.floor(now - ordered)),
  };
}
