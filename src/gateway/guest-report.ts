/** What a guest's ICMP error says of a packet it was sent, in either version of IP. */
import { MAPPED } from '../packet/address.ts';

export type ReportKind = (typeof ReportKind)[keyof typeof ReportKind];
export const ReportKind = {
  OTHER: 0,
  /** Nobody has the port that it was sent to. */
  PORT_UNREACHABLE: 1,
  /** It is larger than the MTU of the way behind the guest. */
  TOO_BIG: 2,
} as const;

/** Reused between reports. Addresses and ports are those of the packet that the error quotes, as it was sent to the guest. */
export class GuestReport {
  kind: ReportKind = ReportKind.OTHER;
  /** Next-hop MTU in bytes, of TOO_BIG; else 0. */
  mtu = 0;
  protocol = 0;
  source0 = 0;
  source1 = 0;
  source2 = 0;
  source3 = 0;
  destination0 = 0;
  destination1 = 0;
  destination2 = 0;
  destination3 = 0;
  sourcePort = 0;
  destinationPort = 0;

  /** Sets IPv4 addresses, given as words. */
  from(source: number, destination: number): void {
    this.source0 = this.source1 = this.destination0 = this.destination1 = 0;
    this.source2 = this.destination2 = MAPPED;
    this.source3 = source;
    this.destination3 = destination;
  }
}
