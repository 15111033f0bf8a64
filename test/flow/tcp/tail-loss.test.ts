import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ACK, Bench, FIN, PSH, type Sent, SYN } from './bench.ts';
import type { FakeStream } from './fake-host.ts';

const MSS = 1460;

/** A connection whose round trip was measured as 20 ms. */
function measured(sack = true): { bench: Bench; stream: FakeStream } {
  const bench = new Bench();
  bench.guest({ flags: SYN, options: { sack } });
  bench.expect({ flags: SYN | ACK });
  bench.later(20);
  bench.guest({});
  return { bench, stream: bench.stream };
}

/** `count` segments in flight. */
function flight(bench: Bench, stream: FakeStream, count: number): Sent[] {
  stream.put('y'.repeat(count * MSS));
  bench.round();
  const sent = bench.drain();
  assert.equal(sent.length, count);
  return sent;
}

/** The same, on a link that has lost a segment. */
function lossy(): { bench: Bench; stream: FakeStream } {
  const { bench, stream } = measured();
  const sent = flight(bench, stream, 10);
  bench.guest({ ack: sent[0]!.seq, sack: [[sent[1]!.seq, (sent[9]!.seq + MSS) | 0]] });
  bench.expect({ seq: sent[0]!.seq });
  bench.later(20);
  bench.guest({ ack: (sent[9]!.seq + MSS) | 0 });
  bench.drain();
  return { bench, stream };
}

test('the last segment goes out once more after two round trips without an answer (RFC 8985 §7.2)', () => {
  const { bench, stream } = lossy();
  const sent = flight(bench, stream, 5);
  bench.later(30);
  bench.silence();
  bench.later(20);
  bench.expect({ seq: sent[4]!.seq, length: MSS });
  bench.silence();
  assert.equal(bench.counters.tailProbes, 1);
  assert.equal(bench.counters.timeouts, 0);
});

test('a single segment waits for a delayed ACK as well', () => {
  const { bench, stream } = lossy();
  flight(bench, stream, 1);
  bench.later(80);
  bench.silence();
  bench.later(20);
  bench.expect({ length: MSS });
  assert.equal(bench.counters.timeouts, 0);
});

test('there is one probe, then the retransmission timeout', () => {
  const { bench, stream } = lossy();
  const sent = flight(bench, stream, 5);
  bench.later(48);
  bench.next();
  bench.later(190);
  bench.silence();
  bench.later(40);
  bench.expect({ seq: sent[0]!.seq });
  assert.equal(bench.counters.tailProbes, 1);
  assert.equal(bench.counters.timeouts, 1);
});

test('the answer to the probe starts the repair of what was lost in front of it', () => {
  const { bench, stream } = lossy();
  const sent = flight(bench, stream, 5);
  bench.guest({ ack: sent[2]!.seq });
  bench.later(48);
  bench.expect({ seq: sent[4]!.seq });
  bench.later(20);
  bench.guest({ ack: sent[2]!.seq, sack: [[sent[4]!.seq, (sent[4]!.seq + MSS) | 0]] });
  bench.expect({ seq: sent[2]!.seq });
  bench.expect({ seq: sent[3]!.seq });
  bench.guest({ ack: (sent[4]!.seq + MSS) | 0 });
  assert.equal(bench.counters.timeouts, 0);
});

test('an answer that covers everything ends it, and the next flight may be probed again', () => {
  const { bench, stream } = lossy();
  const [first] = flight(bench, stream, 2);
  bench.later(48);
  bench.next();
  bench.guest({ ack: (first!.seq + 2 * MSS) | 0 });
  const sent = flight(bench, stream, 2);
  bench.later(48);
  bench.expect({ seq: sent[1]!.seq });
  assert.equal(bench.counters.tailProbes, 2);
  assert.equal(bench.counters.fastRecoveries, 1, 'the one that made the link known as lossy');
});

test('holes that too few segments lie behind are repaired when time has shown that they are lost', () => {
  const { bench, stream } = measured();
  const sent = flight(bench, stream, 3);
  bench.guest({ ack: sent[0]!.seq, sack: [[sent[1]!.seq, (sent[1]!.seq + 2 * MSS) | 0]] });
  bench.later(4);
  bench.silence();
  // A quarter of the round trip (RFC 8985 §6.2 step 4), in ticks of the clock.
  bench.later(8);
  bench.expect({ seq: sent[0]!.seq });
  bench.silence();
  assert.equal(bench.counters.timeouts, 0);
});

test('a FIN whose answer stays away is repeated early too, with the data in front of it', () => {
  const { bench, stream } = lossy();
  stream.put('bye');
  stream.end();
  bench.round();
  const last = bench.expect({ flags: FIN | PSH | ACK, data: 'bye' });
  bench.later(100);
  bench.expect({ flags: FIN | PSH | ACK, seq: last.seq, data: 'bye' });
});

test('a FIN that is all that is left is repeated alone', () => {
  const { bench, stream } = lossy();
  stream.put('bye');
  stream.end();
  bench.round();
  const last = bench.next();
  bench.guest({ ack: (last.seq + 3) | 0 });
  bench.later(100);
  bench.expect({ flags: FIN | ACK, seq: (last.seq + 3) | 0, data: '' });
  assert.equal(bench.counters.retransmitted, 2);
});

test('nobody is probed who has lost nothing, does not speak SACK, whose round trip is not known, or whose port is full', () => {
  const without = measured(false);
  flight(without.bench, without.stream, 3);
  without.bench.later(100);
  without.bench.silence();

  const calm = measured();
  flight(calm.bench, calm.stream, 3);
  calm.bench.later(190);
  calm.bench.silence();

  const unknown = new Bench();
  unknown.guest({ flags: SYN });
  unknown.expect({ flags: SYN | ACK });
  unknown.later(1100);
  unknown.expect({ flags: SYN | ACK });
  unknown.guest({});
  flight(unknown, unknown.stream, 3);
  unknown.later(100);
  unknown.silence();

  const full = lossy();
  flight(full.bench, full.stream, 3);
  full.bench.port.full = true;
  full.bench.later(100);
  full.bench.silence();
});
