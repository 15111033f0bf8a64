import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatAddress } from '../../src/packet/address.ts';
import { finish, sum } from '../../src/packet/checksum.ts';
import * as icmp from '../../src/packet/icmpv4.ts';
import * as ipv4 from '../../src/packet/ipv4.ts';
import { type GuestReport, ReportKind } from '../../src/gateway/guest-report.ts';
import { address, GatewayBench, ipFrame } from './bench.ts';

function listen(bench: GatewayBench): object[] {
  const heard: object[] = [];
  bench.gateway.onReport(({ kind, mtu, protocol, sourcePort, destinationPort, ...report }: GuestReport) => {
    const source = formatAddress(report.source0, report.source1, report.source2, report.source3);
    const destination = formatAddress(report.destination0, report.destination1, report.destination2, report.destination3);
    heard.push({ kind, mtu, protocol, source, sourcePort, destination, destinationPort });
  });
  return heard;
}

/** A guest's error about a datagram from 1.1.1.1:53 to it. */
function error(type: number, code: number, rest = 0, quotedTo = '192.168.127.2', quoted = 8): Buffer {
  const message = Buffer.alloc(icmp.HEADER + ipv4.HEADER + quoted);
  icmp.write(message, 0, type, code, rest);
  ipv4.write(message, icmp.HEADER, 100, 1, 0, 64, ipv4.PROTOCOL_UDP, address('1.1.1.1'), address(quotedTo));
  if (quoted >= 4) message.writeUInt32BE((53 << 16) | 5000, icmp.HEADER + ipv4.HEADER);
  icmp.setChecksum(message, 0, finish(sum(message, 0, message.length)));
  return ipFrame({ destination: '192.168.127.1', protocol: ipv4.PROTOCOL_ICMP, payload: message });
}

test('tells of what guests report about packets they were sent', () => {
  const bench = new GatewayBench();
  const heard = listen(bench);
  const about = { protocol: 17, source: '1.1.1.1', sourcePort: 53, destination: '192.168.127.2', destinationPort: 5000 };
  bench.input(error(icmp.UNREACHABLE, icmp.CODE_PORT, 1400));
  bench.input(error(icmp.UNREACHABLE, icmp.CODE_FRAGMENTATION_NEEDED, 1400));
  bench.input(error(icmp.UNREACHABLE, icmp.CODE_HOST));
  bench.input(error(icmp.TIME_EXCEEDED, icmp.CODE_PORT));
  assert.deepEqual(heard, [
    { kind: ReportKind.PORT_UNREACHABLE, mtu: 0, ...about },
    { kind: ReportKind.TOO_BIG, mtu: 1400, ...about },
    { kind: ReportKind.OTHER, mtu: 0, ...about },
    { kind: ReportKind.OTHER, mtu: 0, ...about },
  ]);
});

test('believes no report about what was sent to somebody else, or that quotes too little', () => {
  const bench = new GatewayBench();
  const heard = listen(bench);
  bench.input(error(icmp.UNREACHABLE, icmp.CODE_PORT, 0, '192.168.127.3'));
  bench.input(error(icmp.UNREACHABLE, icmp.CODE_PORT, 0, '192.168.127.2', 7));
  assert.deepEqual(heard, []);
  assert.equal(bench.gateway.icmpInput.counters.dropMalformed, 2);
});
