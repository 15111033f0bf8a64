import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Capture } from '../../src/link/capture.ts';
import { receiveQemu } from '../../src/link/qemu.ts';
import { StreamListener } from '../../src/link/stream-listener.ts';
import { Arena } from '../../src/runtime/arena.ts';
import { TurnLoop } from '../../src/runtime/turn-loop.ts';
import { temporaryFolder } from '../guest/process.ts';

function descriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

test(
  'a capture whose file takes no bytes leaves no descriptor behind',
  { skip: existsSync('/dev/full') ? false : 'needs /dev/full' },
  () => {
    const before = descriptors();
    for (let i = 0; i < 5; i++) assert.throws(() => new Capture('/dev/full', () => 0), { code: 'ENOSPC' });
    assert.equal(descriptors(), before);
  },
);

test('a listener that the loop cannot watch leaves neither socket nor file behind', async () => {
  const arena = new Arena(16 << 20);
  const loop = new TurnLoop(arena);
  loop.close();
  const path = join(temporaryFolder(), 'vm.sock');
  const receiver = { frame: () => {}, endOfBatch: () => {}, drained: () => {}, attached: () => {}, detached: () => {} };
  const events = { connected: () => {}, disconnected: () => {} };
  // Node frees its own watch on the loop in a turn of its own.
  await new Promise((resolve) => setImmediate(resolve));
  const before = descriptors();
  const opening = StreamListener.open(`unix://${path}`, { loop, arena, receiver, events, nextId: () => 0 }, receiveQemu(false));
  await assert.rejects(opening, { code: 'EBADF' });
  assert.equal(descriptors(), before);
  assert.equal(existsSync(path), false);
});
