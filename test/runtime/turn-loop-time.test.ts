import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as immediate, setTimeout as pause } from 'node:timers/promises';
import { ManualClock } from '../../src/runtime/clock.ts';
import { Timer } from '../../src/runtime/timer-wheel.ts';
import { DONE, KEPT, SENT, TurnLoop } from '../../src/runtime/turn-loop.ts';
import { EPOLLIN } from '../../src/system/constants.ts';
import { read, write } from '../../src/system/syscalls.ts';
import { LoopFixture, until } from './loop-fixture.ts';

const fixture = new LoopFixture();

/** Arms a timer; how long it took to fire, ms. */
function measure(delay: number): Promise<number> {
  const started = fixture.loop.clock.now();
  return new Promise((resolve) => {
    fixture.loop.timers.arm(new Timer(() => resolve(fixture.loop.clock.now() - started)), delay);
  });
}

test('a timer fires without any event, not early and not much later', async () => {
  const waited = await measure(30);
  assert.ok(waited >= 30 && waited < 80, `${waited} ms`);
});

test('a timer armed after a long silence counts from then, not from the last turn', async () => {
  fixture.loop.wake();
  await pause(60);
  const measured = measure(50);
  fixture.loop.wake();
  const waited = await measured;
  assert.ok(waited >= 50, `${waited} ms`);
});

test('an earlier timer is not held up by a later one that was armed first', async () => {
  const late = measure(100);
  await pause(10);
  const early = await measure(12);
  assert.ok(early >= 12 && early < 60, `${early} ms`);
  assert.ok((await late) >= 100);
});

test('now stands still within a turn', async () => {
  const clock = new ManualClock();
  const manual = new TurnLoop(fixture.arena, { clock });
  const seen: number[] = [];
  manual.phase(() => {
    seen.push(manual.timers.now);
    clock.advance(100);
    seen.push(manual.timers.now);
    return false;
  });
  clock.advance(7);
  manual.wake();
  await until(() => seen.length === 2);
  manual.close();
  assert.deepEqual(seen, [7, 7]);
});

test('what is put off is asked for when nothing has come for a while, and told so', async () => {
  const fd = fixture.counter(0);
  const endings: boolean[] = [];
  fixture.loop.watch(fd, EPOLLIN, { ready: () => read(fd, fixture.scratch, 8) });
  fixture.loop.atTurnEnd((idle) => {
    endings.push(idle);
    return DONE;
  });
  fixture.raise(fd);
  await until(() => endings.length > 0);
  assert.equal(endings.at(-1), true);
});

test('a turn that ends because its time is over says so, and what is kept is asked for again without an event', async () => {
  let busy = true;
  let runs = 0;
  const endings: boolean[] = [];
  fixture.loop.phase(() => {
    runs++;
    return busy;
  });
  fixture.loop.atTurnEnd((idle) => {
    endings.push(idle);
    busy = false;
    return endings.length < 3 ? KEPT : SENT;
  });
  fixture.loop.wake();
  await until(() => endings.length === 3);
  await pause(20);
  assert.equal(endings[0], false);
  assert.deepEqual(endings.slice(1), [true, true], 'nothing is kept any more, so no turn follows');
  const before = runs;
  await pause(20);
  assert.equal(runs, before);
});

test('events that come now and then cost little, although a turn waits for more of them without sleeping', async () => {
  const fd = fixture.counter(0);
  let heard = 0;
  fixture.loop.watch(fd, EPOLLIN, {
    ready: () => {
      read(fd, fixture.scratch, 8);
      heard++;
    },
  });
  await pause(20);
  const before = process.cpuUsage();
  for (let i = 0; i < 200; i++) {
    fixture.raise(fd);
    await pause(5);
  }
  const { user, system } = process.cpuUsage(before);
  assert.equal(heard, 200);
  assert.ok(user + system < 150_000, `${(user + system) / 1000} ms for a second of 200 events`);
});

test('a descriptor that is always readable does not keep Node from its own callbacks', async () => {
  const fd = fixture.counter(1);
  let heard = 0;
  fixture.loop.watch(fd, EPOLLIN, { ready: () => heard++ });
  await until(() => heard > 0);
  const delays: number[] = [];
  for (let i = 0; i < 50; i++) {
    const started = performance.now();
    await immediate();
    delays.push(performance.now() - started);
  }
  delays.sort((x, y) => x - y);
  assert.ok(delays[25]! < 8, `median ${delays[25]} ms`);
  assert.ok(heard > 50);
});

test('a phase that never ends does not keep Node from its own callbacks', async () => {
  let runs = 0;
  let endless = true;
  fixture.loop.phase(() => {
    runs++;
    return endless;
  });
  fixture.loop.wake();
  let timeouts = 0;
  const interval = setInterval(() => timeouts++, 1);
  await pause(60);
  clearInterval(interval);
  endless = false;
  assert.ok(timeouts >= 10, `${timeouts} timeouts`);
  assert.ok(runs > 100);
});

/** The shortest time, of ten, from an event to the next callback of Node, ms. */
async function shortestWayToNode(during: () => void): Promise<number> {
  const fd = fixture.counter(0);
  let shortest = Infinity;
  let rounds = 0;
  fixture.loop.watch(fd, EPOLLIN, {
    ready: () => {
      read(fd, fixture.scratch, 8);
      during();
      const started = performance.now();
      setImmediate(() => {
        shortest = Math.min(shortest, performance.now() - started);
        rounds++;
      });
    },
  });
  for (let i = 1; i <= 10; i++) {
    fixture.raise(fd);
    await until(() => rounds === i);
  }
  return shortest;
}

test('after an event the turn lingers for a millisecond', async () => {
  const shortest = await shortestWayToNode(() => {});
  assert.ok(shortest >= 0.9 && shortest < 3, `${shortest} ms`);
});

test('a turn that handed work to Node does not linger', async () => {
  const shortest = await shortestWayToNode(() => fixture.loop.handedToNode());
  assert.ok(shortest < 0.8, `${shortest} ms`);
});

test('an event that comes while the turn lingers is handled in that turn', async () => {
  const [a, b] = fixture.pair();
  const order: string[] = [];
  let left = 3;
  fixture.loop.watch(a, EPOLLIN, {
    ready: () => {
      order.push('event');
      read(a, fixture.scratch, 100);
      if (left-- > 0) write(b, fixture.scratch, 1);
      else setImmediate(() => order.push('node'));
      if (left === 2) setImmediate(() => order.push('node'));
    },
  });
  write(b, fixture.scratch, 1);
  await until(() => order.includes('node'));
  assert.deepEqual(order.slice(0, 5), ['event', 'event', 'event', 'event', 'node']);
});

test('promises that a turn resolves go on right after it', async () => {
  const fd = fixture.counter(0);
  let heard = 0;
  let went = 0;
  fixture.loop.watch(fd, EPOLLIN, {
    ready: () => {
      read(fd, fixture.scratch, 8);
      heard = performance.now();
      void Promise.resolve().then(() => {
        went = performance.now();
      });
    },
  });
  await pause(5);
  fixture.raise(fd);
  await pause(200);
  assert.ok(heard > 0 && went >= heard && went - heard < 50, `${went - heard} ms`);
});

test('an idle loop runs no turns', async () => {
  let runs = 0;
  fixture.loop.watch(fixture.counter(0), EPOLLIN, { ready: () => {} });
  fixture.loop.phase(() => {
    runs++;
    return false;
  });
  fixture.loop.timers.arm(new Timer(() => {}), 100_000);
  await pause(20);
  runs = 0;
  await pause(100);
  assert.equal(runs, 0);
});

test('sleeps through what a VM streams', async () => {
  const sleeps: number[] = [];
  let rounds = 0;
  const streaming = new TurnLoop(fixture.arena, { sleep: (microseconds) => void sleeps.push(microseconds) });
  const counter = fixture.counter(1);
  streaming.watch(counter, EPOLLIN, {
    ready: () => {
      streaming.received(40_000);
      if (++rounds === 8) read(counter, fixture.scratch, 8);
    },
  });
  await until(() => rounds === 8);
  streaming.close();
  assert.equal(sleeps.length, 5, 'after the fourth round and those behind it');
  assert.ok(sleeps.every((microseconds) => microseconds > 0 && microseconds < 1000));
});
