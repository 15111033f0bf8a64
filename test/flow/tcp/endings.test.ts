/** Ends that take time: a guest that is done before the host, lost last segments, ports used again at once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ECONNRESET } from '../../../src/system/errno.ts';
import { ACK, Bench, FIN, PSH, RST, SYN } from './bench.ts';
import type { FakeStream } from './fake-host.ts';

/** The guest has sent "everything" and both sides are closed towards it; the host has taken three bytes. */
function hostBehind(hostFirst: boolean): { bench: Bench; stream: FakeStream } {
  const bench = new Bench();
  const stream = bench.connected();
  stream.room = 3;
  if (!hostFirst) bench.guest({ flags: FIN | ACK, data: 'everything' });
  bench.drain();
  stream.end();
  bench.round();
  bench.expect({ flags: FIN | ACK });
  bench.guest(hostFirst ? { flags: FIN | ACK, data: 'everything' } : {});
  bench.drain();
  return { bench, stream };
}

for (const hostFirst of [false, true]) {
  const who = hostFirst ? 'host' : 'guest';

  test(`a slow host gets everything hours after the guest has gone (the ${who} closed first)`, () => {
    const { bench, stream } = hostBehind(hostFirst);
    bench.later(2 * 3_600_000);
    bench.silence();
    stream.open(Infinity);
    bench.round();
    assert.equal(stream.written.toString(), 'everything');
    assert.equal(stream.shut && stream.closed && !stream.wasReset, true);
    bench.later(11_000);
    assert.equal(bench.engine.size, 0);
  });

  test(`a guest that is done and has forgotten the connection does not spoil what the host has still to take (the ${who} closed first)`, () => {
    const { bench, stream } = hostBehind(hostFirst);
    bench.guest({ flags: RST });
    assert.equal(stream.closed, false);
    stream.open(Infinity);
    bench.round();
    assert.equal(stream.written.toString(), 'everything');
    assert.equal(stream.closed && !stream.wasReset, true);
    assert.equal(bench.engine.size, 0);
    bench.silence();
  });

  test(`a VM that is switched off does not take away what the host has still to take (the ${who} closed first)`, () => {
    const { bench, stream } = hostBehind(hostFirst);
    bench.detach();
    assert.equal(stream.closed, false);
    bench.later(100_000);
    stream.open(2);
    bench.later(100_000);
    stream.open(Infinity);
    bench.round();
    assert.equal(stream.written.toString(), 'everything');
    assert.equal(stream.shut && stream.closed && !stream.wasReset, true);
    assert.equal(bench.engine.size, 0);
    bench.silence();
  });

  test(`ports used again while the host is behind wait for it, and no endpoint is forgotten (the ${who} closed first)`, () => {
    const { bench, stream } = hostBehind(hostFirst);
    bench.guest({ flags: SYN, seq: bench.seq + 1000, ack: 0 });
    bench.expect({ flags: ACK });
    assert.equal(bench.host.streams.length, 1);
    stream.open(Infinity);
    bench.round();
    bench.guest({ flags: SYN, seq: bench.seq + 1000, ack: 0 });
    bench.expect({ flags: SYN | ACK });
    assert.equal(stream.closed, true);
    assert.equal(bench.host.streams.length, 2);
  });

  test(`a host that fails on what is left ends the flow, and the guest hears nothing of it (the ${who} closed first)`, () => {
    const { bench, stream } = hostBehind(hostFirst);
    stream.fail(ECONNRESET);
    bench.round();
    bench.silence();
    assert.equal(stream.closed, true);
    assert.equal(bench.engine.size, 0);
  });
}

test("the guest's FIN again restarts the quiet time of TIME-WAIT (RFC 9293 §3.10.7.4, eighth)", () => {
  const bench = new Bench();
  bench.connected().end();
  bench.round();
  bench.expect({ flags: FIN | ACK });
  bench.guest({ flags: FIN | ACK });
  bench.expect({ flags: ACK });
  bench.later(9000);
  bench.guest({ flags: FIN | ACK, seq: bench.seq - 1 });
  bench.expect({ flags: ACK, ack: bench.seq });
  bench.later(9000);
  assert.equal(bench.engine.size, 1);
  // Anything else that is old does not.
  bench.guest({ data: 'x', seq: bench.seq - 2 });
  bench.later(1100);
  assert.equal(bench.engine.size, 0);
});

test('a connection that takes the place of one in TIME-WAIT begins beyond it, however fast that was (RFC 9293 §3.6.1, MAY-2)', () => {
  const bench = new Bench();
  let end = 0;
  for (let connection = 0; connection < 3; connection++) {
    bench.guest({ flags: SYN, seq: bench.seq + 1000, options: { scale: 7 } });
    const { seq } = bench.expect({ flags: SYN | ACK });
    if (connection > 0) assert.ok(((seq - end) | 0) > 0, `${seq} is not beyond ${end}`);
    bench.seq = (bench.seq + 1001) | 0;
    bench.guest({ window: 8192 });
    bench.stream.put(Buffer.alloc(300_000));
    bench.stream.end();
    bench.round();
    for (let sent = bench.drain(); sent.length > 0; sent = bench.drain()) {
      const last = sent.at(-1)!;
      bench.ack = (last.seq + last.data.length + (last.flags & FIN)) | 0;
      bench.guest({ window: 8192 });
    }
    bench.guest({ flags: FIN | ACK });
    bench.expect({ flags: ACK });
    end = bench.ack;
  }
});

test('a FIN that a guest with a closed window does not take, but answers, keeps the connection (RFC 9293 §3.8.6.1)', () => {
  const bench = new Bench();
  const stream = bench.connected({ window: 5 });
  stream.put('data');
  stream.end();
  bench.round();
  const { seq: start } = bench.expect({ flags: FIN | PSH | ACK, data: 'data' });
  const seq = (start + 4) | 0;
  bench.guest({ ack: seq, window: 0 });
  for (let minute = 0; minute < 40; minute++) {
    bench.later(60_000);
    for (const sent of bench.drain()) {
      assert.deepEqual([sent.flags, sent.seq], [FIN | ACK, seq]);
      bench.guest({ ack: seq, window: 0 });
    }
  }
  assert.equal(bench.engine.size, 1);
  bench.guest({ ack: seq + 1 });
  bench.guest({ flags: FIN | ACK, ack: seq + 1 });
  assert.equal(stream.closed && !stream.wasReset, true);
});

test('the end of the host waits behind a closed window, which is probed, and comes when it opens', () => {
  const bench = new Bench();
  const stream = bench.connected({ window: 0 });
  stream.end();
  bench.later(8000);
  for (const { flags, seq } of bench.drain()) assert.deepEqual([flags, seq], [ACK, (bench.ack - 1) | 0]);
  assert.ok(bench.counters.zeroWindowProbes > 2);
  bench.guest({ window: 1 });
  bench.expect({ flags: FIN | ACK });
});

test('a guest whose link was full through the handshake is not given up, and is connected when it has room', () => {
  const bench = new Bench();
  const stream = bench.fromHost();
  bench.expect({ flags: SYN });
  bench.port.full = true;
  bench.later(600_000);
  assert.equal(stream.closed, false);
  bench.drained();
  bench.later(61_000);
  const { seq } = bench.drain().at(-1)!;
  bench.guest({ flags: SYN | ACK, seq: 7000, ack: seq + 1 });
  bench.seq = 7001;
  bench.expect({ flags: ACK, seq: seq + 1, ack: 7001 });
  stream.put('welcome');
  bench.round();
  bench.expect({ flags: PSH | ACK, data: 'welcome' });
});

test('a VM that is switched off while it waits for an answer does not cut off the question', () => {
  const bench = new Bench();
  const stream = bench.connected();
  stream.put('half an answer');
  stream.room = 3;
  bench.guest({ flags: FIN | ACK, data: 'a long question' });
  bench.detach();
  bench.later(60_000);
  assert.equal(stream.closed, false);
  stream.open(Infinity);
  bench.round();
  assert.equal(stream.written.toString(), 'a long question');
  assert.equal(stream.shut && stream.closed && !stream.wasReset, true);
  assert.equal(bench.engine.size, 0);
});

test('a VM that is switched off within its stream resets the host: what came is not all', () => {
  const bench = new Bench();
  const stream = bench.connected();
  stream.room = 3;
  bench.guest({ data: 'a long quest' });
  bench.detach();
  assert.equal(stream.wasReset, true);
  assert.equal(bench.engine.size, 0);
});

test('a host that takes nothing more from a VM that is gone is reset after some minutes, and nothing is left', () => {
  const { bench, stream } = hostBehind(false);
  bench.detach();
  bench.later(110_000);
  assert.equal(stream.closed, false);
  bench.later(400_000);
  assert.equal(stream.wasReset, true);
  assert.equal(bench.engine.size, 0);
  assert.equal(bench.arena.lent, 0);
});

for (const hostFirst of [false, true]) {
  test(`a host that takes nothing for a day is reset (the ${hostFirst ? 'host' : 'guest'} closed first)`, () => {
    const { bench, stream } = hostBehind(hostFirst);
    bench.later(23 * 3_600_000);
    assert.equal(stream.closed, false);
    bench.later(2 * 3_600_000);
    assert.equal(stream.wasReset, true);
    assert.equal(bench.engine.size, 0);
    assert.equal(bench.arena.lent, 0);
    bench.silence();
  });
}
