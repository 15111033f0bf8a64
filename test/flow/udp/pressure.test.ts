import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ReportKind } from '../../../src/gateway/guest-report.ts';
import { guestReport } from '../reports.ts';
import { Ipv4Output } from '../../../src/gateway/ipv4-output.ts';
import { Ipv6Output } from '../../../src/gateway/ipv6-output.ts';
import type { DatagramEndpoint } from '../../../src/host/endpoint.ts';
import { type FrameSink, MemoryPort } from '../../../src/link/memory-port.ts';
import type { Arena } from '../../../src/runtime/arena.ts';
import { SeededRandom } from '../../../src/runtime/clock.ts';
import * as ipv4 from '../../../src/packet/ipv4.ts';
import { ENETUNREACH } from '../../../src/system/errno.ts';
import { FakePort } from '../../fake-port.ts';
import { Bench, FakeDatagram } from './bench.ts';
import { addressOf, guestAt, headers, ipHeader, sourceOf, speaksIpv6 } from './speak.ts';

/** A guest that scans: `count` conversations of one datagram each, a hundred to the batch. */
function scan(bench: Bench, count: number): void {
  for (let i = 0; i < count; i++) {
    bench.input('9.9.9.9', 1 + i, 'x', { from: 6000 });
    if (i % 100 === 99) bench.round();
  }
  bench.round();
}

test('a scan does not push out conversations that talk', () => {
  const bench = new Bench(100);
  for (let i = 0; i < 5; i++) {
    bench.send('1.1.1.1', 443, 'x');
    bench.answerWith(bench.endpoints[0]!, 'y');
  }
  bench.timers.advance(60_000);
  scan(bench, 1000);
  bench.timers.advance(65_000);
  scan(bench, 1000);
  assert.equal(bench.endpoints[0]!.closed, false);
  bench.answerWith(bench.endpoints[0]!, 'still here');
  assert.equal(bench.port.take().at(-1)!.subarray(headers()).toString(), 'still here');
});

test('of conversations that all talk the one quiet longest makes room', () => {
  const bench = new Bench(3);
  for (let i = 0; i < 3; i++) {
    bench.send('1.1.1.1', 100 + i, 'x');
    bench.answerWith(bench.endpoints[i]!, 'y', 'y');
    bench.timers.advance((i + 1) * 5000);
  }
  bench.send('1.1.1.1', 100, 'x');
  bench.send('1.1.1.1', 200, 'x');
  assert.deepEqual(
    bench.endpoints.map(({ closed }) => closed),
    [false, true, false, false],
  );
});

test('datagrams of a conversation that makes room within the batch are sent before it goes', () => {
  const bench = new Bench(10);
  scan(bench, 100);
  assert.equal(bench.endpoints.length, 100);
  for (const endpoint of bench.endpoints) assert.deepEqual(endpoint.sent.map(String), ['x']);
  assert.equal(bench.engine.size, 10);
});

test('a guest that opens thousands of conversations in one batch gets some of them, and the next batch gets its own', () => {
  const bench = new Bench(8192);
  for (let i = 0; i < 3000; i++) bench.input('9.9.9.9', 1 + i, 'x');
  bench.round();
  assert.equal(bench.endpoints.length, 128);
  assert.equal(bench.engine.counters.dropFlood, 2872);
  bench.send('1.1.1.1', 53, 'question');
  assert.equal(bench.endpoints.length, 129);
});

test("a VM's flood of conversations does not end another VM's", () => {
  const bench = new Bench(100);
  const other = guestAt('192.168.127.3');
  other.port = new FakePort(bench.arena, 1);
  const open = (port: number): unknown =>
    bench.engine.openFromHost(other, port, addressOf('1.1.1.1'), 53, new FakeDatagram(bench.arena, { onReady: () => {} }));
  scan(bench, 100);
  for (let port = 1; port <= 50; port++) assert.notEqual(open(port), null);
  scan(bench, 1000);
  const mine = [...bench.engine].filter((flow) => flow.vm === bench.port).length;
  assert.equal(bench.engine.size - mine, 50);
  assert.equal(mine, 100);
  // Who has more makes room, until both have the same.
  for (let port = 51; port <= 150; port++) assert.notEqual(open(port), null);
  const count = (vm: unknown): number => [...bench.engine].filter((flow) => flow.vm === vm).length;
  assert.deepEqual([count(bench.port), count(other.port)], [75, 75]);
});

test('a destination that cannot be reached costs nobody his conversation', () => {
  const bench = new Bench(2);
  bench.send('1.1.1.1', 1, 'x');
  bench.send('1.1.1.1', 2, 'x');
  bench.answer = -ENETUNREACH;
  bench.send('1.1.1.1', 3, 'x');
  assert.equal(bench.engine.size, 2);
  assert.equal(bench.engine.counters.evicted, 0);
});

test("a guest's port unreachable ends the conversation it is about, and no other", () => {
  const bench = new Bench();
  bench.send('1.1.1.1', 9, 'x');
  const report = {
    kind: ReportKind.PORT_UNREACHABLE,
    protocol: ipv4.PROTOCOL_UDP,
    source: addressOf('1.1.1.1').toString(),
    destination: addressOf('192.168.127.2').toString(),
    sourcePort: 9,
    destinationPort: 5000,
  };
  for (const other of [
    { kind: ReportKind.OTHER },
    { kind: ReportKind.TOO_BIG },
    { protocol: 6 },
    { source: '0.0.0.1' },
    { destination: '0.0.0.1' },
    { source: '::101:101' },
    { sourcePort: 8 },
    { destinationPort: 1 },
  ])
    bench.engine.report(guestReport({ ...report, ...other }));
  assert.equal(bench.engine.size, 1);
  bench.engine.report(guestReport(report));
  assert.equal(bench.engine.size, 0);
  assert.equal(bench.endpoints[0]!.closed, true);
  assert.equal(bench.engine.counters.closedByGuest, 1);
  bench.send('1.1.1.1', 9, 'again');
  assert.deepEqual(bench.endpoints[1]!.sent.map(String), ['again']);
});

test('a conversation that waited for a port goes on when its guest moves to another', () => {
  const bench = new Bench();
  bench.send('1.1.1.1', 9, 'x');
  bench.port.full = true;
  bench.answerWith(bench.endpoints[0]!, 'one');
  const other = new FakePort(bench.arena, 1);
  bench.neighbour.port = other;
  bench.answerWith(bench.endpoints[0]!, 'two');
  assert.deepEqual(
    other.take().map((frame) => frame.subarray(headers()).toString()),
    ['one', 'two'],
  );
});

test('a conversation that waited for a port goes on when that port goes', () => {
  const bench = new Bench();
  bench.send('1.1.1.1', 9, 'x');
  bench.port.full = true;
  bench.answerWith(bench.endpoints[0]!, 'one');
  const other = new FakePort(bench.arena, 1);
  bench.neighbour.port = other;
  bench.engine.detached();
  bench.round();
  assert.equal(other.take().length, 1);
});

test('nothing of large datagrams is lost on the way to a guest that keeps up, nor while it does not', () => {
  for (const size of [4000, 9000, 32_768, 65_507]) {
    const frames: number[] = [];
    // Several times what the port holds.
    const count = Math.ceil((4 << 20) / size);
    const bench = new Bench(100, {
      sendIpv4: (arena: Arena) => {
        const output = new Ipv4Output(arena, { hi: 0x5a94, lo: 1 }, 1500, new SeededRandom(3));
        return (...args) => output.send(...args);
      },
      sendIpv6: (arena: Arena) => {
        const output = new Ipv6Output(arena, { hi: 0x5a94, lo: 1 }, 1500, new SeededRandom(3));
        return (...args) => output.send(...args);
      },
    });
    const isCut = (bytes: Uint8Array, at: number): boolean => speaksIpv6() && bytes[at + 20] === 44;
    const sink: FrameSink = (bytes, at, length) => void frames.push(length - 14 - ipHeader() - (isCut(bytes, at) ? 8 : 0));
    const receiver = {
      frame: () => {},
      endOfBatch: () => {},
      drained: () => bench.engine.drained(port),
      attached: () => {},
      detached: () => {},
    };
    const port: MemoryPort = new MemoryPort(1, 'guest', bench.arena, { wake: () => {} }, receiver, sink);
    bench.neighbour.port = port;
    bench.send('1.1.1.1', 9, 'x');
    const endpoint = bench.endpoints[0]!;
    port.pause();
    bench.answerWith(endpoint, ...Array.from({ length: 10 }, () => 'small'), ...Array.from({ length: count }, () => Buffer.alloc(size)));
    assert.ok(endpoint.incoming.length > 0, 'the socket keeps what the guest does not take');
    port.resume();
    for (let i = 0; i < 1000 && (port.flush() || endpoint.incoming.length > 0); i++) bench.round();
    assert.equal(endpoint.incoming.length, 0);
    assert.equal(bench.engine.counters.dropNoRoom, 0, `${bench.engine.counters.dropNoRoom} of ${size} bytes dropped`);
    assert.equal(
      frames.reduce((sum, length) => sum + length, 0),
      (10 + count) * 8 + 10 * 5 + count * size,
    );
  }
});

test('a conversation opened from the host carries both ways and shows its source', () => {
  const bench = new Bench();
  const endpoint = new FakeDatagram(bench.arena, { onReady: () => {} });
  const from = addressOf('192.168.127.1');
  const open = (with_: DatagramEndpoint): unknown => bench.engine.openFromHost(bench.neighbour, 5000, from, 40_000, with_);
  assert.notEqual(open(endpoint), null);
  assert.equal(open(new FakeDatagram(bench.arena, { onReady: () => {} })), null, 'one conversation per addresses');
  bench.answerWith(endpoint, 'from outside');
  const [frame] = bench.port.take();
  assert.equal(sourceOf(frame!), '192.168.127.1');
  assert.equal(frame!.subarray(headers()).toString(), 'from outside');
  bench.send('192.168.127.1', 40_000, 'answer');
  assert.deepEqual(endpoint.sent.map(String), ['answer']);
});

test('a conversation opened from the host finds room in a full table, and closing the engine closes it', () => {
  const bench = new Bench(2);
  scan(bench, 2);
  const endpoint = new FakeDatagram(bench.arena, { onReady: () => {} });
  const guest = guestAt('192.168.127.3');
  guest.port = bench.port;
  assert.notEqual(bench.engine.openFromHost(guest, 1, addressOf('192.168.127.1'), 1, endpoint), null);
  assert.equal(bench.engine.size, 2);
  bench.engine.close();
  assert.equal(endpoint.closed, true);
});
