/** The library's examples in the pages, as they stand. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { execute, ROOT, Running, temporaryFolder, until } from '../guest/process.ts';
import { PAGES, snippetsOf } from './snippets.ts';

/** What each prints, by page, in their order. The first goes on until Ctrl-C. */
const OUTPUTS: Readonly<Record<string, readonly RegExp[]>> = {
  'README.md': [
    /^VMs attach to unix:.*; port \d+ leads to the guest's SSH server; Ctrl-C ends\n$/,
    /^192\.168\.127\.2 \[ '192\.168\.127\.254' \]\n$/,
    /^ECONNREFUSED\nfrom nobody\n$/,
  ],
  'docs/library.md': [/^hello, fd12:3456:789a:1:5894:efff:fee4:cee\nthe guest\nECONNREFUSED\n$/],
};

const EXAMPLES = PAGES.flatMap((page) => snippetsOf(page).filter(({ language }) => language === 'js'));
const EXPECTED = Object.entries(OUTPUTS).flatMap(([page, outputs]) => outputs.map((prints) => ({ page, prints })));

/** Where `guestwire` resolves to this tree. */
const folder = temporaryFolder();
mkdirSync(join(folder, 'node_modules/@types'), { recursive: true });
symlinkSync(ROOT, join(folder, 'node_modules/guestwire'));
for (const name of ['@types/node', 'undici-types']) symlinkSync(join(ROOT, 'node_modules', name), join(folder, 'node_modules', name));
const files = EXAMPLES.map(({ text }, index) => {
  const file = join(folder, `example-${index}.mjs`);
  writeFileSync(file, text.replaceAll('/tmp/library.sock', join(folder, 'vm.sock')));
  return file;
});

test('there is an output for each example of each page', () => {
  assert.deepEqual(
    EXAMPLES.map(({ page }) => page),
    EXPECTED.map(({ page }) => page),
  );
});

test("README's first example listens until Ctrl-C", async () => {
  const example = new Running(process.execPath, [files[0]!]);
  await until(() => example.output.endsWith('\n') || example.child.exitCode !== null, 'the example to listen');
  assert.match(example.output, EXPECTED[0]!.prints);
  assert.equal(existsSync(join(folder, 'vm.sock')), true);
  assert.equal(await example.kill('SIGINT'), 0, example.output);
  assert.equal(existsSync(join(folder, 'vm.sock')), false);
});

for (const [index, { page, prints }] of EXPECTED.entries()) {
  if (index === 0) continue;
  test(`${page}'s example with ${prints.source.slice(1, 40)} runs`, async () => {
    const { status, stdout, stderr } = await execute(process.execPath, [files[index]!], 20_000);
    assert.deepEqual([status, stderr], [0, '']);
    assert.match(stdout, prints);
  });
}

test('the examples use the library as its types have it', async () => {
  const compiler = join(ROOT, 'node_modules/typescript/bin/tsc');
  const compilerOptions = { noEmit: true, checkJs: true, strict: true, module: 'nodenext', target: 'es2022', types: ['node'] };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files }));
  const { status, stdout } = await execute(process.execPath, [compiler, '-p', folder], 60_000);
  assert.equal(status, 0, stdout);
});

test('the demo holds', { timeout: 120_000 }, async () => {
  const { status, stdout } = await execute(process.execPath, [join(ROOT, 'dist/testing/demo.js')], 110_000);
  assert.equal(status, 0, stdout);
  assert.match(stdout, /Everything held/);
});
