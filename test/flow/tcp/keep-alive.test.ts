import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ACK, Bench, RST } from './bench.ts';

const IDLE = 120_000;
const INTERVAL = 15_000;

test('a quiet guest is asked, and one that answers stays connected for ever', () => {
  const bench = new Bench();
  const stream = bench.connected();
  bench.later(IDLE - 1000);
  bench.silence();
  bench.later(2000);
  for (let i = 0; i < 20; i++) {
    const [probe] = bench.drain();
    assert.deepEqual([probe!.flags, probe!.seq, probe!.data.length], [ACK, (bench.ack - 1) | 0, 0]);
    bench.guest({});
    bench.later(IDLE + INTERVAL);
  }
  assert.equal(bench.engine.size, 1);
  assert.equal(stream.closed, false);
});

test('a guest that answers no probe is given up, and the host is told by a reset', () => {
  const bench = new Bench();
  const stream = bench.connected();
  bench.later(IDLE + 5 * INTERVAL + 1000);
  assert.equal(bench.drain().length, 6);
  assert.equal(bench.engine.size, 1);
  bench.later(INTERVAL);
  assert.equal(bench.next().flags & RST, RST);
  assert.equal(stream.wasReset, true);
  assert.equal(bench.engine.size, 0);
});

test('the host side is watched as soon as the flow has been quiet, not before', () => {
  const bench = new Bench();
  const stream = bench.connected();
  bench.later(IDLE - 1000);
  assert.equal(stream.watched, false);
  bench.later(2000);
  assert.equal(stream.watched, true);
});
