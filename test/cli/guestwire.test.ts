import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { execute, type Finished, ROOT } from '../guest/process.ts';

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

test("QEMU's -netdev stream is a client in help and README", async () => {
  const { stdout } = await call('guestwire', 'help');
  for (const [line] of `${stdout}${readFileSync(join(ROOT, 'README.md'), 'utf8')}`.matchAll(/.*-netdev stream,.*/g))
    assert.match(line, /server=off/);
});

test('the usage marks exactly the flags that are refused', async () => {
  const { stderr, status } = await call('gvproxy', '-help');
  assert.equal(status, 0);
  const flags = [...stderr.matchAll(/^ {2}-(\S+)( \w+)?\n {4}\t(.*)$/gm)];
  assert.equal(flags.length, 25);
  const marked = flags.filter(([, , , text]) => text!.endsWith(' (not in this version)')).map(([, name]) => name);
  assert.deepEqual(marked, [
    'config',
    'forward-dest',
    'forward-identity',
    'forward-sock',
    'forward-user',
    'listen',
    'listen-bess',
    'listen-stdio',
    'listen-vfkit',
    'listen-vpnkit',
    'notification',
    'services',
  ]);
});
