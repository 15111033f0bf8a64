import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PatternSearch } from '../../../src/service/dns/pattern-search.ts';
import { DnsBench, OTHER, VM } from './bench.ts';

const HOSTILE = `${'a'.repeat(60)}-b`;

test('finds patterns anywhere, a global one the second time as the first', () => {
  const search = new PatternSearch(
    () => 0,
    () => performance.now(),
  );
  const pattern = /apps-\d/g;
  for (let i = 0; i < 2; i++) assert.equal(search.search(pattern, 'x.apps-1', VM), true);
  assert.equal(search.search(pattern, 'x.apps', VM), false);
});

test('a search that was cut off while others had the processor is tried again, three times in all', () => {
  let tries = 0;
  const idle = new PatternSearch(
    () => 0,
    () => {
      tries++;
      return 0;
    },
  );
  assert.equal(idle.search(/^(a+)+$/, HOSTILE, VM), undefined);
  // Asked before and after each.
  assert.equal(tries, 6);
});

test('gives up a search that takes for ever, and searches for that VM again after a pause', () => {
  let now = 0;
  const search = new PatternSearch(
    () => now,
    () => performance.now(),
  );
  const started = process.hrtime.bigint();
  for (let i = 0; i < 1000; i++) assert.equal(search.search(/^(a+)+$/, HOSTILE, VM), undefined);
  assert.ok(process.hrtime.bigint() - started < 1_000_000_000n);
  assert.equal(search.search(/a/, 'a', OTHER), true);
  now = 10_000;
  assert.equal(search.search(/a/, 'a', VM), true);
});

test('a name that a pattern backtracks on is answered SERVFAIL', async () => {
  const bench = new DnsBench([{ name: 'testing.', records: [{ name: '', pattern: /^(a+)+$/, ip: '10.0.0.1' }] }]);
  assert.deepEqual(await bench.addresses('aaa.testing'), ['10.0.0.1']);
  assert.equal(await bench.addresses(`${HOSTILE}.testing`), 'SERVFAIL');
  assert.deepEqual(await bench.addresses('aaa.testing', OTHER), ['10.0.0.1']);
  assert.equal(bench.upstream.asked.length, 0);
});

test('an expression that is no RegExp is searched to the end, however slow the machine', () => {
  const search = new PatternSearch(
    () => 0,
    () => performance.now(),
  );
  const slow = {
    source: 'a',
    [Symbol.search]: (name: string): number => {
      const end = performance.now() + 80;
      while (performance.now() < end);
      return name.indexOf('a');
    },
  };
  assert.equal(search.search(slow, 'ba', VM), true);
  assert.equal(search.search(/b/, 'ba', VM), true);
});
