/** The scripts of TCP once more, over IPv6: each file as it is, with benches that speak it. What differs stands here. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ReportKind } from '../../../src/gateway/guest-report.ts';
import { IpAddress } from '../../../src/packet/address.ts';
import { LARGEST_FRAME } from '../../../src/link/port.ts';
import * as vnet from '../../../src/packet/vnet-header.ts';
import { guestReport } from '../reports.ts';
import { addressOf, Bench, SYN, speakIpv6 } from './bench.ts';

speakIpv6();
const FILES = [
  'close',
  'congestion',
  'delayed-ack',
  'endings',
  'from-host',
  'handshake',
  'keep-alive',
  'named-scripts',
  'receive-window',
  'receive',
  'recovery',
  'send-times',
  'tail-loss',
  'transmit',
  'wrap',
];
for (const name of FILES) await import(`./${name}.test.js`);

test('segments fill the MTU behind the longer header, and offer what fits it', () => {
  const bench = new Bench({ mtu: 1480 });
  bench.guest({ flags: SYN, options: { mss: 9000 } });
  assert.equal(bench.expect({}).options.mss, 1440);
  bench.guest({});
  bench.stream.put(Buffer.alloc(3000));
  bench.round();
  assert.deepEqual(
    bench.drain().map(({ data, length }) => [data.length, length]),
    [
      [1440, 1514],
      [1440, 1514],
      [120, 194],
    ],
  );
});

test('a report of a smaller path makes segments smaller, but none smaller than every path carries (RFC 8201 §4)', () => {
  for (const [mtu, first] of [
    [1400, 1340],
    [1280, 1220],
    [600, 1220],
    [0, 1220],
  ] as const) {
    const bench = new Bench();
    bench.connected().put(Buffer.alloc(1460));
    bench.round();
    bench.drain();
    const [source, destination] = [addressOf('192.168.127.254').toString(), addressOf('192.168.127.2').toString()];
    const about = { kind: ReportKind.TOO_BIG, mtu, protocol: 6, source, destination, sourcePort: 80, destinationPort: 40_000 };
    bench.engine.report(guestReport({ ...about, source: IpAddress.parse('fd00:0:0:1::c0a8:7ffe')!.toString() }));
    bench.round();
    bench.silence();
    bench.engine.report(guestReport(about));
    bench.round();
    assert.deepEqual(
      bench.drain().map(({ data }) => data.length),
      [first, 1460 - first],
    );
  }
});

test('a VM that cuts segments itself is told that they are of IPv6', () => {
  const bench = new Bench({ port: { offload: true, largestFrame: LARGEST_FRAME } });
  const text = Buffer.alloc(8760, 'abcdefghijk').toString();
  bench.connected().put(text);
  bench.round();
  const [sent, ...more] = bench.drain();
  assert.deepEqual([sent!.data.toString() === text, more.length], [true, 0]);
  const header = bench.port.headers.at(-1)!;
  assert.deepEqual(
    [
      vnet.flags(header, 0),
      vnet.gsoType(header, 0),
      vnet.gsoSize(header, 0),
      vnet.checksumStart(header, 0),
      vnet.checksumOffset(header, 0),
    ],
    [vnet.NEEDS_CHECKSUM, vnet.GSO_TCPV6, 1460, 54, 16],
  );
});
