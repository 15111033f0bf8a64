import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { execute, temporaryFolder } from './process.ts';
import { missing } from './requirement.ts';

const MAIN = fileURLToPath(new URL('../../bench/main.js', import.meta.url));
const MICRO = fileURLToPath(new URL('../../bench/micro/main.js', import.meta.url));
const CONGESTION_CONTROL = '/proc/sys/net/ipv4/tcp_congestion_control';

interface Cell {
  readonly cell: string;
  readonly gateways: { readonly guestwire: { readonly median: number } };
}

test(
  'the comparison measures a gateway and leaves the machine as it was',
  { skip: missing('root', 'tun', 'ip', 'gcc', 'iperf3') },
  async () => {
    const before = readFileSync(CONGESTION_CONTROL, 'utf8');
    const file = join(temporaryFolder(), 'bench.json');
    const flags = ['--peers', 'none', '--mtu', '1500', '--rounds', '1', '--secs', '1', '--cells', 'up,rr', '--json', file];
    const { status, stdout, stderr } = await execute(process.execPath, [MAIN, ...flags], 60_000);
    assert.equal(status, 0, stderr);
    const { cells } = JSON.parse(readFileSync(file, 'utf8')) as { cells: Cell[] };
    assert.deepEqual(
      cells.map(({ cell }) => cell),
      ['up', 'cpu-up', 'rr', 'peak'],
    );
    for (const { cell, gateways } of cells) assert.ok(gateways.guestwire.median > 0, `${cell}: ${gateways.guestwire.median}\n${stderr}`);
    assert.match(stdout, /^\| 1500 \| TCP guest → host, Gbit\/s \| [\d.]+ \| {2}\|$/m);
    assert.equal(readFileSync(CONGESTION_CONTROL, 'utf8'), before);
    const { stdout: namespaces } = await execute('ip', ['netns', 'list']);
    assert.doesNotMatch(namespaces, /^gwbench-/m);
  },
);

test('the comparison sets IPv6 beside IPv4 in one run', { skip: missing('root', 'tun', 'ip', 'gcc', 'iperf3') }, async () => {
  const file = join(temporaryFolder(), 'families.json');
  const flags = ['--families', '--mtu', '1500', '--rounds', '1', '--secs', '1', '--cells', 'down,rr', '--json', file];
  const { status, stdout, stderr } = await execute(process.execPath, [MAIN, ...flags], 60_000);
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^\| MTU \| cell \| IPv6 \| IPv4 \| IPv6 ÷ IPv4 \|$/m);
  const { cells } = JSON.parse(readFileSync(file, 'utf8')) as { cells: { cell: string; ratio: number }[] };
  assert.deepEqual(
    cells.map(({ cell }) => cell),
    ['down', 'cpu-down', 'rr', 'peak'],
  );
  for (const { cell, ratio } of cells) assert.ok(ratio > 0, `${cell}: ${ratio}\n${stderr}`);
});

test('a micro benchmark times a function and counts what it allocates', async () => {
  const flags = ['--expose-gc', '--min-semi-space-size=128', '--max-semi-space-size=128'];
  const { status, stdout, stderr } = await execute(process.execPath, [...flags, MICRO, 'Segment.read'], 60_000);
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^\| Segment\.read \| [\d.]+ \| [\d.]+ \|$/m);
});
