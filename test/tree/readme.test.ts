import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { execute, ROOT, Running, temporaryFolder, until } from '../guest/process.ts';

/** The library's examples in README, in their order. */
const EXAMPLES = [...readFileSync(join(ROOT, 'README.md'), 'utf8').matchAll(/```js\n([\s\S]*?)```/g)].map(([, code]) => code!);

/** Writes an example where `guestwire` resolves to this tree. */
function write(folder: string, code: string): string {
  mkdirSync(join(folder, 'node_modules'));
  symlinkSync(ROOT, join(folder, 'node_modules/guestwire'));
  const file = join(folder, 'example.mjs');
  writeFileSync(file, code.replace('/tmp/library.sock', join(folder, 'vm.sock')));
  return file;
}

test("README's library example listens until Ctrl-C, as it stands", async () => {
  const folder = temporaryFolder();
  const example = new Running(process.execPath, [write(folder, EXAMPLES[0]!)]);
  await until(() => example.output.endsWith('\n') || example.child.exitCode !== null, 'the example to listen');
  assert.match(example.output, /^VMs attach to unix:.*; port \d+ leads to the guest's SSH server; Ctrl-C ends\n$/);
  assert.equal(existsSync(join(folder, 'vm.sock')), true);
  assert.equal(await example.kill('SIGINT'), 0, example.output);
  assert.equal(existsSync(join(folder, 'vm.sock')), false);
});

test("README's example with a guest in TypeScript runs as it stands", async () => {
  const { status, stdout, stderr } = await execute(process.execPath, [write(temporaryFolder(), EXAMPLES[1]!)], 20_000);
  assert.equal(status, 0, stderr);
  assert.equal(stdout, "192.168.127.2 [ '192.168.127.254' ]\n");
});

test("README's example of a program that is part of the network runs as it stands", async () => {
  const { status, stdout, stderr } = await execute(process.execPath, [write(temporaryFolder(), EXAMPLES[2]!)], 20_000);
  assert.equal(status, 0, stderr);
  assert.equal(stdout, 'ECONNREFUSED\nfrom nobody\n');
  assert.equal(EXAMPLES.length, 3);
});

test('the demo holds', { timeout: 120_000 }, async () => {
  const { status, stdout } = await execute(process.execPath, [join(ROOT, 'dist/testing/demo.js')], 110_000);
  assert.equal(status, 0, stdout);
  assert.match(stdout, /Everything held/);
});
