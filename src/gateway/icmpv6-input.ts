/** ICMPv6 for the gateway: answers echo requests to its own addresses, hands others on, reads errors about what it sent. */
import { pseudoIpv6, type Sum } from '../packet/checksum.ts';
import { u16 } from '../packet/bytes.ts';
import * as icmp from '../packet/icmpv6.ts';
import * as ipv6 from '../packet/ipv6.ts';
import * as ndp from '../packet/ndp.ts';
import type { Arena } from '../runtime/arena.ts';
import { GuestReport, ReportKind } from './guest-report.ts';
import type { Icmpv6Output } from './icmpv6-output.ts';
import type { Ipv6Addresses } from './ipv6-addresses.ts';
import type { NeighbourDiscovery } from './neighbour-discovery.ts';
import type { InboundPacket, Transport } from './packet.ts';

export class Icmpv6Counters {
  echoAnswered = 0;
  echoForwarded = 0;
  reports = 0;
  /** Who listens to which groups (RFC 3810). Taken note of, and nothing more: every group reaches every VM. */
  listeners = 0;
  dropMalformed = 0;
  dropChecksum = 0;
  dropOther = 0;
  /** Messages whose checksum is good, by type. */
  readonly ofType: Float64Array = new Float64Array(256);
}

export interface Icmpv6InputOptions {
  readonly arena: Arena;
  readonly sum: Sum;
  readonly output: Icmpv6Output;
  readonly addresses: Ipv6Addresses;
  readonly discovery: NeighbourDiscovery;
  /** The report is reused. */
  readonly reported: (report: GuestReport) => void;
}

export class Icmpv6Input implements Transport {
  readonly counters: Icmpv6Counters = new Icmpv6Counters();
  /** Takes echo requests to other addresses. */
  echo: Transport | null = null;
  readonly #report: GuestReport = new GuestReport();
  readonly #options: Icmpv6InputOptions;

  constructor(options: Icmpv6InputOptions) {
    this.#options = options;
  }

  input(packet: InboundPacket): void {
    const at = packet.payload;
    const length = packet.end - at;
    if (length < icmp.HEADER) {
      this.counters.dropMalformed++;
      return;
    }
    const { source0, source1, source2, source3, destination0, destination1, destination2, destination3 } = packet;
    const pseudo = pseudoIpv6(
      source0,
      source1,
      source2,
      source3,
      destination0,
      destination1,
      destination2,
      destination3,
      ipv6.PROTOCOL_ICMPV6,
      length,
    );
    if (this.#options.sum(at, length, pseudo) !== 0xffff) {
      this.counters.dropChecksum++;
      return;
    }
    const type = packet.bytes[at]!;
    this.counters.ofType[type]!++;
    if (type === icmp.ECHO_REQUEST) this.#echoRequest(packet);
    else if (type >= ndp.ROUTER_SOLICITATION && type <= ndp.REDIRECT) this.#options.discovery.input(packet, type);
    else if (icmp.isError(type)) this.#error(packet, at, length);
    else if ((type >= icmp.LISTENER_QUERY && type <= icmp.LISTENER_DONE) || type === icmp.LISTENER_REPORT_2) this.counters.listeners++;
    else this.counters.dropOther++;
  }

  /** In place, as for IPv4; not for nobody, who has no address. A request to a group that we are in is answered by our own (RFC 4443 §4.2). */
  #echoRequest(packet: InboundPacket): void {
    const { addresses, arena, output } = this.#options;
    const { source0, source1, source2, source3, destination0, destination1, destination2, destination3 } = packet;
    if ((source0 | source1 | source2 | source3) === 0) {
      this.counters.dropOther++;
      return;
    }
    if (!ipv6.isMulticast(destination0) && !addresses.isLocal(destination0, destination1, destination2, destination3)) {
      this.counters.echoForwarded++;
      this.echo?.input(packet);
      return;
    }
    const scope = ipv6.isMulticast(destination0) ? source0 : destination0;
    const at = packet.payload;
    arena.bytes[at] = icmp.ECHO_REPLY;
    const length = packet.end - at;
    if (output.send(packet.neighbour, addresses.sourceFor(scope), source0, source1, source2, source3, at, length))
      this.counters.echoAnswered++;
  }

  /** An error quotes the packet's header and what is behind it, ports first where it has no extension headers. */
  #error(packet: InboundPacket, at: number, length: number): void {
    const { bytes } = packet;
    const quoted = at + icmp.HEADER;
    const ports = quoted + ipv6.HEADER;
    if (length < icmp.HEADER + ipv6.HEADER + 4 || ipv6.version(bytes, quoted) !== 6 || !isForSender(packet, quoted)) {
      this.counters.dropMalformed++;
      return;
    }
    const report = this.#report;
    const type = bytes[at]!;
    const isPort = type === icmp.UNREACHABLE && bytes[at + 1] === icmp.CODE_PORT;
    report.kind = type === icmp.PACKET_TOO_BIG ? ReportKind.TOO_BIG : isPort ? ReportKind.PORT_UNREACHABLE : ReportKind.OTHER;
    report.mtu = type === icmp.PACKET_TOO_BIG ? icmp.mtu(bytes, at) : 0;
    report.protocol = ipv6.nextHeader(bytes, quoted);
    report.source0 = ipv6.source(bytes, quoted, 0);
    report.source1 = ipv6.source(bytes, quoted, 1);
    report.source2 = ipv6.source(bytes, quoted, 2);
    report.source3 = ipv6.source(bytes, quoted, 3);
    report.destination0 = packet.source0;
    report.destination1 = packet.source1;
    report.destination2 = packet.source2;
    report.destination3 = packet.source3;
    report.sourcePort = u16(bytes, ports);
    report.destinationPort = u16(bytes, ports + 2);
    this.counters.reports++;
    this.#options.reported(report);
  }
}

/** A guest can only report about what was sent to itself. */
function isForSender(packet: InboundPacket, quoted: number): boolean {
  const { bytes } = packet;
  return (
    ipv6.destination(bytes, quoted, 3) === packet.source3 &&
    ipv6.destination(bytes, quoted, 2) === packet.source2 &&
    ipv6.destination(bytes, quoted, 1) === packet.source1 &&
    ipv6.destination(bytes, quoted, 0) === packet.source0
  );
}
