import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { Timer } from '../../src/runtime/timer-wheel.ts';
import { EPOLLET, EPOLLIN } from '../../src/system/constants.ts';
import { LoopFixture, until } from './loop-fixture.ts';

const fixture = new LoopFixture();

/** The next thing thrown out of the fixture.loop into Node. */
function uncaught(): Promise<Error> {
  const others = process.listeners('uncaughtException');
  process.removeAllListeners('uncaughtException');
  return new Promise((resolve) => {
    process.once('uncaughtException', (error) => {
      for (const listener of others) process.on('uncaughtException', listener);
      resolve(error);
    });
  });
}

test('a watcher that throws surfaces, and the other events of its round are delivered all the same', async () => {
  const heard: number[] = [];
  let runs = 0;
  for (let i = 0; i < 4; i++) {
    fixture.loop.watch(fixture.counter(1), EPOLLIN | EPOLLET, {
      ready: () => {
        heard.push(i);
        if (i === 1) throw new Error('fault in a watcher');
      },
    });
  }
  fixture.loop.phase(() => {
    runs++;
    return false;
  });
  const error = await uncaught();
  assert.equal(error.message, 'fault in a watcher');
  assert.deepEqual(
    heard.sort((a, b) => a - b),
    [0, 1, 2, 3],
  );
  assert.ok(runs > 0);
  fixture.loop.wake();
  runs = 0;
  await until(() => runs === 1);
});

test('a phase that throws surfaces and the phases behind it run', async () => {
  let after = 0;
  let faults = 1;
  fixture.loop.phase(() => {
    if (faults-- > 0) throw new Error('fault in a phase');
    return false;
  });
  fixture.loop.phase(() => {
    after++;
    return false;
  });
  fixture.loop.wake();
  assert.equal((await uncaught()).message, 'fault in a phase');
  assert.equal(after, 1);
});

test('a timer that throws surfaces and the timers behind it fire', async () => {
  let fired = 0;
  fixture.loop.timers.arm(
    new Timer(() => {
      throw new Error('fault in a timer');
    }),
    5,
  );
  fixture.loop.timers.arm(new Timer(() => fired++), 5);
  assert.equal((await uncaught()).message, 'fault in a timer');
  await until(() => fired === 1);
});

test('closing within a turn delivers nothing more, and closing twice is harmless', async () => {
  let heard = 0;
  let runs = 0;
  for (let i = 0; i < 3; i++) {
    fixture.loop.watch(fixture.counter(1), EPOLLIN, {
      ready: () => {
        heard++;
        fixture.loop.close();
      },
    });
  }
  fixture.loop.phase(() => {
    runs++;
    return false;
  });
  await until(() => heard > 0);
  await pause(10);
  fixture.loop.close();
  fixture.loop.wake();
  await pause(5);
  assert.equal(heard, 1);
  assert.equal(runs, 0);
});

test('after close unwatch is harmless and watch throws', () => {
  const fd = fixture.counter(1);
  const token = fixture.loop.watch(fd, EPOLLIN, { ready: () => assert.fail('closed') });
  fixture.loop.close();
  fixture.loop.unwatch(token, fd);
  assert.throws(() => fixture.loop.watch(fd, EPOLLIN, { ready: () => {} }), { code: 'EBADF' });
});

test('an unreferenced loop with a watch and a timer lets the process end; a referenced one does not', () => {
  const run = (line: string): { status: number | null; signal: string | null } => {
    const url = (path: string): string => JSON.stringify(new URL(path, import.meta.url).href);
    const program = `
      const { Arena } = await import(${url('../../src/runtime/arena.js')});
      const { Timer } = await import(${url('../../src/runtime/timer-wheel.js')});
      const { TurnLoop } = await import(${url('../../src/runtime/turn-loop.js')});
      const { eventfd } = await import(${url('../system/descriptors.js')});
      const loop = new TurnLoop(new Arena(1 << 20));
      loop.watch(eventfd(0), 1, { ready() {} });
      loop.timers.arm(new Timer(() => {}), 100000);
      ${line}`;
    return spawnSync(process.execPath, ['--input-type=module', '-e', program], { timeout: 1500 });
  };
  assert.equal(run('loop.unref();').status, 0);
  assert.equal(run('setTimeout(() => loop.unref(), 20);').status, 0);
  assert.equal(run('').signal, 'SIGTERM');
});
