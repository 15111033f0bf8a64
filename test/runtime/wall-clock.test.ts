import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock, SeededRandom } from '../../src/runtime/clock.ts';
import { SystemRandom, WallClock } from '../../src/runtime/wall-clock.ts';

test('the wall clock never runs backwards', () => {
  const clock = new WallClock();
  let last = clock.now();
  for (let i = 0; i < 10_000; i++) {
    const now = clock.now();
    assert.ok(now >= last);
    last = now;
  }
});

test('random words use all 32 bits, signed, across several blocks', () => {
  const random = new SystemRandom();
  let ones = 0;
  let zeros = 0;
  const seen = new Set<number>();
  for (let i = 0; i < 2000; i++) {
    const word = random.word();
    assert.equal(word, word | 0);
    ones |= word;
    zeros |= ~word;
    seen.add(word);
  }
  assert.equal(ones, -1);
  assert.equal(zeros, -1);
  assert.ok(seen.size > 1990);
});

test('a manual clock moves when told and a seed repeats its words', () => {
  const clock = new ManualClock();
  clock.advance(1.5);
  assert.equal(clock.now(), 1.5);
  const words = (seed: number): number[] => {
    const random = new SeededRandom(seed);
    return Array.from({ length: 5 }, () => random.word());
  };
  assert.deepEqual(words(9), words(9));
  assert.notDeepEqual(words(9), words(10));
  assert.notEqual(words(0)[0], 0);
});
