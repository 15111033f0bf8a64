/** What random programs (programs.test.ts) have found, as the scripts their shrunk programs come down to. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ECONNRESET } from '../../../../src/system/errno.ts';
import { ACK, Bench, FIN, PSH, RST, SYN } from '../bench.ts';

test('a host that sends and ends while the guest has not acknowledged our SYN is heard to the end', () => {
  const bench = new Bench();
  bench.guest({ flags: SYN });
  bench.expect({ flags: SYN | ACK });
  bench.stream.put('hello');
  bench.stream.end();
  bench.round();
  bench.silence();
  bench.guest({});
  bench.expect({ flags: FIN | PSH | ACK, data: 'hello' });
  bench.silence();
});

/** Both sides have finished, but the host has not taken the guest's last bytes. */
function quietWithBytesLeft(): Bench {
  const bench = new Bench();
  const stream = bench.connected();
  stream.room = 0;
  bench.guest({ data: 'rest' });
  bench.expect({ flags: ACK });
  stream.end();
  bench.round();
  bench.expect({ flags: FIN | ACK });
  bench.guest({ flags: FIN | ACK });
  bench.expect({ flags: ACK });
  return bench;
}

function expectRest(bench: Bench): void {
  const { stream } = bench;
  assert.equal(stream.closed, false, 'the host still has bytes to take');
  stream.open(Infinity);
  bench.round();
  assert.equal(stream.written.toString(), 'rest');
  assert.deepEqual([stream.shut, stream.closed, stream.wasReset], [true, true, false]);
}

test('a reset in TIME-WAIT takes nothing from a host that has not read everything', () => {
  const bench = quietWithBytesLeft();
  bench.guest({ flags: RST });
  expectRest(bench);
  bench.later(11_000);
  assert.equal(bench.engine.size, 0);
});

test('a new SYN in TIME-WAIT waits until the host has read everything', () => {
  const bench = quietWithBytesLeft();
  const seq = bench.seq + 100_000;
  bench.guest({ flags: SYN, seq });
  bench.expect({ flags: ACK });
  expectRest(bench);
  bench.guest({ flags: SYN, seq });
  bench.expect({ flags: SYN | ACK, ack: seq + 1 });
});

/** Three segments are sent and none is acknowledged: the first is sent again, the others wait. */
function afterTimeout(): { bench: Bench; next: number } {
  const bench = new Bench();
  bench.connected({ sack: false }).put('x'.repeat(3 * 1460));
  bench.round();
  const { ack } = bench;
  bench.later(250);
  const sent = bench.drain();
  assert.deepEqual(
    sent.map(({ seq }) => (seq - ack) | 0),
    [0, 1460, 2920, 0],
  );
  return { bench, next: (ack + 3 * 1460) | 0 };
}

test('an ACK after a timeout is no old segment to a guest that has received everything', () => {
  const { bench, next } = afterTimeout();
  bench.guest({ data: 'x'.repeat(1460) });
  bench.expect({ flags: ACK, seq: next, ack: bench.seq });
});

test('a reset after a timeout reaches a guest that has received everything', () => {
  const { bench, next } = afterTimeout();
  bench.stream.fail(ECONNRESET);
  bench.round();
  bench.expect({ flags: RST | ACK, seq: next });
});

test('a segment without text stays within a window that has shrunk', () => {
  const { bench, next } = afterTimeout();
  bench.guest({ data: 'x'.repeat(1460), window: 2000 });
  bench.expect({ flags: ACK, seq: next - 3 * 1460 + 2000, ack: bench.seq });
});

test('a repair sends nothing beyond what was sent: the window ends there', () => {
  const bench = new Bench();
  bench.connected({ window: 100, sack: false }).put('x'.repeat(500));
  bench.round();
  bench.expect({ length: 100 });
  bench.ack = (bench.ack - 100) | 0;
  for (let i = 0; i < 3; i++) bench.guest({ window: 100 });
  bench.expect({ seq: bench.ack, length: 100 });
});

test('data that is repeated and acknowledges something sets the window', () => {
  const bench = new Bench();
  bench.connected({ window: 2000 }).put('x'.repeat(5000));
  bench.round();
  const { seq } = bench.expect({ length: 1460 });
  const missing = bench.seq;
  bench.guest({ seq: missing + 10, data: 'later', window: 2000, ack: seq });
  bench.expect({ flags: ACK, ack: missing });
  bench.guest({ seq: missing, data: '0123456789', window: 540 });
  bench.expect({ seq: seq + 1460, length: 540, ack: missing + 15 });
  bench.silence();
});
