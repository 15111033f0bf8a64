import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Results, type Row, summarize } from '../../bench/results.ts';
import { json, markdown, type Run } from '../../bench/table.ts';

const run: Run = {
  surroundings: {
    date: '2026-01-31',
    node: '20.20.2',
    kernel: '6.18',
    processor: 'some processor',
    cores: 2,
    versions: { guestwire: '0.1.0' },
  },
  columns: ['guestwire', 'gvproxy', 'passt'].map((name) => ({ name, able: true })),
  comparison: 'peers',
  rounds: 3,
  seconds: 1,
  carrier: 'bridge',
};

function only(results: Results): Row {
  const rows = results.rows([1500], 'guestwire');
  assert.equal(rows.length, 1);
  return rows[0]!;
}

test('the median is that of the rounds, with the least and the most beside it', () => {
  assert.deepEqual(summarize([3, 1, 2], true), { values: [3, 1, 2], median: 2, least: 1, most: 3 });
  assert.equal(summarize([4, 1, 2, 3], true).median, 2.5);
});

test('a round that failed counts as the worst, and is left out of the spread', () => {
  assert.equal(summarize([NaN, 2, 3], true).median, 2);
  assert.equal(summarize([NaN, 2, 3], false).median, 3);
  assert.equal(summarize([NaN, 2, 3], false).most, 3);
  assert.ok(Number.isNaN(summarize([NaN, NaN, 3], true).median));
  assert.ok(Number.isNaN(summarize([NaN], false).least));
});

test('the ratio is to the best peer, above 1 where ours is better', () => {
  const results = new Results();
  const more: [string, number][] = [
    ['guestwire', 3],
    ['gvproxy', 1],
    ['passt', 2],
  ];
  for (const [gateway, value] of more) results.note(1500, 'up', gateway, value);
  assert.equal(only(results).ratio, 1.5);
  const less = new Results();
  for (const [gateway, value] of more) less.note(1500, 'conns', gateway, value);
  assert.equal(only(less).ratio, 1 / 3);
});

test('a peer that failed is nobody to be compared with, and without one there is no ratio', () => {
  const results = new Results();
  results.note(1500, 'up', 'guestwire', 3);
  results.note(1500, 'up', 'gvproxy', NaN);
  assert.ok(Number.isNaN(only(results).ratio));
  results.note(1500, 'up', 'passt', 2);
  assert.equal(only(results).ratio, 1.5);
});

test('rows come by MTU, in the order of the cells, and only where something was measured', () => {
  const results = new Results();
  results.note(65_520, 'up', 'guestwire', 3);
  results.note(1500, 'rr', 'guestwire', 3);
  results.note(1500, 'up', 'guestwire', 3);
  assert.deepEqual(
    results.rows([1500, 65_520], 'guestwire').map(({ mtu, measure }) => `${mtu} ${measure}`),
    ['1500 up', '1500 rr', '65520 up'],
  );
});

test('the table has a column for each gateway, and says what failed', () => {
  const results = new Results();
  for (const value of [3, 2.5, 2.75]) results.note(1500, 'up', 'guestwire', value);
  results.note(1500, 'up', 'gvproxy', NaN);
  const lines = markdown(run, results.rows([1500], 'guestwire')).split('\n');
  assert.equal(lines.at(-3), '| MTU | cell | guestwire | gvproxy | passt | ÷ best peer |');
  assert.equal(lines.at(-1), '| 1500 | TCP guest → host, Gbit/s | 2.75 (2.50–3.00) | failed |  |  |');
});

test('the ratio of two that took turns is the median of the rounds, whose own machine does not count', () => {
  const results = new Results();
  for (const value of [9, 10, 30]) results.note(1500, 'up', 'IPv6', value);
  for (const value of [10, 20, 20]) results.note(1500, 'up', 'IPv4', value);
  assert.equal(results.rows([1500], 'IPv6', true)[0]!.ratio, 0.9);
  assert.equal(results.rows([1500], 'IPv6')[0]!.ratio, 0.5);
  results.note(1500, 'up', 'IPv6', NaN);
  results.note(1500, 'up', 'IPv4', 3);
  results.note(1500, 'up', 'IPv6', NaN);
  results.note(1500, 'up', 'IPv4', 3);
  assert.equal(results.rows([1500], 'IPv6', true)[0]!.ratio, 0.5);
});

test('the table says who has no IPv6, and what the ratio is of', () => {
  const results = new Results();
  results.note(1500, 'rr', 'guestwire', 3);
  const columns = [
    { name: 'guestwire', able: true },
    { name: 'gvproxy', able: false },
  ];
  const peers = markdown({ ...run, columns, comparison: 'peers over IPv6' }, results.rows([1500], 'guestwire'));
  assert.match(peers, /over IPv6; carrier: bridge\. The ratio is above 1 where ours is better\./);
  assert.match(peers, /\| 3\.00 \| no IPv6 \| {2}\|$/);
  const families = markdown({ ...run, comparison: 'families' }, []);
  assert.match(families, /The ratio is above 1 where IPv6 is better\./);
  assert.match(families, /\| IPv6 ÷ IPv4 \|\n/);
});

test('the head of the table tells a single round from medians', () => {
  assert.match(markdown(run, []), /\nMedians of 3 rounds of 1 s \(least to most\); carrier: bridge\./);
  assert.match(markdown({ ...run, rounds: 1 }, []), /\nOne round of 1 s; carrier: bridge\./);
});

test('the JSON has every value, with null for failures', () => {
  const results = new Results();
  for (const value of [3, NaN]) results.note(1500, 'rr', 'guestwire', value);
  const parsed = JSON.parse(json(run, results.rows([1500], 'guestwire'))) as {
    cells: { cell: string; gateways: Record<string, { values: unknown[] }> }[];
  };
  assert.equal(parsed.cells[0]!.cell, 'rr');
  assert.deepEqual(parsed.cells[0]!.gateways['guestwire']!.values, [3, null]);
});
