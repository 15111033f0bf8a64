/** What becomes of a guest's SYN once the gate has decided: until then its flow is CONNECTING, and counts among the host connects under way. */
import { IpAddress } from '../../packet/address.ts';
import type { Decision, FlowGate } from '../gate.ts';
import type { TcpContext } from './context.ts';
import { State, type TcpFlow } from './flow.ts';
import { isForbidden, openLocally, turnAway } from './handshake.ts';
import { armConnect } from './timers.ts';

/** Asks about a flow that is CONNECTING. `later` is called when the decision came after this. */
export function askGate(ctx: TcpContext, gate: FlowGate, flow: TcpFlow, later: () => void): void {
  const remote = new IpAddress(flow.remote0, flow.remote1, flow.remote2, flow.remote3);
  const decision = gate.ask(
    {
      protocol: 'tcp',
      neighbour: flow.neighbour,
      guestPort: flow.guestPort,
      remote,
      remotePort: flow.remotePort,
    },
    (decided) => {
      // The guest has given up, or it took too long.
      if (flow.removed || flow.state !== State.CONNECTING || flow.endpoint !== null) return;
      ctx.timers.cancel(flow.timer);
      follow(ctx, flow, remote, decided);
      later();
    },
  );
  if (decision === null) armConnect(ctx, flow);
  else follow(ctx, flow, remote, decision);
}

function follow(ctx: TcpContext, flow: TcpFlow, remote: IpAddress, decision: Decision): void {
  switch (decision.kind) {
    case 'allow':
      if (isForbidden(ctx, remote, flow.remotePort)) turnAway(ctx, flow);
      else ctx.dial(flow);
      return;
    case 'redirect':
      flow.target = decision;
      return ctx.dial(flow);
    case 'stream':
      return openLocally(ctx, flow, decision.accept);
    case 'deny':
    case 'datagrams':
      ctx.counters.refused++;
      turnAway(ctx, flow);
  }
}
