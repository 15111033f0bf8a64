import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PortShares } from '../../src/flow/port-shares.ts';
import { Arena } from '../../src/runtime/arena.ts';
import { FakePort } from '../fake-port.ts';

const arena = new Arena(1 << 20);
const [one, two, three] = [new FakePort(arena, 1), new FakePort(arena, 2), new FakePort(arena, 3)];

function takeAll(shares: PortShares, port: FakePort): number {
  let count = 0;
  while (shares.take(port)) count++;
  return count;
}

test('a VM alone gets half, the next a third, and each finds something', () => {
  const shares = new PortShares(1200);
  assert.equal(takeAll(shares, one), 600);
  assert.equal(takeAll(shares, two), 400);
  assert.equal(takeAll(shares, three), 200);
  assert.equal(shares.total, 1200);
  assert.equal(shares.take(one), false);
});

test('what is given back can be taken again, and a VM that holds nothing does not count', () => {
  const shares = new PortShares(12);
  assert.equal(takeAll(shares, one), 6);
  for (let i = 0; i < 6; i++) shares.give(one);
  assert.equal(shares.total, 0);
  assert.equal(takeAll(shares, two), 6);
  assert.throws(() => shares.give(one), /holds nothing/);
});

test('who holds most makes room for a VM below its share, and a VM that has its share for itself', () => {
  const shares = new PortShares(6);
  shares.take(one);
  shares.take(two);
  shares.take(two);
  assert.equal(shares.donor(one), two);
  assert.equal(shares.donor(two), two);
  assert.equal(shares.donor(three), two);
  assert.equal(shares.allows(two), false);
  assert.equal(shares.allows(three), true);
  assert.equal(shares.held(two), 2);
  assert.equal(shares.held(three), 0);
});
