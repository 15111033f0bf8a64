import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Gathering } from '../../src/runtime/gathering.ts';

/** Rounds in which VMs send so many bytes each. Returns the waits that follow them. */
function rounds(gathering: Gathering, ...bytes: number[]): number[] {
  return bytes.map((count) => {
    if (count > 0) gathering.received(count);
    return gathering.nextRound(true);
  });
}

const FRAME = 1518;

test('waits once a VM has streamed for four rounds in a row', () => {
  const gathering = new Gathering();
  assert.deepEqual(rounds(gathering, 4000, 4000, 4000), [0, 0, 0]);
  assert.equal(gathering.streaming, false);
  assert.ok(rounds(gathering, 4000)[0]! > 0);
  assert.equal(gathering.streaming, true);
  assert.ok(rounds(gathering, 40_000)[0]! > 0, 'and goes on while more comes');
});

test('adds up what several VMs send in one round', () => {
  const gathering = new Gathering();
  rounds(gathering, 4000, 4000, 4000);
  gathering.received(FRAME);
  gathering.received(FRAME);
  assert.ok(gathering.nextRound(true) > 0);
});

test('never waits for single frames, however many', () => {
  assert.ok(rounds(new Gathering(), ...Array.from({ length: 1000 }, () => FRAME)).every((wait) => wait === 0));
});

test('never waits between large questions and their answers', () => {
  const exchange = Array.from({ length: 500 }, () => [60_000, 0]).flat();
  assert.ok(rounds(new Gathering(), ...exchange).every((wait) => wait === 0));
});

test('does not wait when plenty has come, nor when there is other work', () => {
  const gathering = new Gathering();
  rounds(gathering, 4000, 4000, 4000, 4000);
  assert.deepEqual(rounds(gathering, 500_000), [0]);
  assert.equal(gathering.streaming, true);
  gathering.received(4000);
  assert.equal(gathering.nextRound(false), 0);
});

test('single frames between larger reads are part of the stream', () => {
  const gathering = new Gathering();
  const waits = rounds(gathering, FRAME, 40_000, FRAME, 40_000, FRAME, 40_000, FRAME, 40_000);
  assert.ok(waits.slice(0, 7).every((wait) => wait === 0));
  assert.ok(waits[7]! > 0);
});

test('a wait for a single frame begins the count anew', () => {
  const gathering = new Gathering();
  assert.ok(rounds(gathering, 4000, 4000, 4000, 4000)[3]! > 0);
  assert.deepEqual(rounds(gathering, FRAME, 4000, 4000, 4000), [0, 0, 0, 0]);
  assert.ok(rounds(gathering, 4000)[0]! > 0);
});

test('a wait in vain is not repeated for sixty-eight rounds', () => {
  const gathering = new Gathering();
  assert.ok(rounds(gathering, 4000, 4000, 4000, 4000)[3]! > 0);
  assert.deepEqual(rounds(gathering, 0), [0]);
  assert.ok(rounds(gathering, ...Array.from({ length: 67 }, () => 4000)).every((wait) => wait === 0));
  assert.ok(rounds(gathering, 4000)[0]! > 0);
});

test('a stream that has ended is forgotten', () => {
  const gathering = new Gathering();
  rounds(gathering, 4000, 4000, 4000, 500_000);
  assert.deepEqual(rounds(gathering, 0, 4000, 4000, 4000), [0, 0, 0, 0]);
  assert.ok(rounds(gathering, 4000)[0]! > 0);
});
