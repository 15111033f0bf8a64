import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { InboundPacket } from '../../../src/gateway/packet.ts';
import { formatIpv4 } from '../../../src/packet/address.ts';
import { sum } from '../../../src/packet/checksum.ts';
import * as udp from '../../../src/packet/udp.ts';
import { ECONNREFUSED, EMFILE, ENETUNREACH } from '../../../src/system/errno.ts';
import { address, Bench } from './bench.ts';
import { addressOf, describe, headers, ipHeader, pseudo, sourceOf, speaksIpv6, textOf } from './speak.ts';

test('a datagram leaves by a socket of its own, the answer comes from where it was sent', () => {
  const bench = new Bench();
  bench.send('192.168.127.254', 5353, 'question');
  assert.deepEqual(bench.targets, ['127.0.0.1:5353 from 5000']);
  const endpoint = bench.endpoints[0]!;
  assert.deepEqual(endpoint.sent.map(String), ['question']);
  bench.answerWith(endpoint, 'answer');
  const [frame] = bench.port.take();
  const header = 14 + ipHeader();
  assert.equal(sourceOf(frame!), '192.168.127.254');
  assert.deepEqual([udp.sourcePort(frame!, header), udp.destinationPort(frame!, header)], [5353, 5000]);
  assert.equal(frame!.subarray(headers()).toString(), 'answer');
  if (!speaksIpv6()) assert.equal(sum(frame!, 14, 20), 0xffff);
  const length = frame!.length - header;
  assert.equal(sum(frame!, header, length, pseudo('192.168.127.254', '192.168.127.2', length)), 0xffff);
});

test('the datagrams of one batch leave in one call per flow, in order', () => {
  const bench = new Bench();
  for (let i = 0; i < 10; i++) {
    bench.input('1.1.1.1', 1000, `a${i}`);
    bench.input('2.2.2.2', 1000, `b${i}`);
  }
  bench.round();
  assert.equal(bench.endpoints.length, 2);
  for (const [i, name] of ['a', 'b'].entries()) {
    assert.equal(bench.endpoints[i]!.calls, 1);
    assert.deepEqual(
      bench.endpoints[i]!.sent.map(String),
      Array.from({ length: 10 }, (_, n) => `${name}${n}`),
    );
  }
});

test('flows with the same source port to different places do not mix', () => {
  const bench = new Bench();
  bench.send('1.1.1.1', 53, 'x');
  bench.send('1.1.1.1', 54, 'x');
  bench.send('2.2.2.2', 53, 'x');
  bench.send('1.1.1.1', 53, 'x', { from: 5001 });
  assert.equal(bench.endpoints.length, 4);
});

test('empty datagrams pass both ways', () => {
  const bench = new Bench();
  bench.send('1.1.1.1', 9, '');
  assert.deepEqual(bench.endpoints[0]!.sent.map(String), ['']);
  bench.answerWith(bench.endpoints[0]!, '', 'more');
  assert.deepEqual(
    bench.port.take().map((frame) => frame.length - headers()),
    [0, 4],
  );
});

test('a datagram that does not fit the MTU goes to the fragmenter whole', () => {
  const bench = new Bench();
  bench.send('1.1.1.1', 9, 'x');
  bench.answerWith(bench.endpoints[0]!, Buffer.alloc(1472, 1), Buffer.alloc(1473, 2), Buffer.alloc(65_507, 3));
  assert.equal(bench.port.take().length, 1);
  assert.deepEqual(
    bench.large.map(({ length }) => length),
    [1481, 65_515],
  );
  for (const { data, length } of bench.large) {
    assert.equal(sum(data, 0, length, pseudo('1.1.1.1', '192.168.127.2', length)), 0xffff);
  }
});

test('a refusal by the host is a port unreachable to the guest, and the next datagram still goes', () => {
  const bench = new Bench();
  bench.send('1.1.1.1', 9, 'one');
  bench.endpoints[0]!.refusals = 1;
  bench.send('1.1.1.1', 9, 'two');
  assert.deepEqual(bench.unreachable, [3]);
  assert.deepEqual(bench.endpoints[0]!.sent.map(String), ['one', 'two']);
  bench.endpoints[0]!.receiveError = ECONNREFUSED;
  bench.answerWith(bench.endpoints[0]!);
  assert.deepEqual(bench.unreachable, [3, 3]);
});

test('an unreachable network is told at once', () => {
  const bench = new Bench();
  bench.answer = -ENETUNREACH;
  bench.send('1.1.1.1', 9, 'x');
  assert.deepEqual(bench.unreachable, [0]);
  assert.equal(bench.engine.size, 0);
});

test('blocked destinations are dropped, unserved ports of the gateway refused', () => {
  const bench = new Bench();
  // Of IPv6 the gateway refuses what is no host's.
  const blocked = speaksIpv6() ? [] : ['169.254.169.254', '127.0.0.1', '224.0.0.251', '255.255.255.255', '0.0.0.1'];
  for (const to of blocked) bench.send(to, 80, 'x');
  assert.equal(bench.engine.counters.blocked, blocked.length);
  bench.send('192.168.127.1', 9999, 'x');
  assert.deepEqual(bench.unreachable, [3]);
  assert.deepEqual(bench.targets, []);
});

test('ports of zero (CVE-2014-3640) and lengths that lie (CVE-2021-3594) are dropped and counted', () => {
  const bench = new Bench();
  bench.input('1.1.1.1', 0, 'x');
  bench.input('1.1.1.1', 9, 'x', { from: 0 });
  for (let length = 0; length < 8; length++) bench.input('1.1.1.1', 9, 'payload', { length });
  bench.input('1.1.1.1', 9, 'payload', { length: 16 });
  bench.input('1.1.1.1', 9, 'payload', { length: 65_535 });
  bench.round();
  assert.deepEqual([bench.engine.counters.dropPort, bench.engine.counters.dropMalformed, bench.engine.size], [2, 10, 0]);
  bench.send('1.1.1.1', 9, 'payload');
  bench.input('1.1.1.1', 9, 'payload with padding', { length: 8 + 7 });
  bench.round();
  assert.deepEqual(bench.endpoints[0]!.sent.map(String), ['payload', 'payload']);
});

test('a one-shot exchange is forgotten after seconds, a talk after minutes', () => {
  const cases: [port: number, sent: number, received: number, alive: number, gone: number][] = [
    [53, 1, 1, 1900, 2100],
    [123, 1, 1, 9900, 10_100],
    [123, 5, 0, 29_900, 30_100],
    [443, 5, 5, 119_900, 120_100],
  ];
  for (const [port, sent, received, alive, gone] of cases) {
    const bench = new Bench();
    for (let i = 0; i < sent; i++) bench.send('1.1.1.1', port, 'x');
    for (let i = 0; i < received; i++) bench.answerWith(bench.endpoints[0]!, 'y');
    bench.timers.advance(alive);
    assert.equal(bench.engine.size, 1, `port ${port}, ${sent}/${received} at ${alive} ms`);
    bench.timers.advance(gone);
    assert.equal(bench.engine.size, 0, `port ${port}, ${sent}/${received} at ${gone} ms`);
    assert.equal(bench.endpoints[0]!.closed, true);
  }
});

test('a full table makes room by the flow quiet longest; every socket is closed', () => {
  const bench = new Bench(100);
  for (let i = 0; i < 100_000; i++) bench.send('1.1.1.1', 1 + (i % 60_000), 'x', { from: 1024 + Math.floor(i / 60_000) });
  assert.equal(bench.engine.size, 100);
  assert.equal(bench.endpoints.filter(({ closed }) => !closed).length, 100);
  bench.engine.close();
  assert.equal(bench.endpoints.filter(({ closed }) => !closed).length, 0);
});

test('a host out of descriptors gets one back from the quietest flow', () => {
  const bench = new Bench();
  bench.send('1.1.1.1', 1, 'x');
  bench.answer = -EMFILE;
  bench.send('1.1.1.1', 2, 'x');
  assert.equal(bench.endpoints[0]!.closed, true);
  assert.equal(bench.engine.counters.hostExhausted, 1);
  bench.answer = 0;
  bench.send('1.1.1.1', 2, 'x');
  assert.equal(bench.engine.size, 1);
});

test('a full port leaves datagrams in the socket until there is room', () => {
  const bench = new Bench();
  bench.send('1.1.1.1', 9, 'x');
  bench.port.full = true;
  bench.answerWith(bench.endpoints[0]!, 'one', 'two');
  assert.equal(bench.endpoints[0]!.incoming.length, 2);
  bench.port.full = false;
  bench.engine.drained(bench.port);
  bench.round();
  assert.equal(bench.port.take().length, 2);
});

test('services get a copy, and answer from the gateway; a guest without address by broadcast', () => {
  const bench = new Bench();
  const heard: string[] = [];
  let later: ((payload: Uint8Array) => void) | undefined;
  bench.engine.listen(53, (payload, peer, reply) => {
    later = reply;
    heard.push(`${Buffer.from(payload).toString()} from ${textOf(peer.address)}:${peer.port}`);
  });
  bench.send('192.168.127.1', 53, 'query');
  later!(Buffer.from('answer'));
  assert.deepEqual(heard, ['query from 192.168.127.2:5000']);
  assert.deepEqual([bench.large[0]!.destination, bench.large[0]!.macHi], [address('192.168.127.2'), bench.neighbour.macHi]);
  if (!speaksIpv6()) {
    bench.engine.listen(67, (_payload, _peer, reply) => reply(Buffer.from('offer')), { anyAddress: true });
    bench.input('255.255.255.255', 67, 'discover', { from: 68, source: '0.0.0.0' });
    bench.round();
    assert.deepEqual([bench.large[1]!.destination, bench.large[1]!.macHi], [-1, 0xffff]);
  }
  bench.send('8.8.8.8', 53, 'elsewhere');
  assert.equal(bench.targets.length, 1);
});

test('when the port goes its flows go', () => {
  const bench = new Bench();
  bench.send('1.1.1.1', 9, 'x');
  bench.neighbour.port = null;
  bench.engine.detached();
  assert.equal(bench.endpoints[0]!.closed, true);
});

test('random packets never throw and never open more flows than the table holds', () => {
  const bench = new Bench(50);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), fc.integer(), (bytes, destination) => {
      const packet = new InboundPacket();
      const at = 8192;
      bench.arena.bytes.set(bytes, at);
      packet.bytes = bench.arena.bytes;
      packet.port = bench.port;
      packet.neighbour = bench.neighbour;
      packet.payload = at;
      packet.end = at + bytes.length;
      describe(packet, addressOf('192.168.127.2'), addressOf(formatIpv4(destination)), true);
      bench.engine.input(packet);
      bench.round();
      assert.ok(bench.engine.size <= 50);
    }),
    { numRuns: 3000 },
  );
});
