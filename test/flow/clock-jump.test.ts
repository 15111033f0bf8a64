import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LeasePool } from '../../src/service/dhcp/lease-pool.ts';
import { EINPROGRESS } from '../../src/system/errno.ts';
import { ACK, Bench as TcpBench, SYN } from './tcp/bench.ts';
import { address, Bench as UdpBench } from './udp/bench.ts';

const HOUR = 3_600_000;

test('a quiet connection outlives hours of sleep: its guest is asked, once, and that is all', () => {
  const bench = new TcpBench();
  const stream = bench.connected();
  bench.leap(8 * HOUR);
  const [probe, ...more] = bench.drain();
  assert.deepEqual([probe!.flags, probe!.seq, more.length], [ACK, (bench.ack - 1) | 0, 0]);
  bench.guest({});
  bench.later(1000);
  assert.equal(bench.engine.size, 1);
  stream.put('still here');
  bench.round();
  bench.expect({ data: 'still here' });
});

test('what was in flight when the machine fell asleep is sent again, once, and the connection goes on', () => {
  const bench = new TcpBench();
  const stream = bench.connected();
  stream.put('before');
  bench.round();
  bench.drain();
  bench.leap(8 * HOUR);
  assert.deepEqual(
    bench.drain().map(({ data }) => data.toString()),
    ['before'],
  );
  bench.ack = (bench.ack + 6) | 0;
  bench.guest({});
  bench.guest({ data: 'after' });
  assert.equal(stream.written.toString(), 'after');
  assert.equal(bench.engine.size, 1);
});

test('a connect that was answered while the machine was asleep has not taken too long', () => {
  const bench = new TcpBench();
  bench.host.answer = -EINPROGRESS;
  bench.guest({ flags: SYN });
  bench.stream.status = 0;
  bench.leap(HOUR);
  bench.expect({ flags: SYN | ACK });
  bench.guest({ data: 'good morning' });
  assert.equal(bench.stream.written.toString(), 'good morning');
  assert.equal(bench.counters.timedOut, 0);
});

test('a thousand connections wake up with one segment each', () => {
  const bench = new TcpBench();
  for (let guestPort = 1; guestPort <= 1000; guestPort++) {
    bench.guest({ flags: SYN, seq: 10, guestPort });
    const { seq } = bench.next();
    bench.guest({ flags: ACK, seq: 11, ack: (seq + 1) | 0, guestPort });
  }
  bench.drain();
  bench.leap(24 * HOUR);
  assert.equal(bench.drain().length, 1000);
  assert.equal(bench.engine.size, 1000);
});

test('answers that came while the machine was asleep reach the guest, and a conversation that is over ends', () => {
  const bench = new UdpBench();
  bench.send('1.1.1.1', 53, 'question');
  bench.timers.advance(8 * HOUR);
  assert.equal(bench.engine.size, 1, 'the socket has not been looked at yet');
  bench.answerWith(bench.endpoints[0]!, 'answer');
  assert.equal(bench.port.take()[0]!.subarray(42).toString(), 'answer');
  bench.timers.advance(8 * HOUR + 5000);
  assert.equal(bench.engine.size, 0);
  assert.equal(bench.endpoints[0]!.closed, true);
});

test('conversations that nobody goes on with end soon after a sleep, however many', () => {
  const bench = new UdpBench();
  for (let port = 1; port <= 1000; port++) bench.send('1.1.1.1', port, 'x');
  bench.timers.advance(8 * HOUR);
  assert.equal(bench.engine.size, 1000);
  bench.timers.advance(8 * HOUR + 2500);
  assert.equal(bench.engine.size, 0);
  assert.equal(bench.engine.counters.timedOut, 1000);
});

test('a lease is the same after any time', () => {
  let now = 0;
  const [subnet, mask] = [address('192.168.127.0'), address('255.255.255.0')];
  const pool = new LeasePool({ subnet, mask, reserved: [], statics: new Map(), now: () => now });
  const bench = new UdpBench();
  const first = pool.bind('02:00:00:00:00:01', bench.port);
  now += 1000 * HOUR;
  assert.notEqual(pool.bind('02:00:00:00:00:02', bench.port), first);
  assert.equal(pool.bind('02:00:00:00:00:01', bench.port), first);
});
