import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const CHILD = fileURLToPath(new URL('allocations.js', import.meta.url));
/** So much new space that 100 bytes a frame are not collected while they are counted; the compilers are as ever. */
const FLAGS = ['--expose-gc', '--min-semi-space-size=128', '--max-semi-space-size=128'];
/** Bytes: the smallest object has 16, so that one for every eighth frame is too many. */
const PER_FRAME = 2;
/** Bytes a round: the clock's fraction of a millisecond, which is a number on the heap wherever it is handed on. */
const PER_ROUND = 24;

interface Line {
  readonly name: string;
  readonly bytes: number;
  readonly frames: number;
  readonly rounds: number;
}

test('a million frames of each kind of traffic allocate nothing per frame', () => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [...FLAGS, CHILD], { encoding: 'utf8', timeout: 120_000 });
  assert.equal(status, 0, stderr);
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);
  assert.equal(lines.length, 20, stdout);
  for (const { name, bytes, frames, rounds } of lines) {
    assert.ok(frames >= 1_000_000, `${name}: ${frames} frames`);
    assert.ok(bytes <= frames * PER_FRAME + rounds * PER_ROUND, `${name}: ${bytes} bytes for ${frames} frames in ${rounds} rounds`);
  }
});
