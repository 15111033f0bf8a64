/** A conversation as it is listed: what an onlooker is told of it, in text. */
import { formatAddress } from '../packet/address.ts';
import type { FlowEntry } from './flow-table.ts';

/** By the number of the engine's `State`. RFC 9293 §3.3.2; CONNECTING: the host's connect is under way, and the guest's SYN not answered yet. */
export const TCP_STATES = [
  'CLOSED',
  'CONNECTING',
  'SYN-SENT',
  'SYN-RECEIVED',
  'ESTABLISHED',
  'FIN-WAIT-1',
  'FIN-WAIT-2',
  'CLOSE-WAIT',
  'CLOSING',
  'LAST-ACK',
  'TIME-WAIT',
] as const;

export type TcpStateName = (typeof TCP_STATES)[number];

/** One conversation at the moment it was looked at. */
export interface FlowSnapshot {
  /** `tcp-17`: never reused while the network lives. */
  readonly id: string;
  readonly protocol: 'tcp' | 'udp';
  readonly guest: string;
  readonly guestPort: number;
  /** As the guest sees it: before NAT. */
  readonly remote: string;
  readonly remotePort: number;
  /** Outbound: the guest began. Inbound: a forward, or a program that dialled. */
  readonly direction: 'outbound' | 'inbound';
  /** Id of the VM's port when the flow began. */
  readonly port: number;
  /** TCP only: that of the connection to the guest. */
  readonly state?: TcpStateName;
  /** UDP only: from the guest, and to it. */
  readonly datagramsOut?: number;
  readonly datagramsIn?: number;
  /** Milliseconds since the guest was heard (TCP), or since any datagram, to the second (UDP); null: not yet. */
  readonly idle: number | null;
}

/** Fields that both kinds of flow have and a table does not need. */
export interface ListedFlow extends FlowEntry {
  readonly fromHost: boolean;
}

/** The part of a snapshot that both kinds have. */
export function describe(flow: ListedFlow, protocol: 'tcp' | 'udp'): Omit<FlowSnapshot, 'idle'> {
  return {
    id: `${protocol}-${flow.serial}`,
    protocol,
    guest: formatAddress(flow.guest0, flow.guest1, flow.guest2, flow.guest3),
    guestPort: flow.guestPort,
    remote: formatAddress(flow.remote0, flow.remote1, flow.remote2, flow.remote3),
    remotePort: flow.remotePort,
    direction: flow.fromHost ? 'inbound' : 'outbound',
    port: flow.vm.id,
  };
}
