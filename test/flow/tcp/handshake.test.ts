import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  EACCES,
  EADDRNOTAVAIL,
  ECONNREFUSED,
  EHOSTUNREACH,
  EINPROGRESS,
  EMFILE,
  ENETDOWN,
  ENETUNREACH,
  ENFILE,
  ENOBUFS,
  ENOMEM,
} from '../../../src/system/errno.ts';
import { ACK, addressOf, Bench, blockedAddresses, defaultMss, RST, SYN } from './bench.ts';

test('answers a SYN only when the host has connected', () => {
  const bench = new Bench();
  bench.host.answer = -EINPROGRESS;
  bench.guest({ flags: SYN });
  bench.silence();
  bench.stream.finish();
  bench.round();
  bench.expect({ flags: SYN | ACK, ack: bench.seq });
  bench.silence();
});

test('dials the translated address', () => {
  const bench = new Bench();
  bench.guest({ flags: SYN, port: 8080 });
  bench.guest({ flags: SYN, to: '10.1.2.3', guestPort: 40001 });
  assert.deepEqual(bench.host.targets, [`${addressOf('127.0.0.1').toString()}:8080`, `${addressOf('10.1.2.3').toString()}:80`]);
});

test('ignores the guest repeating its SYN while the host connects', () => {
  const bench = new Bench();
  bench.host.answer = -EINPROGRESS;
  bench.guest({ flags: SYN, seq: 1000 });
  bench.guest({ flags: SYN, seq: 1000 });
  bench.silence();
  assert.equal(bench.host.streams.length, 1);
});

test('a RST or SYN in the window is challenged while the handshake is under way (RFC 5961 §3.2, §4.2)', () => {
  const bench = new Bench();
  bench.guest({ flags: SYN });
  const { seq } = bench.expect({ flags: SYN | ACK });
  for (const flags of [RST, SYN]) {
    bench.guest({ flags, seq: bench.seq + 100 });
    bench.expect({ flags: ACK, seq: (seq + 1) | 0, ack: bench.seq });
    bench.silence();
  }
  bench.guest({});
  bench.silence();
});

test('resets when the host refuses, at once and later', () => {
  const bench = new Bench();
  bench.host.answer = -ECONNREFUSED;
  bench.guest({ flags: SYN, seq: 1000 });
  bench.expect({ flags: RST | ACK, seq: 0, ack: 1001 });
  bench.host.answer = -EINPROGRESS;
  bench.guest({ flags: SYN, seq: 2000, guestPort: 40001 });
  bench.stream.finish(ECONNREFUSED);
  bench.round();
  bench.expect({ flags: RST | ACK, seq: 0, ack: 2001 });
  bench.silence();
  assert.equal(bench.engine.size, 0);
  assert.equal(bench.counters.refused, 2);
});

test('tells an unreachable destination by ICMP', () => {
  const bench = new Bench();
  bench.host.answer = -ENETUNREACH;
  bench.guest({ flags: SYN });
  bench.host.answer = -ENETDOWN;
  bench.guest({ flags: SYN });
  bench.host.answer = -EINPROGRESS;
  bench.guest({ flags: SYN, guestPort: 40001 });
  bench.stream.finish(EHOSTUNREACH);
  bench.round();
  bench.silence();
  assert.deepEqual(bench.unreachable, [0, 0, 1]);
  assert.equal(bench.engine.size, 0);
});

test('counts a host out of descriptors, memory or ports, and recovers', () => {
  for (const errno of [EMFILE, ENFILE, ENOBUFS, ENOMEM, EADDRNOTAVAIL]) {
    const bench = new Bench();
    bench.host.answer = -errno;
    bench.guest({ flags: SYN, seq: 1 });
    bench.expect({ flags: RST | ACK });
    assert.equal(bench.counters.hostExhausted, 1);
    bench.host.answer = 0;
    bench.guest({ flags: SYN, seq: 1 });
    bench.expect({ flags: SYN | ACK });
  }
});

test('refuses what the policy blocks without dialling', () => {
  const bench = new Bench();
  const blocked = blockedAddresses();
  for (const to of blocked) {
    bench.guest({ flags: SYN, to });
    bench.expect({ flags: RST | ACK });
  }
  assert.deepEqual(bench.host.targets, []);
  assert.equal(bench.counters.blocked, blocked.length);
});

test('refuses a port of the gateway that nobody listens on, and takes the one somebody does', () => {
  const bench = new Bench();
  bench.guest({ flags: SYN, to: '192.168.127.1' });
  bench.expect({ flags: RST | ACK });
  const accepted: number[] = [];
  bench.engine.listen(53, (flow) => {
    accepted.push(flow.guestPort);
    return false;
  });
  bench.guest({ flags: SYN, to: '192.168.127.1', port: 53 });
  assert.deepEqual(accepted, [40000]);
  assert.deepEqual(bench.host.targets, []);
});

test('agrees on window scale and SACK only when the guest offers them', () => {
  const offered = new Bench();
  offered.guest({ flags: SYN });
  const { options } = offered.expect({});
  assert.deepEqual([options.mss, options.windowScale >= 0, options.sackPermitted], [1460, true, true]);
  const plain = new Bench();
  plain.guest({ flags: SYN, options: false });
  const answer = plain.expect({});
  assert.deepEqual([answer.options.mss, answer.options.windowScale, answer.options.sackPermitted], [1460, -1, false]);
});

test('never applies a scale that was not negotiated', () => {
  const bench = new Bench();
  bench.guest({ flags: SYN, options: { scale: -1 }, window: 1000 });
  bench.expect({});
  bench.guest({ window: 1000 });
  bench.stream.put('x'.repeat(5000));
  bench.round();
  assert.equal(
    bench.drain().reduce((total, sent) => total + sent.data.length, 0),
    1000,
  );
});

test('the window of a SYN is not scaled', () => {
  const bench = new Bench();
  bench.guest({ flags: SYN, options: { scale: 7 }, window: 500 });
  bench.expect({});
  bench.stream.put('x'.repeat(5000));
  bench.round();
  bench.silence();
  bench.guest({ window: 10 });
  assert.equal(
    bench.drain().reduce((total, sent) => total + sent.data.length, 0),
    1280,
  );
});

test('a missing MSS option means 536, or 1220 with IPv6', () => {
  const bench = new Bench();
  bench.guest({ flags: SYN, options: false });
  bench.expect({});
  bench.guest({});
  bench.stream.put('x'.repeat(defaultMss() + 64));
  bench.round();
  bench.expect({ length: defaultMss() });
  bench.expect({ length: 64 });
});

test('an MSS option above the MTU is cut, an absurdly small one is raised', () => {
  for (const [mss, first] of [
    [9000, 1460],
    [1, 48],
  ] as const) {
    const bench = new Bench();
    bench.connected({ mss });
    bench.stream.put('x'.repeat(4000));
    bench.round();
    bench.expect({ length: first });
  }
});

test('takes data that comes with the last ACK of the handshake', () => {
  const bench = new Bench();
  bench.guest({ flags: SYN });
  bench.expect({});
  bench.guest({ data: 'hello' });
  assert.equal(bench.stream.written.toString(), 'hello');
  bench.expect({ flags: ACK, ack: 1006 });
});

test('repeats a SYN-ACK that was lost, then gives up and resets both sides', () => {
  const bench = new Bench();
  bench.guest({ flags: SYN });
  bench.expect({ flags: SYN | ACK });
  bench.later(1010);
  bench.expect({ flags: SYN | ACK });
  bench.later(2010);
  bench.expect({ flags: SYN | ACK });
  bench.later(120_000);
  const last = bench.drain().at(-1)!;
  assert.equal(last.flags & RST, RST);
  assert.equal(bench.stream.wasReset, true);
  assert.equal(bench.engine.size, 0);
});

test("answers the guest's repeated SYN with the same SYN-ACK", () => {
  const bench = new Bench();
  bench.guest({ flags: SYN, seq: 1000 });
  const first = bench.expect({ flags: SYN | ACK });
  bench.guest({ flags: SYN, seq: 1000 });
  bench.expect({ flags: SYN | ACK, seq: first.seq });
});

test('a wrong ACK in the handshake is answered with a reset and nothing is established', () => {
  const bench = new Bench();
  bench.guest({ flags: SYN });
  bench.expect({});
  bench.guest({ ack: 12345 });
  bench.expect({ flags: RST, seq: 12345 });
  bench.guest({});
  bench.silence();
});

test('a reset during the handshake resets the host side', () => {
  for (const answer of [0, -EINPROGRESS]) {
    const bench = new Bench();
    bench.host.answer = answer;
    bench.guest({ flags: SYN });
    bench.drain();
    bench.guest({ flags: RST });
    assert.equal(bench.stream.wasReset, true);
    assert.equal(bench.engine.size, 0);
  }
});

test('gives up a host connect that takes too long', () => {
  const bench = new Bench({ limits: { connectTimeout: 30_000 } });
  bench.host.answer = -EINPROGRESS;
  bench.guest({ flags: SYN, seq: 1000 });
  bench.later(29_900);
  bench.silence();
  bench.later(200);
  assert.equal(bench.stream.closed, true);
  assert.equal(bench.engine.size, 0);
});

test('of many SYNs in one batch some are dialled at once and the others round by round', () => {
  const bench = new Bench();
  for (let port = 1; port <= 100; port++) bench.input({ flags: SYN, seq: 5, guestPort: port });
  assert.equal(bench.host.streams.length, 32);
  // One that changes its mind while it waits is never dialled, and takes nobody's turn.
  bench.input({ flags: RST, seq: 6, guestPort: 50 });
  bench.engine.endOfBatch();
  assert.equal(bench.engine.pump(), true);
  assert.equal(bench.host.streams.length, 64);
  // The next batch does not wait behind them.
  bench.input({ flags: SYN, seq: 5, guestPort: 200 });
  assert.equal(bench.host.streams.length, 65);
  bench.round();
  assert.equal(bench.host.streams.length, 100);
  assert.equal(bench.drain().filter(({ flags }) => flags === (SYN | ACK)).length, 100);
});

test('a flood of SYNs stops at the limit of connects under way, and earlier ones still succeed', () => {
  const bench = new Bench({ limits: { connecting: 16 } });
  bench.host.answer = -EINPROGRESS;
  for (let port = 1; port <= 1000; port++) bench.guest({ flags: SYN, seq: 5, guestPort: port });
  assert.equal(bench.host.streams.length, 16);
  assert.equal(bench.counters.connectingFull, 984);
  bench.silence();
  for (const stream of bench.host.streams) stream.finish();
  bench.round();
  assert.equal(bench.drain().length, 16);
  bench.guest({ flags: SYN, seq: 5, guestPort: 2000 });
  assert.equal(bench.host.streams.length, 17);
});

test('a full table refuses new flows and takes them again when one has ended', () => {
  const bench = new Bench({ limits: { flows: 2 } });
  for (const guestPort of [1, 2, 3]) bench.guest({ flags: SYN, seq: 10, guestPort });
  const sent = bench.drain();
  assert.deepEqual(
    sent.map(({ flags }) => flags),
    [SYN | ACK, SYN | ACK, RST | ACK],
  );
  assert.equal(bench.counters.tableFull, 1);
  bench.guest({ flags: RST, seq: 11, guestPort: 1 });
  bench.guest({ flags: SYN, seq: 10, guestPort: 3 });
  bench.expect({ flags: SYN | ACK });
});

test('connects that wait for their turn are forgotten when the guest takes them back', () => {
  const bench = new Bench();
  for (let guestPort = 1; guestPort <= 200; guestPort++) {
    bench.input({ flags: SYN, seq: 10, guestPort });
    bench.input({ flags: RST, seq: 11, guestPort });
  }
  bench.input({ flags: SYN, seq: 10, guestPort: 201 });
  bench.engine.endOfBatch();
  assert.equal(bench.engine.pump(), false, 'there is one in front of nobody');
  assert.equal(bench.host.streams.length, 33);
  bench.expect({ flags: SYN | ACK });
  assert.equal(bench.engine.size, 1);
});

test('initial sequence numbers differ between flows and move with time', () => {
  const bench = new Bench();
  const seen = new Set<number>();
  for (let port = 1; port <= 100; port++) {
    bench.guest({ flags: SYN, seq: 10, guestPort: port });
    seen.add(bench.next().seq);
  }
  assert.equal(seen.size, 100);
  const again = new Bench();
  again.guest({ flags: SYN, seq: 10 });
  const first = again.next().seq;
  again.guest({ flags: RST, seq: 11 });
  again.later(1000);
  again.guest({ flags: SYN, seq: 10 });
  assert.equal((again.next().seq - first) | 0, 250_000);
});

test('EACCES on the host is a refusal', () => {
  const bench = new Bench();
  bench.host.answer = -EACCES;
  bench.guest({ flags: SYN });
  bench.expect({ flags: RST | ACK });
});
