/** What counts as lost, when, and what is made of it: RFC 8985 (RACK), RFC 6675, RFC 2018 §8, RFC 3708. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MSS, Sender } from './sender.ts';

/** Ten segments in flight of which the first was lost and sent again, 20 ms after it was. */
function repairing(): Sender {
  const sender = new Sender();
  assert.equal(sender.put(10).length, 10);
  sender.later(20);
  assert.deepEqual(sender.ack(0, [1, 4]), [0]);
  return sender;
}

/** As `repairing`, but the first had only been overtaken: the guest has everything, the repair twice. */
function overtaken(): Sender {
  const sender = repairing();
  sender.ack(10);
  sender.later(20);
  sender.ack(10, [0, 1]);
  return sender;
}

test('a retransmission that got lost is sent again when something sent later arrives', () => {
  const sender = repairing();
  sender.stream.put('z'.repeat(10 * MSS));
  sender.later(4);
  const fresh = sender.ack(0, [1, 10]);
  assert.ok(fresh.length > 0 && fresh.every((segment) => segment >= 10), 'new data');
  sender.later(20);
  assert.equal(sender.ack(0, [1, 11])[0], 0);
  assert.equal(sender.counters.lostRetransmissions, 1);
  assert.equal(sender.counters.timeouts, 0);
});

test('the arrival of a retransmission tells that the end of the flight was lost', () => {
  const sender = repairing();
  sender.later(20);
  // Segments 4 to 9 were sent before it, and are still missing.
  assert.equal(sender.ack(4)[0], 4);
  assert.equal(sender.counters.fastRecoveries, 1);
});

test('no acknowledgment that comes sooner than any round trip is taken for that of a retransmission', () => {
  const sender = repairing();
  sender.later(4);
  // The first transmission was late; the repair is on its way.
  assert.deepEqual(sender.ack(4), []);
});

test('two segments behind a hole do not mean a loss, and let two new ones go (RFC 3042)', () => {
  const sender = new Sender();
  assert.equal(sender.put(12).length, 10);
  sender.later(20);
  assert.deepEqual(sender.ack(0, [1, 3]), [10, 11]);
  assert.equal(sender.counters.fastRecoveries, 0);
  assert.equal(sender.ack(0, [1, 4])[0], 0);
});

test('where order was seen to change, time decides: a quarter of the round trip (RFC 8985 §6.2)', () => {
  const sender = new Sender();
  sender.put(10);
  sender.later(20);
  sender.ack(0, [1, 2]);
  // The first was overtaken, not lost.
  sender.ack(2);
  sender.later(4);
  sender.put(4);
  sender.later(20);
  assert.deepEqual(sender.ack(10, [11, 14]), [], 'three segments mean nothing any more');
  assert.deepEqual(sender.later(4), []);
  assert.deepEqual(sender.later(8), [10], 'without any more news');
  assert.equal(sender.counters.fastRecoveries, 1);
  assert.equal(sender.counters.timeouts, 0);
});

test('a hole that we have filled ourselves says nothing of reordering', () => {
  const sender = repairing();
  sender.later(20);
  sender.ack(10);
  sender.put(4);
  sender.later(20);
  assert.deepEqual(sender.ack(10, [11, 14]), [10]);
});

test('when everything sent again arrives twice, the congestion window is given back (RFC 3708)', () => {
  const sender = overtaken();
  assert.equal(sender.counters.spuriousRecoveries, 1);
  // Ten of the first flight, and what their acknowledgment adds in slow start.
  assert.ok(sender.put(40).length >= 10);
  const loser = repairing();
  loser.ack(10);
  assert.equal(loser.put(40).length, 7);
});

test('what the link doubles, or a probe has repeated, takes nothing back', () => {
  const sender = repairing();
  sender.later(20);
  sender.ack(10);
  sender.ack(10, [4, 5], [6, 7]);
  assert.equal(sender.counters.spuriousRecoveries, 1, 'within what may have been sent again');
  const other = repairing();
  other.later(20);
  other.ack(10);
  other.put(4);
  other.later(20);
  other.ack(14, [12, 13]);
  assert.equal(other.counters.spuriousRecoveries, 0, 'beyond it');
});

test('a loss leaves seven tenths of the window', () => {
  const sender = repairing();
  sender.stream.put('z'.repeat(20 * MSS));
  // Of ten, 4 have arrived; one was sent again.
  assert.deepEqual(sender.ack(0, [1, 5]), [10]);
  assert.deepEqual(sender.ack(0, [1, 6]), [11]);
});

test('after a timeout only the holes are sent again, in slow start (RFC 6675 §5.1)', () => {
  const sender = new Sender();
  sender.put(10);
  sender.later(20);
  // Two holes of two; the repairs of both get lost, and the probe as well.
  sender.ack(0, [2, 5], [7, 10]);
  const sent = sender.later(400);
  assert.equal(sender.counters.timeouts, 1);
  assert.equal(sent.at(-1), 0);
  assert.deepEqual(sender.ack(1, [2, 5], [7, 10]), [1, 5]);
  assert.deepEqual(sender.ack(5, [7, 10]), [6]);
  assert.deepEqual(sender.ack(10), []);
});

test('what the guest reported and has taken back is sent again: its acknowledgment ends there (RFC 2018 §8)', () => {
  const sender = new Sender();
  sender.put(10);
  sender.later(20);
  sender.ack(0, [1, 10]);
  sender.later(400);
  assert.equal(sender.counters.timeouts, 1);
  let una = 1;
  for (let sent = sender.ack(1); una < 10; sent = sender.ack(una)) {
    assert.ok(sent.includes(una), `${una} is sent again`);
    while (sent.includes(una)) una++;
  }
});

test('and so is everything else that it had reported', () => {
  const sender = new Sender();
  sender.put(10);
  sender.later(20);
  sender.ack(0, [1, 4], [5, 10]);
  sender.later(400);
  assert.deepEqual(sender.ack(1), [1, 2]);
  assert.deepEqual(sender.ack(3), [3, 4, 5, 6]);
});

test('a second timeout believes no report any more', () => {
  const sender = new Sender();
  sender.put(10);
  sender.later(20);
  sender.ack(0, [2, 10]);
  sender.later(1000);
  assert.ok(sender.counters.timeouts >= 2);
  assert.deepEqual(sender.ack(1), [1, 2]);
});

test('a repair that is not answered is repeated after two round trips, once (RFC 8985 §7 has it only outside recovery)', () => {
  const sender = repairing();
  assert.deepEqual(sender.later(36), []);
  assert.deepEqual(sender.later(12), [0]);
  assert.deepEqual(sender.later(150), []);
  assert.equal(sender.counters.timeouts, 0);
  assert.deepEqual(sender.later(100), [0]);
  assert.equal(sender.counters.timeouts, 1);
});

test('of a repair of several segments the first is repeated', () => {
  const sender = new Sender();
  sender.put(10);
  sender.later(20);
  assert.deepEqual(sender.ack(0, [3, 10]), [0, 1, 2]);
  assert.deepEqual(sender.later(48), [0]);
  // Which tells that the others were lost as well.
  sender.later(20);
  assert.deepEqual(sender.ack(1, [3, 10]), [1, 2]);
  assert.equal(sender.counters.timeouts, 0);
});

test('what was repaired beyond the end of a recovery is not repaired again in the next', () => {
  const sender = repairing();
  sender.stream.put('z'.repeat(30 * MSS));
  sender.later(8);
  const fresh = sender.ack(0, [1, 10]);
  assert.ok(fresh.length >= 5);
  sender.later(20);
  // Segment 10 was lost too, and is repaired while the first recovery goes on.
  assert.ok(sender.ack(0, [1, 10], [11, 14]).includes(10));
  sender.later(4);
  assert.ok(!sender.ack(10, [11, 15]).includes(10), 'once');
  assert.equal(sender.counters.retransmitted, 3, 'the first, which was lost twice, and the second');
});

test('a selective acknowledgment measures the round trip, the cumulative one behind a hole does not', () => {
  const sender = new Sender();
  sender.put(10);
  sender.later(20);
  sender.ack(0, [1, 10]);
  // The repair takes long; what is sent meanwhile is reported after 36 ms, longer than before.
  for (let i = 10; i < 20; i++) {
    sender.put(1);
    sender.later(36);
    sender.ack(0, [1, i + 1]);
  }
  sender.ack(20);
  sender.put(2);
  // Not two round trips of 20 ms, nor of 360: then comes the probe.
  assert.deepEqual(sender.later(52), []);
  assert.deepEqual(sender.later(28), [21]);
});

test('without SACK more duplicates do not repeat the repair', () => {
  const sender = new Sender(false);
  sender.put(10);
  sender.later(20);
  assert.deepEqual([sender.ack(0), sender.ack(0), sender.ack(0)], [[], [], [0]]);
  assert.deepEqual([sender.ack(0), sender.ack(0), sender.ack(0)], [[], [], []]);
});

test('a repair is forgotten when it has arrived: 2 GiB later its numbers would look new', () => {
  const sender = new Sender();
  const [flow] = [...sender.bench.engine];
  sender.put(10);
  assert.deepEqual(sender.ack(0, [1, 10]), [0]);
  sender.later(20);
  sender.ack(10);
  assert.equal(flow!.rack!.again.count, 0);
  // The probe of a lost tail counts as a repair too.
  sender.put(2);
  assert.deepEqual(sender.later(52), [11]);
  assert.equal(flow!.rack!.again.count, 1);
  sender.ack(12);
  assert.equal(flow!.rack!.again.count, 0);
});

test('duplicates of a guest without SACK do not put off the timeout (RFC 6298 §5.3)', () => {
  const sender = new Sender(false);
  sender.put(10);
  sender.later(20);
  sender.ack(10);
  sender.put(20);
  sender.later(300);
  const { timeouts } = sender.counters;
  for (let i = 0; i < 100; i++) {
    sender.ack(10);
    sender.later(20);
  }
  assert.ok(sender.counters.timeouts > timeouts);
});
