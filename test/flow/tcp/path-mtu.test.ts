import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ReportKind } from '../../../src/gateway/guest-report.ts';
import * as ethernet from '../../../src/packet/ethernet.ts';
import { guestReport, type ReportFields } from '../reports.ts';
import { Bench } from './bench.ts';

function report(bench: Bench, mtu: number, changes: Partial<ReportFields> = {}): void {
  const [source, destination] = ['192.168.127.254', '192.168.127.2'];
  const fields = { kind: ReportKind.TOO_BIG, mtu, protocol: 6, source, destination, sourcePort: 80, destinationPort: 40_000 };
  bench.engine.report(guestReport({ ...fields, ...changes }));
  bench.round();
}

function lengths(bench: Bench): number[] {
  return bench.drain().map(({ data }) => data.length);
}

test('what was too large is sent again in smaller segments at once, and so is what follows', () => {
  const bench = new Bench();
  const stream = bench.connected();
  stream.put(Buffer.alloc(2920, 'x'));
  bench.round();
  assert.deepEqual(lengths(bench), [1460, 1460]);
  report(bench, 1000);
  assert.deepEqual(lengths(bench), [960, 960, 960, 40]);
  assert.equal(bench.counters.pathMtu, 1);
  assert.equal(bench.counters.timeouts, 0);
});

test('a report changes nothing that is not about a segment in flight of this connection, or larger than what is sent', () => {
  const bench = new Bench();
  const stream = bench.connected();
  report(bench, 1000);
  stream.put(Buffer.alloc(1460));
  bench.round();
  bench.drain();
  for (const changes of [
    { kind: ReportKind.PORT_UNREACHABLE },
    { kind: ReportKind.OTHER },
    { protocol: 17 },
    { source: '192.168.127.253' },
    { destination: '192.168.127.3' },
    { source: '::c0a8:7ffe' },
    { sourcePort: 81 },
    { destinationPort: 1 },
    { mtu: 1500 },
  ]) {
    report(bench, 1000, changes);
  }
  assert.deepEqual(lengths(bench), []);
  assert.equal(bench.counters.pathMtu, 0);
});

test('a report of nearly nothing does not make segments of nearly nothing', () => {
  for (const mtu of [0, 68, 41, 65_535]) {
    const bench = new Bench();
    bench.connected().put(Buffer.alloc(1024));
    bench.round();
    bench.drain();
    report(bench, mtu);
    assert.deepEqual(lengths(bench), mtu === 65_535 ? [] : [512, 512]);
  }
});

test('sends nothing that does not fit the smallest network there is, whatever the guest asks for', () => {
  const bench = new Bench({ mtu: 68 });
  const stream = bench.connected({ mss: 1460 });
  stream.put(Buffer.alloc(100, 'x'));
  bench.round();
  assert.deepEqual(lengths(bench), [28, 28, 28, 16]);
  // Five holes: three blocks of SACK find room.
  for (let i = 1; i <= 5; i++) bench.guest({ seq: bench.seq + i * 20, data: 'out of order' });
  assert.deepEqual(
    bench.port.take().map((frame) => frame.length - ethernet.HEADER),
    [52, 60, 68, 68, 68],
  );
});
