import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RateLimit } from '../../src/runtime/rate-limit.ts';

test('who has had its burst waits for the next, and the others do not', () => {
  const limit = new RateLimit<object>(10, 3);
  const [one, other] = [{}, {}];
  const takes = (owner: object, now: number): number => {
    let count = 0;
    while (limit.take(owner, now)) count++;
    return count;
  };
  assert.equal(takes(one, 0), 3);
  assert.equal(takes(other, 0), 3);
  assert.equal(takes(one, 99), 0);
  assert.equal(takes(one, 100), 1);
  assert.equal(takes(one, 3_600_000), 3);
});
