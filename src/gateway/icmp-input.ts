/** ICMP for the gateway: answers echo requests to its own address, hands others on, reads errors about what it sent. */
import { finish, type Sum } from '../packet/checksum.ts';
import * as icmp from '../packet/icmpv4.ts';
import * as ipv4 from '../packet/ipv4.ts';
import type { Arena } from '../runtime/arena.ts';
import type { Ipv4Output } from './ipv4-output.ts';
import { GuestReport, ReportKind } from './guest-report.ts';
import type { InboundPacket, Transport } from './packet.ts';

export class IcmpCounters {
  echoAnswered = 0;
  echoForwarded = 0;
  reports = 0;
  dropMalformed = 0;
  dropChecksum = 0;
  dropOther = 0;
  /** Messages whose checksum is good, by type. */
  readonly ofType: Float64Array = new Float64Array(256);
}

export class IcmpInput implements Transport {
  readonly counters: IcmpCounters = new IcmpCounters();
  /** Takes echo requests to other addresses. */
  echo: Transport | null = null;
  /** Reused between reports. */
  readonly #report: GuestReport = new GuestReport();
  readonly #arena: Arena;
  readonly #sum: Sum;
  readonly #output: Ipv4Output;
  readonly #address: number;
  readonly #reported: (report: GuestReport) => void;

  constructor(arena: Arena, sum: Sum, output: Ipv4Output, address: number, reported: (report: GuestReport) => void) {
    this.#arena = arena;
    this.#sum = sum;
    this.#output = output;
    this.#address = address;
    this.#reported = reported;
  }

  input(packet: InboundPacket): void {
    const { bytes } = packet;
    const at = packet.payload;
    const length = packet.end - at;
    if (length < icmp.HEADER) {
      this.counters.dropMalformed++;
      return;
    }
    // The one checksum that is verified (contract §8.4): the sum over a good message is all ones.
    if (this.#sum(at, length, 0) !== 0xffff) {
      this.counters.dropChecksum++;
      return;
    }
    const type = icmp.type(bytes, at);
    this.counters.ofType[type]!++;
    if (type === icmp.ECHO_REQUEST) this.#echoRequest(packet);
    else if (icmp.isError(type)) this.#error(packet, at, length);
    else this.counters.dropOther++;
  }

  #echoRequest(packet: InboundPacket): void {
    if (packet.destination3 !== this.#address) {
      this.counters.echoForwarded++;
      this.echo?.input(packet);
      return;
    }
    // In place: the request's memory is ours until the batch ends, and only type and checksum change.
    const { bytes } = this.#arena;
    const at = packet.payload;
    const length = packet.end - at;
    bytes[at] = icmp.ECHO_REPLY;
    icmp.setChecksum(bytes, at, 0);
    icmp.setChecksum(bytes, at, finish(this.#sum(at, length, 0)));
    if (this.#output.send(packet.neighbour, this.#address, packet.source3, ipv4.PROTOCOL_ICMP, at, length)) this.counters.echoAnswered++;
  }

  /** RFC 1122 §3.2.2: an error quotes the IP header and at least eight bytes behind it. */
  #error(packet: InboundPacket, at: number, length: number): void {
    const { bytes } = packet;
    const quoted = at + icmp.HEADER;
    const available = length - icmp.HEADER;
    const header = available >= ipv4.HEADER ? ipv4.headerLength(bytes, quoted) : 0;
    if (header < ipv4.HEADER || ipv4.version(bytes, quoted) !== 4 || available < header + 8) {
      this.counters.dropMalformed++;
      return;
    }
    const report = this.#report;
    const unreachable = icmp.type(bytes, at) === icmp.UNREACHABLE;
    const code = icmp.code(bytes, at);
    const tooBig = unreachable && code === icmp.CODE_FRAGMENTATION_NEEDED;
    report.kind = tooBig ? ReportKind.TOO_BIG : unreachable && code === icmp.CODE_PORT ? ReportKind.PORT_UNREACHABLE : ReportKind.OTHER;
    report.mtu = tooBig ? icmp.nextHopMtu(bytes, at) : 0;
    report.protocol = ipv4.protocol(bytes, quoted);
    report.from(ipv4.source(bytes, quoted), ipv4.destination(bytes, quoted));
    // A guest can only report about what was sent to itself.
    if (report.destination3 !== packet.source3) {
      this.counters.dropMalformed++;
      return;
    }
    report.sourcePort = (bytes[quoted + header]! << 8) | bytes[quoted + header + 1]!;
    report.destinationPort = (bytes[quoted + header + 2]! << 8) | bytes[quoted + header + 3]!;
    this.counters.reports++;
    this.#reported(report);
  }
}
