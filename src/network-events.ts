/** What a VirtualNetwork tells of itself. */
import type { Port } from './link/port.ts';
import type { LinkKind } from './link/spec.ts';

export interface NetworkEvents {
  connected: [port: Port, link: LinkKind];
  /** `reason` is text for the log. */
  disconnected: [port: Port, reason: string, link: LinkKind];
  /** A VM has sent its first frame from this MAC address; at most 64 of one VM are told of. */
  station: [mac: string, port: Port];
  /** A MAC address is used by another VM now; told of once a minute at most. */
  stationMoved: [mac: string, from: Port, to: Port];
  /** A VM sends from a MAC address that another one uses: its frames are dropped. Told of once a minute at most. */
  stationRefused: [mac: string, holder: Port, port: Port];
  /** The VM of a MAC address has gone. */
  stationGone: [mac: string, port: Port];
  /** A guest was given an IPv4 address, or keeps it for another hour. */
  lease: [address: string, mac: string];
  /** The capture file takes no more: its disk is full, for one. The network goes on. */
  captureEnded: [error: Error];
}
