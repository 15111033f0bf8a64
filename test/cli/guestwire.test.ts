import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { GVPROXY_FLAGS } from '../../src/cli/gvproxy-flags.ts';
import { execute, type Finished, ROOT, Running, temporaryFolder, until } from '../guest/process.ts';

// Where `guestwire run` has its socket: not among those of whoever runs the tests.
process.env['XDG_RUNTIME_DIR'] = temporaryFolder();

function call(program: 'guestwire' | 'gvproxy', ...argv: string[]): Promise<Finished> {
  return execute(join(ROOT, 'bin', program), argv);
}

test('guestwire prints its version however it is asked', async () => {
  for (const argv of [['version'], ['-v'], ['-version'], ['--version'], ['run', '-version']]) {
    const { status, stdout } = await call('guestwire', ...argv);
    assert.deepEqual([status, stdout.replace(/\d+\.\d+\.\d+/, 'N')], [0, 'guestwire version vN\n'], argv.join(' '));
  }
});

test('gvproxy prints its version as the original does', async () => {
  const { status, stdout } = await call('gvproxy', '-version');
  assert.equal(status, 0);
  assert.match(stdout, /^gvproxy version v\d+\.\d+\.\d+\n$/);
});

test('guestwire helps however it is asked', async () => {
  for (const argv of [['help'], ['-h'], ['-help'], ['--help']]) {
    const { status, stdout } = await call('guestwire', ...argv);
    assert.equal(status, 0, argv.join(' '));
    assert.match(stdout, /guestwire run \[flags\]/);
  }
  assert.equal((await call('guestwire')).status, 2);
  const { status, stderr } = await call('guestwire', 'fly');
  assert.deepEqual([status, stderr], [2, 'guestwire: unknown command "fly"; guestwire help lists them\n']);
});

/** Starts a program that goes on, ends it as Ctrl-C does once it has printed `last`, and gives level and text of what it logged. */
async function logged(last: string, program: 'guestwire' | 'gvproxy', ...argv: string[]): Promise<string[]> {
  const running = new Running(join(ROOT, 'bin', program), argv);
  await until(() => running.output.includes(last) || running.child.exitCode !== null, last);
  assert.equal(await running.kill('SIGINT'), 0, running.output);
  return [...running.output.matchAll(/ level=(\w+) msg="(.*)"$/gm)].map(([, level, text]) => `${level}: ${text}`);
}

test('a start without a flag to attach by says which one is missing, and Ctrl-C ends it with 0', async () => {
  for (const [program, name, run] of [
    ['gvproxy', 'gvproxy', []],
    ['guestwire', 'guestwire run', ['run']],
  ] as const) {
    const [, waiting, ...rest] = await logged('-listen-qemu', program, ...run, '-ssh-port', '-1');
    assert.equal(waiting, 'info: waiting for clients...');
    assert.deepEqual(rest, [
      `warning: no VM can attach without -listen-qemu, -link or -listen (${name} -help lists the flags)`,
      `error: ${program} exiting: signal caught`,
    ]);
  }
});

test('§2.1: words behind the flags, and flags behind those, are ignored with a warning', async () => {
  const words = ['-ssh-port', '-1', '-isolation', 'yes', '-listen-qemu', 'unix:///nonexistent/vm.sock'];
  const [ignored] = await logged('-listen-qemu', 'gvproxy', ...words);
  assert.equal(ignored, String.raw`warning: \"yes\" is no flag: it is ignored, and so is all that follows it`);
});

test("a start with -listen-qemu logs the original's messages in their order", async () => {
  const socket = join(temporaryFolder(), 'vm.sock');
  const records = await logged('listening for', 'gvproxy', '-ssh-port', '-1', '-listen-qemu', `unix://${socket}`);
  assert.match(records.shift()!, /^info: gvproxy version v/);
  assert.deepEqual(records, [
    'info: waiting for clients...',
    `info: listening for QEMU on unix://${socket}`,
    'error: gvproxy exiting: signal caught',
  ]);
});

test("QEMU's -netdev stream is a client in help and README", async () => {
  const { stdout } = await call('guestwire', 'help');
  for (const [line] of `${stdout}${readFileSync(join(ROOT, 'README.md'), 'utf8')}`.matchAll(/.*-netdev stream,.*/g))
    assert.match(line, /server=off/);
});

test('the usage lists every flag, and none is refused', async () => {
  const { stderr, status } = await call('gvproxy', '-help');
  assert.equal(status, 0);
  const flags = [...stderr.matchAll(/^ {2}-(\S+)( \w+)?\n {4}\t(.*)$/gm)];
  assert.deepEqual(
    flags.map(([, name]) => name),
    Object.keys(GVPROXY_FLAGS).toSorted(),
  );
  const marked = flags.filter(([, , , text]) => /not in this version/.test(text!));
  assert.deepEqual(marked, []);
});

test('output that can not be written is told in one line; a reader that has gone is no failure', async () => {
  const shell = (line: string): Promise<Finished> => execute('bash', ['-o', 'pipefail', '-c', line]);
  for (const [program, words] of [
    ['gvproxy', '-version'],
    ['guestwire', 'help'],
    ['guestwire', 'completion zsh'],
  ] as const) {
    const command = `${join(ROOT, 'bin', program)} ${words}`;
    const full = await shell(`${command} > /dev/full`);
    assert.deepEqual(
      [full.status, full.stderr],
      [1, `${program}: cannot write to standard output: ENOSPC: no space left on device, write\n`],
      command,
    );
    // The reader goes before anything is written.
    const gone = await shell(`{ sleep 0.05; ${command}; } | true`);
    assert.deepEqual([gone.status, gone.stderr], [0, ''], command);
  }
});
