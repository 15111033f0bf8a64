/** Who is asked about conversations that guests begin, before the host is. Without a gate nothing is asked, and nothing is paid. */
import type { IpAddress } from '../packet/address.ts';
import type { DatagramEndpoint } from '../host/endpoint.ts';
import type { Neighbour } from '../gateway/neighbour.ts';
import type { TcpFlow } from './tcp/flow.ts';

/** A conversation that is about to begin. `remote` is what the guest asks for, before translation. */
export interface Opening {
  readonly protocol: 'tcp' | 'udp';
  readonly neighbour: Neighbour;
  readonly guestPort: number;
  readonly remote: IpAddress;
  readonly remotePort: number;
}

/**
 * `allow`: as without a gate, with all that is refused then. `deny`: a RST, or for UDP ICMP "administratively prohibited". `redirect`: the
 * host connects to this address of its own network as it is. The others end in this process.
 */
export type Decision =
  | { readonly kind: 'allow' | 'deny' }
  | { readonly kind: 'redirect'; readonly address: IpAddress; readonly port: number }
  | { readonly kind: 'stream'; readonly accept: (flow: TcpFlow) => boolean }
  | { readonly kind: 'datagrams'; readonly open: () => DatagramEndpoint };

export const ALLOW: Decision = { kind: 'allow' };
export const DENY: Decision = { kind: 'deny' };

export interface FlowGate {
  /** Within the packet path. Null: `decide` is called later, once; until then the conversation waits, for a limited time. */
  ask(opening: Opening, decide: (decision: Decision) => void): Decision | null;
}
