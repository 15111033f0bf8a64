/** Registers the flows' engines with the gateway, in the order in which they hear of what happens there. */
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../packet/ipv4.ts';
import type { Gateway } from '../gateway/gateway.ts';
import type { EchoForwarder } from './echo.ts';
import type { TcpEngine } from './tcp/engine.ts';
import type { UdpEngine } from './udp/engine.ts';

/** `guarded`: whose an address is, the switch has judged (see NeighbourTable.displaced). */
export function wireFlows(gateway: Gateway, tcp: TcpEngine, udp: UdpEngine, echo: EchoForwarder, guarded: boolean): void {
  gateway.transport(PROTOCOL_TCP, tcp);
  gateway.transport(PROTOCOL_UDP, udp);
  gateway.icmpInput.echo = echo;
  if (gateway.ipv6 !== null) gateway.ipv6.icmpInput.echo = echo;
  gateway.onBatch(() => tcp.endOfBatch());
  gateway.onBatch(() => udp.endOfBatch());
  gateway.onBatch(() => echo.endOfBatch());
  gateway.onDrained((port) => tcp.drained(port));
  gateway.onDrained((port) => udp.drained(port));
  gateway.onDetached(() => tcp.detached());
  gateway.onDetached(() => udp.detached());
  gateway.onDetached((port) => echo.detached(port));
  if (guarded) {
    gateway.neighbours.displaced = () => {
      tcp.detached();
      udp.detached();
      echo.detached(null);
    };
  }
  gateway.onReport((report) => tcp.report(report));
  gateway.onReport((report) => udp.report(report));
}
