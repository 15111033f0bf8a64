/** What developers run by hand answers a slip with a line that helps, not with a stack. */
import assert from 'node:assert/strict';
import { copyFileSync, existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { execute, type Finished, ROOT, succeed, temporaryFolder } from '../guest/process.ts';

const PROGRAMS = {
  'npm run fuzz': 'build/test/fuzz/main.js',
  'npm run soak': 'build/test/guest/soak-main.js',
  'npm run bench': 'build/bench/main.js',
  'npm run bench:micro': 'build/bench/micro/main.js',
};

for (const [name, path] of Object.entries(PROGRAMS)) {
  const call = (...argv: string[]): Promise<Finished> => execute(process.execPath, [join(ROOT, path), ...argv]);

  test(`${name} prints its usage`, async () => {
    const { status, stdout, stderr } = await call('--help');
    assert.deepEqual([status, stderr], [0, '']);
    assert.ok(stdout.startsWith(`${name} -- [flags]`), stdout);
  });

  test(`${name} refuses a flag that there is not in one line`, async () => {
    const { status, stdout, stderr } = await call('--sideways');
    assert.notEqual(status, 0);
    assert.match(`${stdout}${stderr}`, /^.*Unknown option '--sideways'/);
    assert.doesNotMatch(`${stdout}${stderr}`, /^ {4}at /m);
  });
}

test('the fuzzer refuses what is no number and no program', async () => {
  const fuzz = join(ROOT, PROGRAMS['npm run fuzz']);
  for (const [argv, text] of [
    [['--minutes', 'x'], '--minutes takes a number, not x\n\nnpm run fuzz'],
    [['--seed', ''], '--seed takes a number, not \n\nnpm run fuzz'],
    [['--replay', '/nonexistent/program'], '--replay /nonexistent/program: ENOENT'],
  ] as const) {
    const { status, stderr } = await execute(process.execPath, [fuzz, ...argv]);
    assert.equal(status, 2, stderr);
    assert.ok(stderr.startsWith(text), stderr);
  }
});

test('npm test names the words that no test file has in its path', async () => {
  // A tree of its own: the real one would be built anew beneath this test if the words were taken.
  const tree = temporaryFolder();
  for (const folder of ['scripts', 'test/flow']) mkdirSync(join(tree, folder), { recursive: true });
  copyFileSync(join(ROOT, 'scripts/test.mjs'), join(tree, 'scripts/test.mjs'));
  writeFileSync(join(tree, 'test/flow/tcp.test.ts'), '');
  const call = (...words: string[]): Promise<Finished> => execute(process.execPath, [join(tree, 'scripts/test.mjs'), ...words]);
  const { status, stderr } = await call('tcp', 'nosuchthing', 'guestwire-');
  assert.equal(status, 1);
  // The folder's name, which is in every path, counts for nothing.
  assert.equal(stderr, 'no test file has "nosuchthing" or "guestwire-" in its path below this folder\n');
  assert.match((await call('flow/tcp')).stderr, /build\.mjs/, 'a word that fits goes on to the build');
});

test('the single executable is not written to a file that is named as a flag is', async () => {
  const folder = temporaryFolder();
  for (const words of [['--version'], ['--help'], ['one', 'two']]) {
    const { status, stdout, stderr } = await execute('env', [
      '-C',
      folder,
      process.execPath,
      join(ROOT, 'scripts/single-executable.mjs'),
      ...words,
    ]);
    assert.deepEqual([status, stdout, stderr], [2, '', 'usage: node scripts/single-executable.mjs [FILE]\n']);
  }
  assert.deepEqual(readdirSync(folder), []);
});

test(
  'no file of the repository is large, nor named as a flag is',
  { skip: existsSync(join(ROOT, '.git')) ? false : 'no clone' },
  async () => {
    const files = (await succeed('git', ['-C', ROOT, 'ls-files', '-z']))
      .split('\0')
      .filter((path) => path !== '' && existsSync(join(ROOT, path)));
    assert.ok(files.length > 100, `${files.length} files`);
    assert.deepEqual(
      files.filter((path) => path.startsWith('-') || statSync(join(ROOT, path)).size > 1 << 20),
      [],
    );
  },
);
