import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KEPT, SENT } from '../../../src/runtime/turn-loop.ts';
import { ACK, Bench, FIN, PSH, SYN } from './bench.ts';

/** An established connection whose rounds are all of one turn, until `endTurn`. */
function established(): Bench {
  const bench = new Bench();
  bench.guest({ flags: SYN });
  bench.expect({ flags: SYN | ACK });
  bench.guest({});
  bench.drain();
  bench.turnGoesOn = true;
  return bench;
}

function endTurn(bench: Bench, idle = true): void {
  bench.engine.endOfTurn(idle);
}

test('the answer to a question carries its acknowledgment', () => {
  const bench = established();
  bench.guest({ data: 'question', flags: ACK | PSH });
  bench.silence();
  bench.stream.put('answer');
  bench.round();
  bench.expect({ flags: ACK | PSH, ack: bench.seq, data: 'answer' });
  endTurn(bench);
  bench.silence();
});

test('what nothing answers is acknowledged when the turn ends, and the segments that follow at once', () => {
  const bench = established();
  bench.guest({ data: 'x' });
  bench.silence();
  endTurn(bench);
  bench.expect({ flags: ACK, ack: bench.seq });
  for (let i = 0; i < 16; i++) {
    bench.guest({ data: 'x' });
    bench.expect({ flags: ACK, ack: bench.seq });
  }
  bench.guest({ data: 'x' });
  bench.silence();
});

test('a turn whose time is over leaves an ACK to the next one, and no further', () => {
  const bench = established();
  bench.guest({ data: 'question' });
  assert.equal(bench.engine.endOfTurn(false), KEPT);
  bench.silence();
  bench.stream.put('answer');
  bench.round();
  bench.expect({ ack: bench.seq, data: 'answer' });
  bench.guest({ data: 'another' });
  bench.silence();
  endTurn(bench, false);
  bench.silence();
  assert.equal(bench.engine.endOfTurn(false), SENT);
  bench.expect({ flags: ACK, ack: bench.seq });
});

test('a full-sized segment is acknowledged in its round, and so are small ones that add up to one', () => {
  const bench = established();
  bench.guest({ data: Buffer.alloc(1460) });
  bench.expect({ flags: ACK, ack: bench.seq });
  bench.guest({ data: Buffer.alloc(700) });
  bench.guest({ data: Buffer.alloc(700) });
  bench.silence();
  bench.guest({ data: Buffer.alloc(60) });
  bench.expect({ flags: ACK, ack: bench.seq });
  endTurn(bench);
  bench.silence();
});

test('a repeated segment, one out of order and a probe of a closed window are answered at once', () => {
  const bench = established();
  bench.guest({ data: 'abc' });
  endTurn(bench);
  bench.drain();
  bench.guest({ data: 'abc', seq: bench.seq - 3 });
  bench.expect({ flags: ACK, ack: bench.seq });
  bench.guest({ data: 'xyz', seq: bench.seq + 100 });
  bench.expect({ flags: ACK, ack: bench.seq });
});

test('a FIN rides on ours when the host ends too, is acknowledged with the turn when not, and at once when repeated', () => {
  const bench = established();
  bench.guest({ flags: FIN | ACK });
  bench.silence();
  bench.stream.end();
  bench.round();
  bench.expect({ flags: FIN | ACK, ack: bench.seq });
  endTurn(bench);
  bench.silence();
  const other = established();
  other.guest({ flags: FIN | ACK });
  endTurn(other);
  other.expect({ flags: ACK, ack: other.seq });
  for (let i = 0; i < 3; i++) {
    other.guest({ flags: FIN | ACK, seq: other.seq - 1 });
    other.expect({ flags: ACK, ack: other.seq });
  }
});

test('a FIN behind a hole is answered at once with what is missing', () => {
  const bench = established();
  const start = bench.seq;
  bench.guest({ flags: FIN | ACK, seq: bench.seq + 5 });
  bench.expect({ flags: ACK, ack: start });
});

test('a flow that is gone before the turn ends is not acknowledged', () => {
  const bench = established();
  bench.guest({ data: 'x' });
  bench.stream.fail(104);
  bench.round();
  bench.drain();
  endTurn(bench);
  bench.silence();
  assert.equal(bench.engine.size, 0);
});
