/** Reductions that turn out to be needless: RFC 3708 (D-SACK), RFC 5682 (F-RTO). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ReportKind } from '../../../src/gateway/guest-report.ts';
import { guestReport } from '../reports.ts';
import { MSS, Sender } from './sender.ts';

/** All ten segments are acknowledged, and the window has grown to twenty; what follows begins with segment 10. */
function grown(sack = true): Sender {
  const sender = new Sender(sack);
  sender.put(10);
  sender.later(20);
  sender.ack(10);
  return sender;
}

test('a guest that acknowledges what was not sent again after a timeout has got it: the window is given back', () => {
  const sender = grown();
  sender.put(20);
  assert.deepEqual(sender.later(300), [10]);
  assert.equal(sender.counters.timeouts, 1);
  sender.ack(20);
  assert.equal(sender.counters.spuriousRecoveries, 1);
  sender.ack(30);
  assert.ok(sender.put(60).length >= 20);
});

test('nothing more is sent again then: what is in flight is on its way, and new data follows it', () => {
  const sender = grown();
  sender.put(20);
  assert.deepEqual(sender.later(300), [10]);
  assert.deepEqual(sender.ack(12), []);
  assert.equal(sender.counters.retransmitted, 1);
  assert.deepEqual(sender.put(2), [30, 31]);
  // What is missing after all is found as ever.
  sender.ack(14);
  assert.deepEqual(sender.ack(14, [15, 18]), [14]);
  assert.equal(sender.counters.fastRecoveries, 1);
  sender.ack(32);
  assert.equal(sender.counters.retransmitted, 2);
});

test('nor when it reports as doubled all that was sent again', () => {
  const sender = grown();
  sender.put(20);
  sender.later(300);
  assert.deepEqual(sender.ack(11), [11, 12]);
  sender.ack(11, [10, 11]);
  assert.deepEqual(sender.ack(13, [11, 13]), []);
  assert.equal(sender.counters.spuriousRecoveries, 1);
  assert.equal(sender.counters.retransmitted, 3);
  assert.deepEqual(sender.put(1), [30]);
});

test('one that then has everything may have lacked that one segment', () => {
  const sender = grown();
  sender.put(20);
  sender.later(300);
  sender.ack(30);
  assert.equal(sender.counters.spuriousRecoveries, 0);
});

test('one that acknowledges no more than what was sent again has lost it', () => {
  const sender = grown();
  sender.put(20);
  sender.later(300);
  assert.deepEqual(sender.ack(11), [11, 12]);
  assert.equal(sender.counters.spuriousRecoveries, 0);
});

test('nor does it tell anything when the guest had reported segments behind the hole', () => {
  const sender = grown();
  sender.put(20);
  sender.ack(10, [11, 12]);
  sender.later(1000);
  assert.ok(sender.counters.timeouts >= 1);
  sender.ack(20);
  assert.equal(sender.counters.spuriousRecoveries, 0);
});

test('a guest without SACK may have kept the rest: its acknowledgment tells nothing', () => {
  const sender = grown(false);
  sender.put(20);
  sender.later(300);
  sender.ack(20);
  assert.equal(sender.counters.spuriousRecoveries, 0);
});

test('a lone segment that arrives twice has cost nothing', () => {
  const sender = grown();
  sender.put(1);
  assert.deepEqual(sender.later(300), [10]);
  sender.ack(11, [10, 11]);
  assert.equal(sender.counters.spuriousRecoveries, 1);
  assert.ok(sender.put(60).length >= 20);
});

test('at a second timeout one report is enough: the answer to the first was lost', () => {
  const sender = grown();
  sender.put(1);
  sender.later(1000);
  assert.ok(sender.counters.timeouts >= 2);
  sender.ack(11, [10, 11]);
  assert.equal(sender.counters.spuriousRecoveries, 1);
  assert.ok(sender.put(60).length >= 20, 'the window from before the first timeout');
});

test('a second timeout leaves the threshold as the first has set it (RFC 5681 §3.1)', () => {
  const sender = grown(false);
  sender.put(20);
  const [flow] = [...sender.bench.engine];
  sender.later(300);
  const threshold = flow!.ssthresh;
  sender.later(600);
  assert.equal(sender.counters.timeouts, 2);
  assert.equal(flow!.ssthresh, threshold);
});

test('a needless timeout tells of a link that loses acknowledgments: from then on its tails are probed', () => {
  const sender = grown();
  sender.put(20);
  sender.later(300);
  sender.ack(30, [10, 11]);
  sender.put(5);
  assert.deepEqual(sender.later(60), [34]);
  assert.equal(sender.counters.tailProbes, 1);
});

test('a guest without SACK could not tell what a probe finds: it is sent none', () => {
  const sender = grown(false);
  const [flow] = [...sender.bench.engine];
  flow!.link.lossy = true;
  sender.put(5);
  assert.deepEqual(sender.later(60), []);
  assert.equal(sender.counters.tailProbes, 0);
});

test('a probe waits for what other flows of the VM wait for: their queue is its own', () => {
  const sender = grown();
  const [flow] = [...sender.bench.engine];
  flow!.link.lossy = true;
  for (let i = 0; i < 50; i++) flow!.link.measured(60);
  sender.put(5);
  assert.deepEqual(sender.later(100), []);
  assert.deepEqual(sender.later(40), [14]);
});

test('after it the times of sending are not known: they measure nothing, and what comes late is waited for as before', () => {
  const sender = grown();
  const [flow] = [...sender.bench.engine];
  sender.put(20);
  sender.later(20);
  sender.ack(10, [11, 14]);
  sender.later(20);
  sender.ack(30);
  sender.put(14);
  sender.later(300);
  sender.ack(32);
  assert.equal(sender.counters.spuriousRecoveries, 1);
  sender.ack(32, [33, 34]);
  sender.ack(44);
  sender.later(50);
  assert.ok(flow!.rtt.shortest >= 20, `${flow!.rtt.shortest} ms`);
  const before = sender.counters.retransmitted;
  for (let round = 0, una = 44; round < 30; round++) {
    const count = sender.put(10).length;
    sender.later(20);
    sender.ack(una + 1);
    sender.ack(una + 1, [una + 2, una + 3]);
    sender.later(4);
    una += count;
    sender.ack(una);
    sender.later(100);
  }
  assert.equal(sender.counters.retransmitted, before);
});

test('behind a window that has shrunk meanwhile all is sent again, up to its edge', () => {
  const sender = grown();
  const { bench } = sender;
  sender.put(20);
  const [flow] = [...bench.engine];
  const start = flow!.sndUna;
  bench.guest({ window: (8 * MSS) >> 4, ack: start });
  assert.deepEqual(sender.later(300), [10]);
  bench.guest({ window: (8 * MSS) >> 4, ack: (start + 2 * MSS) | 0 });
  assert.deepEqual(sender.sent(), [12, 13, 14, 15, 16, 17, 18, 19]);
  assert.deepEqual(sender.later(60), []);
});

test('an acknowledgment that the link has doubled reports once', () => {
  const sender = grown();
  sender.put(60);
  sender.later(300);
  sender.ack(11);
  for (let i = 0; i < 3; i++) sender.ack(11, [10, 11]);
  assert.equal(sender.counters.spuriousRecoveries, 0);
});

test('what is sent in smaller segments after a timeout is no proof against it', () => {
  const sender = grown();
  const { bench } = sender;
  sender.put(20);
  sender.later(300);
  sender.ack(11);
  const [flow] = [...bench.engine];
  const [source, destination] = ['192.168.127.254', '192.168.127.2'];
  const about = { kind: ReportKind.TOO_BIG, mtu: 1000, protocol: 6, source, destination, sourcePort: 80, destinationPort: 40_000 };
  bench.engine.report(guestReport(about));
  bench.guest({ ack: (flow!.sndUna + 2 * MSS) | 0 });
  const lengths = bench.drain().map(({ data }) => data.length);
  assert.ok(lengths.length >= 2 && lengths.every((length) => length <= 960), lengths.join());
  assert.equal(sender.counters.spuriousRecoveries, 0);
});
