import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Vm } from '../../src/flow/listener.ts';
import { compileRe2 } from '../../src/config/re2.ts';
import { PatternSearch } from '../../src/service/dns/pattern-search.ts';
import { TYPE_A } from '../../src/service/dns/message.ts';
import { Zones } from '../../src/service/dns/zones.ts';

test('expressions are searched unanchored, in the syntax of RE2', () => {
  const cases: [string, string, boolean][] = [
    ['crc-(.*?)-master-0', 'api.crc-abc-master-0.x', true],
    ['^crc$', 'crc', true],
    ['^crc$', 'crc1', false],
    ['(?i)ABC', 'xabcx', true],
    ['(?P<name>a+)b', 'aab', true],
    ['\\Aa\\z', 'ba', false],
    ['[[:digit:]]{2}', 'a12', true],
    ['\\Q.*\\E', 'ab', false],
    ['', 'anything', true],
  ];
  for (const [expression, name, found] of cases) {
    const pattern = compileRe2(expression);
    assert.equal(name.search(pattern) >= 0, found, `${expression} in ${name}`);
    assert.equal(pattern.source, expression);
  }
});

test('a zone answers by an expression, and one that would backtrack for hours is answered at once', () => {
  const vm = {} as Vm;
  const search = new PatternSearch(
    () => 0,
    () => 0,
  );
  const zones = new Zones([{ name: 'crc.testing.', records: [{ name: '', pattern: compileRe2('^(a+)+$'), ip: '10.0.0.5' }] }]);
  const answer = (name: string): unknown =>
    zones.answer(`${name}.crc.testing`, TYPE_A, (pattern, text) => search.search(pattern, text, vm));
  assert.deepEqual(answer('aaa'), [Uint8Array.of(10, 0, 0, 5)]);
  assert.equal(answer(`${'a'.repeat(60)}!`), 'nxdomain');
});
