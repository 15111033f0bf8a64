import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { COMMANDS } from '../../../src/cli/commands/table.ts';
import { execute, temporaryFolder } from '../../guest/process.ts';
import { call } from './world.ts';

async function script(shell: string): Promise<string> {
  const { status, stdout } = await call(['completion', shell]);
  assert.equal(status, 0);
  const file = join(temporaryFolder(), 'completion');
  writeFileSync(file, stdout);
  return file;
}

const hasShell = (shell: string): boolean => spawnSync(shell, ['-c', 'true']).status === 0;

/** What bash offers at the end of a command line. */
async function offered(...words: string[]): Promise<string[]> {
  const program = `source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _guestwire; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { status, stdout, stderr } = await execute('bash', ['-c', program, 'bash', await script('bash'), ...words]);
  assert.deepEqual([status, stderr], [0, '']);
  return stdout.split('\n').filter((line) => line !== '');
}

test('bash completes commands, their verbs and their options', async () => {
  assert.deepEqual(await offered('guestwire', ''), [...COMMANDS.map(({ name }) => name), 'help', 'version']);
  assert.deepEqual(await offered('guestwire', 'fo'), ['forward']);
  assert.deepEqual(await offered('guestwire', 'forward', ''), ['ls', 'add', 'rm']);
  assert.deepEqual(await offered('guestwire', 'forward', 'a'), ['add']);
  assert.deepEqual(await offered('guestwire', 'flows', '--k'), ['--kill']);
  assert.deepEqual(await offered('guestwire', 'run', '-listen-q'), ['-listen-qemu']);
  assert.deepEqual(await offered('guestwire', 'help', 'lea'), ['leases']);
  assert.deepEqual(await offered('guestwire', 'ports', '--connect', ''), [], 'values are left to bash, which offers files');
});

test('every option stands in every script, and shells that are there take theirs', async () => {
  for (const shell of ['bash', 'zsh', 'fish']) {
    const { stdout } = await call(['completion', shell]);
    for (const { name, options } of COMMANDS) {
      assert.ok(stdout.includes(name), `${shell}: ${name}`);
      for (const option of Object.keys(options)) assert.match(stdout, new RegExp(`(--|-l )${option}\\b`), shell);
    }
    if (!hasShell(shell)) continue;
    const { status, stderr } = await execute(shell, ['-n', await script(shell)]);
    assert.deepEqual([status, stderr], [0, ''], shell);
  }
  assert.equal((await call(['completion', 'csh'])).status, 2);
});
