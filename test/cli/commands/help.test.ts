import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { COMMANDS } from '../../../src/cli/commands/table.ts';
import { ROOT } from '../../guest/process.ts';
import { call } from './world.ts';

test('every command is in the help, has one of its own with each option and example, and can be loaded', async () => {
  const { stdout: overview } = await call(['help']);
  for (const { name, summary, options, examples, usage, load } of COMMANDS) {
    assert.ok(overview.includes(summary), name);
    const { status, stdout } = await call(['help', name]);
    assert.equal(status, 0);
    for (const option of Object.keys(options)) assert.match(stdout, new RegExp(`--${option}\\b`), name);
    for (const text of [...examples, ...usage]) assert.ok(stdout.includes(text), `${name}: ${text}`);
    assert.match(stdout, /Exit status: 0 done, 1 failed, 2 the command line makes no sense, 3 nothing is running there/);
    assert.equal(typeof (await load()), 'function', name);
    assert.equal(existsSync(join(ROOT, `src/cli/commands/${name}.ts`)), true, `${name} has a file of its name`);
  }
  assert.ok(COMMANDS.length >= 7);
});

test('help of a command is the same however it is asked for', async () => {
  const { stdout } = await call(['help', 'forward']);
  for (const argv of [
    ['forward', '--help'],
    ['forward', '-h'],
    ['forward', 'add', '8080:80', '-help'],
  ]) {
    const asked = await call(argv);
    assert.deepEqual([asked.status, asked.stdout], [0, stdout]);
  }
});

test('examples use options and verbs that there are', () => {
  for (const { name, options, verbs, examples, goFlags } of COMMANDS) {
    for (const example of examples) {
      const [words] = example.split(/ [|>] | -- /);
      const [, , first = '', ...rest] = words!.split(' ');
      assert.ok(example.startsWith(`guestwire ${name}`), example);
      if (goFlags === true) continue;
      if (verbs !== undefined) assert.ok(verbs.includes(first), example);
      for (const word of [first, ...rest]) if (word.startsWith('--')) assert.ok(word.slice(2) in options, `${example}: ${word}`);
    }
  }
});
