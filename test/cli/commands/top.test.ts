import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import type { FlowInfo } from '../../../src/cli/commands/flows.ts';
import type { PortInfo } from '../../../src/cli/commands/ports.ts';
import { type Sample, topLines } from '../../../src/cli/commands/top-view.ts';
import { attachGuest } from '../../../src/testing/index.ts';
import { execute, ROOT, Running, until } from '../../guest/process.ts';
import { missing } from '../../guest/requirement.ts';
import { call, createWorld } from './world.ts';

const PROGRAM = join(ROOT, 'bin/guestwire');
const SCREEN = { columns: 100, rows: 24, colour: false };

function port(id: number, rxBytes: number, txFrames: number): PortInfo {
  const counters = { rxFrames: 0, rxBytes, rxDropped: 1, txFrames, txBytes: 0, txDropped: 2 };
  return { id, name: `vm-${id}`, link: 'qemu', macs: [], leases: [{ address: `192.168.127.${id}`, mac: '' }], counters };
}

function flow(id: number, vm: number, idle: number | null): FlowInfo {
  const ends = { guest: '192.168.127.2', guestPort: 1, remote: '10.0.0.1', remotePort: 80 };
  return { id: `tcp-${id}`, protocol: 'tcp', ...ends, direction: 'outbound', port: vm, state: 'ESTABLISHED', idle };
}

function sample(at: number, ports: readonly PortInfo[], flows: readonly FlowInfo[], bytesReceived = 0): Sample {
  const totals = { bytesReceived, bytesSent: 0, ports: ports.length, flows: { tcp: flows.length, udp: 0 }, counters: {} };
  return { at, ports, flows, totals };
}

test('VMs stand in order of what they move a second, flows with the latest first', () => {
  const before = sample(0, [port(2, 1000, 5), port(3, 0, 0)], []);
  const now = sample(
    2000,
    [port(2, 3000, 25), port(3, 4_000_000, 0), port(4, 9_000_000, 9)],
    [flow(1, 3, 5000), flow(2, 3, null), flow(3, 2, 10)],
    3e6,
  );
  const [head, , ...lines] = topLines(now, before, SCREEN);
  assert.equal(head, 'guestwire top   3 VMs, 3 TCP and 0 UDP flows   from VMs 1.5 MB/s, to VMs 0 B/s   q ends'.slice(0, 100));
  assert.deepEqual(
    lines.slice(1, 4).map((line) => line.trim().split(/ {2,}/)),
    [
      ['3', 'vm-3', '192.168.127.3', '2.0 MB', '0 B', '0', '3', '2'],
      ['2', 'vm-2', '192.168.127.2', '1.0 kB', '0 B', '10', '3', '1'],
      // What it has moved before it was looked at is no rate.
      ['4', 'vm-4', '192.168.127.4', '0 B', '0 B', '0', '3', '0'],
    ],
  );
  assert.deepEqual(
    lines.slice(6).map((line) => line.split(' ')[0]),
    ['tcp-3', 'tcp-1', 'tcp-2'],
  );
});

test('a screen is never overrun, neither by VMs and flows nor by what they are called', () => {
  const ports = Array.from({ length: 60 }, (_, i) => ({ ...port(i, i, i), name: `\u001b[2J${i}${'x'.repeat(200)}` }));
  const flows = Array.from({ length: 500 }, (_, i) => flow(i, i % 60, i));
  const now = sample(1000, ports, flows);
  for (const [columns, rows] of [
    [80, 24],
    [20, 5],
    [1, 1],
  ] as const) {
    const lines = topLines(now, now, { columns, rows, colour: true });
    assert.ok(lines.length <= rows);
    const plain = lines.map((line) => line.replaceAll('\u001b[1m', '').replaceAll('\u001b[0m', ''));
    assert.ok(plain.every((line) => line.length <= columns && !line.includes('\u001b')));
  }
  assert.ok(topLines(now, now, { ...SCREEN, rows: 24 }).filter((line) => line.startsWith('tcp-')).length >= 8, 'flows have their half');
});

/** The program on a terminal of 80 columns and 24 rows. */
function onTerminal(url: string): Running {
  return new Running('script', ['-qec', `stty rows 24 cols 80; ${PROGRAM} top --connect ${url}; echo "status $?"; stty -a`, '/dev/null']);
}

for (const [how, key] of [
  ['q', 'q'],
  ['Ctrl-C', '\u0003'],
] as const) {
  test(`top draws on a terminal every second, and ${how} gives it back as it was`, { skip: missing('script') }, async (t) => {
    const { url, network } = await createWorld(t);
    const { guest } = attachGuest(network, '5a:94:ef:e4:0c:ee');
    await guest.dhcp();
    const running = onTerminal(url);
    await until(() => running.output.split('guestwire top').length > 2, 'it to be drawn again');
    assert.match(running.output, /192\.168\.127\.2/);
    running.child.stdin!.write(key);
    assert.equal(await running.ended, 0);
    const [, after] = running.output.split('\u001b[?25h\u001b[?1049l');
    assert.match(after!, /status 0/);
    assert.match(after!, / icanon /, 'no longer raw');
    assert.match(after!, / echo /);
  });
}

test('top ends with the network, and gives the terminal back first', { skip: missing('script') }, async (t) => {
  const { url, network, close } = await createWorld(t);
  const running = onTerminal(url);
  await until(() => running.output.includes('guestwire top'), 'it to be drawn');
  await close();
  await network.close();
  await running.ended;
  const [, after] = running.output.split('\u001b[?25h\u001b[?1049l');
  assert.match(after!, /guestwire top: nothing is running at unix:.*\r\n(.*\r\n)*status 3/);
});

test('top wants a terminal', async (t) => {
  const { guestwire } = await createWorld(t);
  const { status, stdout, stderr } = await guestwire('top');
  assert.deepEqual([status, stdout], [1, '']);
  assert.equal(stderr, 'guestwire top: want a terminal (guestwire ports, flows and counters print the same once)\n');
  assert.equal((await execute(PROGRAM, ['top'])).status, 1);
  assert.equal((await call(['top', 'now'])).status, 2);
});
