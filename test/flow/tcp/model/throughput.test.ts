/**
 * Throughput over the simulated link, cell by cell, against the table in the tree (throughput.json, Mbit/s).
 *
 * It is computed and does not depend on the machine. After an improvement the table is written anew by
 *
 *     WRITE_TABLE=1 node --test build/test/flow/tcp/model/throughput.test.js
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { cells, measure, nameOf } from './throughput.ts';

const TABLE = fileURLToPath(new URL('../../../../../test/flow/tcp/model/throughput.json', import.meta.url));
/** A cell may fall this far below the table: changes elsewhere deal chance anew. */
const TOLERANCE = 0.05;

type Table = Record<string, number>;

const REWRITE = 'WRITE_TABLE=1 node --test build/test/flow/tcp/model/throughput.test.js writes a new table';

function compare(t: TestContext, measured: Table, table: Table): void {
  assert.deepEqual(Object.keys(measured), Object.keys(table), `the table has other cells; ${REWRITE}`);
  const change = (name: string): string => `${name}: ${table[name]} → ${measured[name]} Mbit/s`;
  const names = Object.keys(table);
  const better = names.filter((name) => measured[name]! > table[name]! * (1 + TOLERANCE));
  const worse = names.filter((name) => measured[name]! < table[name]! * (1 - TOLERANCE));
  if (better.length > 0) t.diagnostic(`better than the table (${REWRITE}):\n${better.map(change).join('\n')}`);
  assert.deepEqual(worse.map(change), [], 'slower than the table');
}

test('throughput under loss, delay and reordering is no worse than the table', (t) => {
  const measured: Table = {};
  for (const cell of cells()) {
    const { rate, timeouts, retransmitted } = measure(cell);
    measured[nameOf(cell)] = Number(rate.toPrecision(3));
    t.diagnostic(`${nameOf(cell)}: ${rate.toPrecision(3)} Mbit/s, ${timeouts.toFixed(1)} timeouts, ${retransmitted.toFixed(0)} sent again`);
  }
  if (process.env['WRITE_TABLE'] === '1') writeFileSync(TABLE, `${JSON.stringify(measured, null, 2)}\n`);
  compare(t, measured, JSON.parse(readFileSync(TABLE, 'utf8')) as Table);
});
