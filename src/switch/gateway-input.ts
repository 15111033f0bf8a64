import type { Port } from '../link/port.ts';

/** What the switch hands to the gateway: frames for its MAC address, and broadcasts. */
export interface GatewayInput {
  /** Frames to groups of IPv6 (33:33:…) are for the gateway too. Default false. */
  readonly speaksIpv6?: boolean;
  /** A frame of at least an Ethernet header at arena offset `at`, valid until `endOfBatch`. */
  input(port: Port, at: number, length: number): void;
  endOfBatch(): void;
  drained(port: Port): void;
  detached(port: Port): void;
}
