/** README's commands that need no guest, as they stand, in their order. */
import assert from 'node:assert/strict';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { execute, type Finished, ROOT, Running, temporaryFolder, until } from '../guest/process.ts';
import { missing } from '../guest/requirement.ts';
import { commandLines, snippet } from './snippets.ts';

const folder = temporaryFolder();
/** Ports of this test's own, eleven in a row. */
const base = 30_000 + (process.pid % 150) * 13;
const PLACES: readonly (readonly [string, string])[] = [
  ['8000-8010', `${base}-${base + 10}`],
  ['127.0.0.1:8000', `127.0.0.1:${base}`],
  ['8080', String(base + 11)],
  ['/tmp/', `${folder}/`],
];

/** Begins with the command itself, which a signal must reach. */
function shell(line: string): readonly [string, string[]] {
  let own = line;
  for (const [place, ours] of PLACES) own = own.replaceAll(place, ours);
  return ['env', ['-C', folder, `PATH=${join(folder, 'path')}:${process.env['PATH']}`, 'bash', '-c', own]];
}

const run = (line: string): Promise<Finished> => execute(...shell(line));

mkdirSync(join(folder, 'path'));
symlinkSync(join(ROOT, 'bin'), join(folder, 'bin'));

test("README's calls of both APIs do what they say", { skip: missing('curl'), timeout: 60_000 }, async () => {
  const [start, expose] = commandLines(snippet('README.md', 'bin/gvproxy -listen-qemu unix:///tmp/vm.sock -listen '));
  const network = new Running(...shell(`exec ${start} -ssh-port -1`));
  await until(() => network.output.includes('listening for QEMU') || network.child.exitCode !== null, 'the network');
  const curl = async (line: string): Promise<string> => {
    const { status, stdout, stderr } = await run(line.replace('curl', 'curl -sS --fail-with-body'));
    assert.equal(status, 0, `${line}\n${stdout}${stderr}`);
    return stdout;
  };
  assert.equal(await curl(expose!), '');
  const lines = commandLines(snippet('README.md', 'curl --unix-socket /tmp/api.sock http:/unix/v1/openapi.json'));
  const [openapi, forwards, remove, flows, events, ...more] = lines as [string, string, string, string, string];
  assert.deepEqual(more, []);
  assert.match(await curl(openapi), /^\{"openapi":"3\./);
  const made = JSON.parse(await curl(forwards)) as { forwards: { local: string }[] };
  assert.deepEqual([made.forwards.length, made.forwards[10]!.local], [11, `127.0.0.1:${base + 10}`]);
  await curl(remove);
  const { forwards: left } = JSON.parse(await curl('curl --unix-socket /tmp/api.sock http:/unix/v1/forwards')) as typeof made;
  const ports = left.map(({ local }) => Number(local.split(':')[1])).toSorted((a, b) => a - b);
  assert.deepEqual(
    ports,
    Array.from({ length: 11 }, (_, i) => base + 1 + i),
  );
  assert.match(await curl(flows), /^\{"flows":\[\]/);
  const stream = new Running(...shell(`exec ${events.replace('curl', 'curl -sS')}`));
  await until(() => stream.output.includes('retry:') || stream.child.exitCode !== null, 'the stream of events');
  const vm = connect(join(folder, 'vm.sock'));
  await until(() => stream.output.includes('event: port-attached') || stream.child.exitCode !== null, 'an event');
  await stream.kill('SIGTERM');
  vm.destroy();
  assert.equal(await network.ended, 0, network.output);
});

test("README's line for -netdev user starts QEMU with a network card", async () => {
  for (const processor of ['x86_64', 'aarch64']) {
    const program = '#!/bin/sh\n[ "$1" = --version ] && echo "QEMU emulator version 9.0.0" || echo "$*"\n';
    writeFileSync(join(folder, `path/qemu-system-${processor}`), program, { mode: 0o755 });
  }
  const { status, stdout, stderr } = await run(snippet('README.md', 'bin/guestwire qemu'));
  assert.deepEqual([status, stderr], [0, '']);
  assert.match(stdout, /^-netdev stream,.* -device virtio-net-pci,.* -m 1G -hda disk\.qcow2\n$/);
});
