import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { execute, succeed } from './process.ts';
import { missing } from './requirement.ts';

const PROGRAM = fileURLToPath(new URL('segmentation-program.js', import.meta.url));

test(
  'super frames are cut exactly as this machine’s kernel cuts them',
  { skip: missing('root', 'tun', 'ip'), timeout: 60_000 },
  async () => {
    const name = `gwcut-${process.pid}`;
    await succeed('ip', ['netns', 'add', name]);
    try {
      const { status, stdout, stderr } = await execute('ip', ['netns', 'exec', name, process.execPath, PROGRAM], 50_000);
      assert.equal(status, 0, stdout + stderr);
      assert.ok(Number(/^(\d+) segments are the same$/m.exec(stdout)?.[1]) > 1000, stdout);
    } finally {
      await execute('ip', ['netns', 'del', name]);
    }
  },
);
