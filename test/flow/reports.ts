/** What the gateway makes of a guest's ICMP error, without the error. */
import { IpAddress } from '../../src/packet/address.ts';
import { GuestReport, type ReportKind } from '../../src/gateway/guest-report.ts';

export interface ReportFields {
  kind: ReportKind;
  mtu?: number;
  protocol: number;
  source: string;
  destination: string;
  sourcePort: number;
  destinationPort: number;
}

export function guestReport({ source, destination, ...fields }: ReportFields): GuestReport {
  const report = Object.assign(new GuestReport(), fields);
  const [from, to] = [IpAddress.parse(source)!, IpAddress.parse(destination)!];
  [report.source0, report.source1, report.source2, report.source3] = [from.w0, from.w1, from.w2, from.w3];
  [report.destination0, report.destination1, report.destination2, report.destination3] = [to.w0, to.w1, to.w2, to.w3];
  return report;
}
