/** What the API is about: one network and its forwards. */
import type { VirtualNetwork } from '../../network.ts';

/** The part of a network that is shown and changed. */
export type V1Network = Pick<
  VirtualNetwork,
  | 'on'
  | 'off'
  | 'addresses'
  | 'liveCapture'
  | 'stations'
  | 'leases'
  | 'ports'
  | 'linkOf'
  | 'zones'
  | 'flows'
  | 'counters'
  | 'bytesSent'
  | 'bytesReceived'
>;

export interface ForwardRequest {
  /** Contract §14.1: `tcp`, `udp`, `unix`. */
  readonly protocol: string;
  /** `host:port`, or the path of a unix socket. */
  readonly local: string;
  readonly remote: string;
}

export interface ForwardInfo extends ForwardRequest {
  /** The host's port; undefined for a unix socket. */
  readonly boundPort?: number | undefined;
}

/** Why the registry refuses: `code` of the errors that it throws. */
export type ForwardErrorCode = 'remote' | 'address' | 'conflict' | 'bind' | 'unsupported' | 'not-found';

/** The forwards of a network. What it throws has a ForwardErrorCode for its `code`. */
export interface ForwardRegistry {
  list(): readonly ForwardInfo[];
  /** All of them or none. */
  exposeAll(requests: readonly ForwardRequest[]): Promise<readonly ForwardInfo[]>;
  unexpose(protocol: string, local: string): void;
}
