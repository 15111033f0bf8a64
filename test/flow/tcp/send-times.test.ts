/** The records that losses are told by: bounded, whatever is sent, and never wrong about what came before what. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Retransmissions } from '../../../src/flow/tcp/retransmissions.ts';
import { Scoreboard } from '../../../src/flow/tcp/scoreboard.ts';
import { SendTimes } from '../../../src/flow/tcp/send-times.ts';

const START = 0x7fffff00;

function at(offset: number): number {
  return (START + offset) | 0;
}

test('what is sent within a grain shares an entry: its bytes were sent when it began, all of it when it ended', () => {
  const times = new SendTimes(START);
  times.note(at(100), 10, 2);
  times.note(at(200), 11, 2);
  times.note(at(300), 13, 2);
  assert.deepEqual(
    [0, 150, 200, 300].map((offset) => times.timeOf(at(offset))),
    [10, 10, 13, -1],
  );
  assert.equal(times.take(Infinity, 11, START), START, 'some of the first entry was sent at 11');
  assert.equal(times.take(Infinity, 12, START), at(200));
  assert.equal(times.timeOf(at(100)), -1);
});

test('within an entry the order of the bytes decides, and nothing is taken before its time', () => {
  const times = new SendTimes(START);
  times.note(at(300), 10, 0);
  times.note(at(600), 20, 0);
  assert.equal(times.take(10, 20, at(500)), START);
  assert.equal(times.take(20, 20, at(500)), at(300));
  assert.equal(times.oldest(20, at(500)), 20);
  assert.equal(times.take(21, 20, at(500)), at(500));
  assert.equal(times.oldest(20, at(500)), Infinity, 'the rest was not sent before anything that has arrived');
  assert.equal(times.timeOf(at(550)), 20);
});

test('a thousand sends fit, the newest sharing what there is', () => {
  const times = new SendTimes(START);
  for (let i = 1; i <= 1000; i++) times.note(at(i), i, 0);
  assert.equal(times.timeOf(at(0)), 1);
  assert.ok(times.timeOf(at(999)) <= 1000);
  assert.equal(times.take(Infinity, 999, START), at(31), 'the last entry was not all sent before');
  times.forget(at(1000));
  times.note(at(1001), 2000, 0);
  assert.equal(times.timeOf(at(1000)), 2000);
});

test('retransmissions: those in front that have arrived are dropped, the newest that has arrived is told once', () => {
  const again = new Retransmissions();
  const board = new Scoreboard();
  again.push(at(0), at(100), 1);
  again.push(at(200), at(300), 2);
  again.push(at(400), at(500), 3);
  assert.equal(again.newestArrived(at(0), board), -1);
  board.add(at(150), at(320));
  assert.equal(again.newestArrived(at(0), board), 2);
  assert.equal(again.newestArrived(at(0), board), -1);
  assert.equal(again.bytesBefore(3, at(0), board), 100);
  assert.equal(again.bytesBefore(4, at(0), board), 200);
  again.settle(at(40), board);
  assert.deepEqual([again.count, again.left, again.time], [3, at(40), 1]);
  again.settle(at(320), board);
  assert.deepEqual([again.count, again.left, again.time], [1, at(400), 3]);
  board.add(at(450), at(460));
  assert.equal(again.bytesBefore(4, at(320), board), 90);
});

test('retransmissions: the ring is bounded', () => {
  const again = new Retransmissions();
  for (let i = 0; i < 1000; i++) {
    if (again.full) again.drop();
    again.push(at(i), at(i + 1), i);
  }
  assert.deepEqual([again.count, again.time], [64, 936]);
});
