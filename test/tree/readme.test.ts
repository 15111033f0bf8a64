import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { execute } from '../guest/process.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

test("README's library example runs as it stands", async () => {
  const [, code] = /```js\n([\s\S]*?)```/.exec(readFileSync(join(ROOT, 'README.md'), 'utf8'))!;
  const folder = mkdtempSync(join(tmpdir(), 'guestwire-readme-'));
  try {
    mkdirSync(join(folder, 'node_modules'));
    symlinkSync(ROOT, join(folder, 'node_modules/guestwire'));
    writeFileSync(join(folder, 'example.mjs'), code!.replace('/tmp/library.sock', join(folder, 'vm.sock')));
    const { status, stdout, stderr } = await execute(process.execPath, [join(folder, 'example.mjs')], 20_000);
    assert.equal(status, 0, stderr);
    assert.match(stdout, /^VMs attach to unix:.*; port \d+ leads to the guest's SSH server\n$/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('the demo holds', { timeout: 120_000 }, async () => {
  const { status, stdout } = await execute(process.execPath, [join(ROOT, 'dist/testing/demo.js')], 110_000);
  assert.equal(status, 0, stdout);
  assert.match(stdout, /Everything held/);
});
