/** How much of everything one network may have, where that depends on its options and on the process. */
import { descriptorLimit } from './host/descriptors.ts';
import { WAITING_LIMIT } from './gateway/neighbour.ts';
import type { TcpLimits } from './flow/tcp/context.ts';
import { DEFAULT_TCP_LIMITS } from './flow/tcp/engine.ts';
import { DEFAULT_UDP_FLOWS } from './flow/udp/engine.ts';
import type { ResolvedOptions } from './network-options.ts';

/** Parts of the process's descriptors that flows may have; what is left is for links, listeners and resolvers. */
const TCP_DESCRIPTORS = 0.65;
const UDP_DESCRIPTORS = 0.2;
/** The same of connections to forwarded ports that wait for their guest. */
const WAITING_DESCRIPTORS = 0.05;
/** The same of forwards, and how many there are at most. */
const FORWARD_DESCRIPTORS = 0.08;
const FORWARDS = 1024;
/** Most bytes of a guest's data ahead of the host: a long queue of small frames overruns the guest's transmit queue. */
const WINDOW_SMALL_MTU = 512 * 1024;
const WINDOW_LARGE_MTU = 1 << 20;
const LARGE_MTU = 9000;

export interface NetworkLimits {
  readonly tcp: Pick<TcpLimits, 'linkWindow' | 'flows' | 'connecting' | 'connectTimeout'>;
  readonly udpFlows: number;
  /** Callers that wait for a guest's address. */
  readonly waiting: number;
  readonly forwards: number;
}

export function networkLimits({ mtu, tcpMaxInFlight, tcpConnectTimeout }: ResolvedOptions): NetworkLimits {
  const descriptors = descriptorLimit();
  const part = (limit: number, share: number): number => Math.min(limit, Math.floor(descriptors * share));
  return {
    tcp: {
      linkWindow: mtu > LARGE_MTU ? WINDOW_LARGE_MTU : WINDOW_SMALL_MTU,
      flows: part(DEFAULT_TCP_LIMITS.flows, TCP_DESCRIPTORS),
      connecting: tcpMaxInFlight ?? DEFAULT_TCP_LIMITS.connecting,
      connectTimeout: tcpConnectTimeout ?? DEFAULT_TCP_LIMITS.connectTimeout,
    },
    udpFlows: part(DEFAULT_UDP_FLOWS, UDP_DESCRIPTORS),
    waiting: part(WAITING_LIMIT, WAITING_DESCRIPTORS),
    forwards: part(FORWARDS, FORWARD_DESCRIPTORS),
  };
}
