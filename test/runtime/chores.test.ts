import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EPOLLET, EPOLLIN } from '../../src/system/constants.ts';
import { LoopFixture, until } from './loop-fixture.ts';

const fixture = new LoopFixture();

test('what a watcher or a phase leaves for later is done once, behind the phases of the same round', async () => {
  const order: string[] = [];
  const chore = (name: string): { run(): void } => ({ run: () => order.push(name) });
  fixture.loop.phase(() => {
    order.push('phase');
    if (order.length === 2) fixture.loop.afterPhases(chore('of the phase'));
    return order.length < 5;
  });
  fixture.loop.watch(fixture.counter(1), EPOLLIN | EPOLLET, {
    ready: () => {
      order.push('event');
      fixture.loop.afterPhases(chore('of the watcher'));
    },
  });
  await until(() => order.length >= 5);
  assert.deepEqual(order.slice(0, 5), ['event', 'phase', 'of the watcher', 'of the phase', 'phase']);
  assert.equal(order.filter((name) => name.startsWith('of')).length, 2);
});

test('outside a turn, and once the loop is closed, nothing is left for later', async () => {
  let done = 0;
  fixture.loop.afterPhases({ run: () => done++ });
  assert.equal(done, 1);
  let closed = false;
  fixture.loop.watch(fixture.counter(1), EPOLLIN | EPOLLET, {
    ready: () => {
      fixture.loop.afterPhases({ run: () => done++ });
      fixture.loop.close();
      closed = true;
      fixture.loop.afterPhases({ run: () => done++ });
      assert.equal(done, 2);
    },
  });
  await until(() => closed);
  assert.equal(done, 3);
});
