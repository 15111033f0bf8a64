import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NAMESAKE_LIMIT, NEIGHBOUR_LIMIT, type Neighbour, NeighbourTable } from '../../src/gateway/neighbour.ts';
import { Arena } from '../../src/runtime/arena.ts';
import { TimerWheel } from '../../src/runtime/timer-wheel.ts';
import { FakePort } from '../fake-port.ts';

const ARENA = new Arena(4 << 20);
const [HOSTILE, VICTIM] = [new FakePort(ARENA, 0), new FakePort(ARENA, 1)];
const PREFIX = 0xfd000000;

test('addresses that end alike are few of a VM, so that no look-up is long; the first without flows makes room', () => {
  const table = new NeighbourTable(new TimerWheel(0), () => {});
  const learn = (w2: number, port: FakePort) => table.learn(PREFIX, 0, w2, 1, port, 0x5a94, port.id);
  const victim = learn(0, VICTIM)!;
  const kept = learn(1, HOSTILE)!;
  kept.hold();
  for (let w2 = 2; w2 < 3000; w2++) assert.ok(learn(w2, HOSTILE) !== null, `${w2}`);
  assert.equal(table.size, NAMESAKE_LIMIT + 1);
  assert.equal(table.lookup(PREFIX, 0, 0, 1), victim);
  assert.equal(table.lookup(PREFIX, 0, 1, 1), kept);
  assert.equal(table.lookup(PREFIX, 0, 2992, 1), null);
  for (let w2 = 2993; w2 < 3000; w2++) table.lookup(PREFIX, 0, w2, 1)!.hold();
  assert.equal(learn(3000, HOSTILE), null, 'flows of all of them: there is no room');
  assert.ok(learn(3000, VICTIM) !== null, 'for another VM there is');
  assert.equal(table.taken, 0);
  table.forgetPort(HOSTILE);
  table.forgetPort(VICTIM);
  assert.equal(table.size, 0);
});

test('addresses that end otherwise are as many as a VM may have', () => {
  const table = new NeighbourTable(new TimerWheel(0), () => {});
  for (let w3 = 0; w3 < 3000; w3++) table.learn(PREFIX, 0, 1, w3, HOSTILE, 0x5a94, 1);
  assert.equal(table.size, NEIGHBOUR_LIMIT);
});

test('an address costs no more time for the flows that hold others, which stay, nor is anything remembered without bound', () => {
  const table = new NeighbourTable(new TimerWheel(0), () => {});
  const learn = (w3: number): Neighbour => table.learn(PREFIX, 0, 1, w3, HOSTILE, 0x5a94, 1)!;
  const HELD = 16 * NEIGHBOUR_LIMIT;
  const held = Array.from({ length: HELD }, (_, w3) => {
    const entry = learn(w3);
    entry.hold();
    return entry;
  });
  const start = performance.now();
  for (let w3 = HELD; w3 < 2 * HELD; w3++) learn(w3);
  // Looking through all that are held takes 100 times as long.
  assert.ok(performance.now() - start < 1000, `${performance.now() - start} ms`);
  assert.equal(table.size, HELD + 1);
  for (const entry of held) {
    assert.equal(entry.port, HOSTILE);
    entry.release();
  }
  for (let w3 = 2 * HELD; w3 < 3 * HELD; w3++) learn(w3);
  assert.ok(table.size <= HELD + 1, `${table.size}`);
  table.forgetPort(HOSTILE);
  assert.equal(table.size, 0);
  for (const entry of held) assert.deepEqual([entry.of, entry.before, entry.after], [null, null, null]);
});

test('who was heard from since stays, where somebody was not', () => {
  const table = new NeighbourTable(new TimerWheel(0), () => {});
  const learn = (w3: number): Neighbour | null => table.learn(PREFIX, 0, 1, w3, HOSTILE, 0x5a94, 1);
  for (let w3 = 0; w3 < NEIGHBOUR_LIMIT; w3++) learn(w3)!.heard = w3 < 4;
  learn(NEIGHBOUR_LIMIT);
  assert.deepEqual(
    [0, 3, 4, 5].map((w3) => table.lookup(PREFIX, 0, 1, w3) !== null),
    [true, true, false, true],
  );
  for (let w3 = 0; w3 <= NEIGHBOUR_LIMIT; w3++) if (w3 !== 4) table.lookup(PREFIX, 0, 1, w3)!.heard = true;
  assert.ok(learn(NEIGHBOUR_LIMIT + 1) !== null);
  assert.equal(table.size, NEIGHBOUR_LIMIT, 'where all were heard from, one of them goes');
});
