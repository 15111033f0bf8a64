/** The examples of docs/guestwire.md, as they stand, in their order. */
import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { COMMANDS } from '../../src/cli/commands/table.ts';
import { execute, type Finished, ROOT, Running, temporaryFolder, until } from '../guest/process.ts';
import { missing } from '../guest/requirement.ts';
import { snippetsOf } from './snippets.ts';

const PAGE = readFileSync(join(ROOT, 'docs/guestwire.md'), 'utf8');
const EXAMPLES = snippetsOf('docs/guestwire.md').flatMap(({ text }) => text.split('\n').filter((line) => line !== ''));

const folder = temporaryFolder();
const base = 24_000 + (process.pid % 3000) * 2;
/** Places and ports of this test's own. */
const PLACES: Readonly<Record<string, string>> = {
  '/tmp/vm.sock': join(folder, 'vm.sock'),
  '8080': String(base),
  '5353': String(base + 1),
};

/** Begins with the command itself, which a signal must reach. */
function shell(line: string): readonly [string, string[]] {
  let own = line;
  for (const [place, ours] of Object.entries(PLACES)) own = own.replaceAll(place, ours);
  const path = `${join(folder, 'bin')}:${process.env['PATH']}`;
  return ['env', ['-C', folder, `XDG_RUNTIME_DIR=${folder}`, `PATH=${path}`, 'bash', '-o', 'pipefail', '-c', own]];
}

const run = (line: string): Promise<Finished> => execute(...shell(line));

/** Runs until it has said that it is ready, and then until Ctrl-C; gives what it has printed. */
async function interrupted(line: string, ready: string): Promise<string> {
  const running = new Running(...shell(`exec ${line}`));
  await until(() => running.output.includes(ready) || running.child.exitCode !== null, ready);
  assert.equal(await running.kill('SIGINT'), 0, running.output);
  return running.output;
}

test("the page's examples do what they say", { skip: missing('script', 'tshark'), timeout: 120_000 }, async () => {
  mkdirSync(join(folder, 'bin'));
  writeFileSync(join(folder, 'bin/guestwire'), `#!/bin/sh\nexec ${join(ROOT, 'bin/guestwire')} "$@"\n`);
  // What it is told is what matters here; test/guest/qemu-command.test.ts has the real one.
  writeFileSync(join(folder, 'bin/qemu'), '#!/bin/sh\n[ "$1" = --version ] && echo "QEMU emulator version 9.0.0" || echo "$*"\n');
  for (const name of ['guestwire', 'qemu']) chmodSync(join(folder, 'bin', name), 0o755);
  for (const processor of ['x86_64', 'aarch64'])
    writeFileSync(join(folder, `bin/qemu-system-${processor}`), `#!/bin/sh\nexec qemu "$@"\n`, { mode: 0o755 });
  const outputs = new Map<string, string>();
  let network: Running | undefined;
  for (const line of EXAMPLES) {
    if (line.endsWith(' &')) {
      network = new Running(...shell(`exec ${line.slice(0, -2)} -ssh-port -1`));
      await until(() => network!.output.includes('listening for QEMU') || network!.child.exitCode !== null, 'the network');
    } else if (line === 'guestwire top') {
      const [command, args] = shell(line);
      const terminal = new Running('script', ['-qec', [command, ...args.slice(0, -1), `'${line}'`].join(' '), '/dev/null']);
      await until(() => terminal.output.includes('guestwire top   0 VMs') || terminal.child.exitCode !== null, 'top');
      terminal.child.stdin!.write('q');
      assert.equal(await terminal.ended, 0, terminal.output);
    } else if (line.startsWith('guestwire capture') && line.includes(' -o ')) outputs.set(line, await interrupted(line, 'Ctrl-C ends'));
    else if (line.startsWith('guestwire capture')) {
      const { stderr } = await run(line);
      assert.match(stderr, /there is no VM "192\.168\.127\.2"/, 'none has come in');
      outputs.set(line, stderr);
    } else {
      const { status, stdout, stderr } = await run(line);
      assert.equal(status, 0, `${line}\n${stdout}${stderr}`);
      outputs.set(line, stdout);
    }
  }
  const output = (start: string): string => [...outputs].find(([line]) => line.startsWith(start))![1];
  assert.match(output('guestwire qemu'), /^-netdev stream,.* -device virtio-net-pci,.*host_mtu=65520 -m 1G -hda disk\.qcow2\n$/);
  assert.match(output('guestwire forward ls'), new RegExp(`^tcp\t127\\.0\\.0\\.1:${base}\t${base}\t192\\.168\\.127\\.2:80$`, 'm'));
  assert.match(output('guestwire dns ls'), /^test\.\tdb\t192\.168\.127\.3$/m);
  assert.match(output('guestwire leases'), /^\{"leases":\[/);
  assert.equal(existsSync(join(folder, 'vm.pcapng')), true);
  assert.match(readFileSync(join(folder, 'guestwire.yaml'), 'utf8'), /mtu: 4000/);
  assert.equal(await network!.kill('SIGTERM'), 0, network!.output);
  assert.match((await run('guestwire status; echo $?')).stdout, /^3$/m);
});

test('the page names every command', () => {
  for (const { name } of COMMANDS) assert.match(PAGE, new RegExp(`guestwire ${name}\\b`), name);
});
