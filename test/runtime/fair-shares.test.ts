import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FairShares } from '../../src/runtime/fair-shares.ts';

test('alone half, together one part more than there are owners', () => {
  const shares = new FairShares(1200);
  const owners = [{}, {}, {}];
  const fill = (owner: object): void => {
    while (shares.take(owner, 1));
  };
  fill(owners[0]!);
  assert.equal(shares.held(owners[0]!), 600);
  fill(owners[1]!);
  assert.equal(shares.held(owners[1]!), 300);
  // What the greedy give back they don't get again while others hold less.
  for (let round = 0; round < 1000; round++) {
    for (const owner of owners) {
      if (shares.held(owner) > 0) shares.give(owner, 1);
    }
    owners.toReversed().forEach(fill);
  }
  for (const owner of owners) assert.ok(Math.abs(shares.held(owner) - 300) <= 3, `${shares.held(owner)}`);
});

test('what a donor gave can be claimed, up to the limit', () => {
  const shares = new FairShares<object>(10);
  const [one, two] = [{}, {}];
  while (shares.take(one));
  while (shares.take(two));
  assert.deepEqual([shares.held(one), shares.held(two)], [5, 3]);
  assert.equal(shares.donor(two), one);
  assert.equal(shares.donor(one), one);
  shares.give(one);
  shares.claim(two);
  assert.equal(shares.donor(two), two, 'nobody holds more');
  shares.claim(two, 2);
  assert.throws(() => shares.claim(one), /limit is reached/);
});

test('never lends more than the limit, and something to whoever holds nothing as long as anything is left', () => {
  const step = fc.record({ owner: fc.nat(5), amount: fc.integer({ min: -40, max: 40 }) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const shares = new FairShares(4096);
      const owners = Array.from({ length: 6 }, () => ({}));
      for (const { owner, amount } of steps) {
        const held = shares.held(owners[owner]!);
        if (amount >= 0) shares.take(owners[owner]!, amount);
        else if (held >= -amount) shares.give(owners[owner]!, -amount);
        else assert.throws(() => shares.give(owners[owner]!, -amount), /does not hold that much/);
      }
      assert.equal(
        owners.reduce<number>((total, owner) => total + shares.held(owner), 0),
        shares.total,
      );
      assert.ok(shares.total <= shares.limit);
      const isAnyLeft = shares.total < shares.limit;
      assert.equal(shares.take({}, 1), isAnyLeft);
    }),
  );
});

test('with a factor of eight an owner alone gets eight ninths, and a late one finds eight ninths of the rest', () => {
  const shares = new FairShares<object>(900, 8);
  const [first, late] = [{}, {}];
  while (shares.take(first));
  while (shares.take(late));
  assert.equal(shares.held(first), 800);
  assert.equal(shares.held(late), 89);
});

test('a factor does not lead beyond the limit', () => {
  const shares = new FairShares<object>(100, 8);
  const first = {};
  assert.equal(shares.take(first, 60), true);
  assert.equal(shares.take({}, 41), false);
  assert.equal(shares.take({}, 40), true);
  assert.equal(shares.total, 100);
});
