import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { afterEach, beforeEach, test } from 'node:test';
import { setImmediate as immediate, setTimeout as pause } from 'node:timers/promises';
import { Arena } from '../../src/runtime/arena.ts';
import { ManualClock } from '../../src/runtime/clock.ts';
import { Timer } from '../../src/runtime/timer-wheel.ts';
import { TurnLoop } from '../../src/runtime/turn-loop.ts';
import { EPOLLET, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP } from '../../src/system/constants.ts';
import { writePointer } from '../../src/system/memory.ts';
import { addressOf, close, read, write } from '../../src/system/syscalls.ts';
import { eventfd, socketpair } from '../system/descriptors.ts';

let arena: Arena;
let loop: TurnLoop;
let scratchAt: number;
let scratch: number;
let open: number[];

beforeEach(() => {
  arena = new Arena(1 << 20);
  scratchAt = arena.allocate(4096);
  scratch = addressOf(arena.memory.buffer) + scratchAt;
  loop = new TurnLoop(arena);
  open = [];
});

afterEach(() => {
  loop.close();
  for (const fd of open) close(fd);
});

function pair(): [number, number] {
  const fds = socketpair();
  open.push(...fds);
  return fds;
}

function counter(initial: number): number {
  const fd = eventfd(initial);
  open.push(fd);
  return fd;
}

/** Makes a counter readable. */
function raise(fd: number): void {
  writePointer(arena.words, scratchAt, 1);
  write(fd, scratch, 8);
}

/** Waits for `done`, at most a second. */
async function until(done: () => boolean): Promise<void> {
  for (let i = 0; i < 1000 && !done(); i++) await pause(1);
  assert.ok(done(), 'within a second');
}

/** Arms a timer; how long it took to fire, ms. */
function measure(delay: number): Promise<number> {
  const started = loop.clock.now();
  return new Promise((resolve) => {
    loop.timers.arm(new Timer(() => resolve(loop.clock.now() - started)), delay);
  });
}

/** The next thing thrown out of the loop into Node. */
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

test('a watcher hears that its descriptor is readable', async () => {
  const [a, b] = pair();
  const seen: number[] = [];
  loop.watch(a, EPOLLIN, {
    ready: (events) => {
      seen.push(events);
      read(a, scratch, 100);
    },
  });
  await pause(5);
  assert.deepEqual(seen, []);
  write(b, scratch, 3);
  await until(() => seen.length > 0);
  assert.deepEqual(seen, [EPOLLIN]);
});

test('an edge-triggered descriptor is told once, until more arrives', async () => {
  const [a, b] = pair();
  let edges = 0;
  loop.watch(a, EPOLLIN | EPOLLET, { ready: () => edges++ });
  write(b, scratch, 3);
  await until(() => edges === 1);
  await pause(5);
  assert.equal(edges, 1);
  write(b, scratch, 3);
  await until(() => edges === 2);
});

test('modify changes what is watched for', async () => {
  const [a] = pair();
  const seen: number[] = [];
  const token = loop.watch(a, EPOLLIN, {
    ready: (events) => {
      seen.push(events);
      loop.modify(token, a, 0);
    },
  });
  loop.modify(token, a, EPOLLOUT);
  await until(() => seen.length > 0);
  await pause(5);
  assert.deepEqual(seen, [EPOLLOUT]);
});

test('the end of the peer is reported', async () => {
  const [a, b] = pair();
  let seen = 0;
  const token = loop.watch(a, EPOLLIN | EPOLLRDHUP, {
    ready: (events) => {
      seen = events;
      loop.unwatch(token, a);
    },
  });
  open.splice(open.indexOf(b), 1);
  close(b);
  await until(() => seen !== 0);
  assert.equal(seen & (EPOLLRDHUP | EPOLLHUP), EPOLLRDHUP | EPOLLHUP);
});

test('an event of a descriptor that was unwatched in the same round is not delivered', async () => {
  const fds = [counter(1), counter(1)];
  const heard: number[] = [];
  const tokens = fds.map((fd, i): number =>
    loop.watch(fd, EPOLLIN, {
      ready: () => {
        heard.push(i);
        read(fd, scratch, 8);
        loop.unwatch(tokens[1 - i]!, fds[1 - i]!);
      },
    }),
  );
  await pause(10);
  assert.equal(heard.length, 1);
});

test('a stale event does not reach the watcher that took over the token and the number of a closed descriptor', async () => {
  const fds = [counter(1), counter(1)];
  const heard: string[] = [];
  const tokens = fds.map((fd, i): number =>
    loop.watch(fd, EPOLLIN, {
      ready: () => {
        heard.push(`old ${i}`);
        read(fd, scratch, 8);
        const victim = fds[1 - i]!;
        loop.forget(tokens[1 - i]!);
        close(victim);
        const successor = eventfd(0);
        assert.equal(successor, victim);
        assert.equal(loop.watch(successor, EPOLLIN, { ready: () => heard.push('new') }), tokens[1 - i]);
      },
    }),
  );
  await pause(10);
  assert.equal(heard.length, 1);
  assert.match(heard[0]!, /old/);
});

test('a descriptor that cannot be watched throws and leaves no token behind', () => {
  const fd = counter(0);
  const first = loop.watch(fd, EPOLLIN, { ready: () => {} });
  assert.throws(() => loop.watch(fd, EPOLLIN, { ready: () => {} }), { code: 'EEXIST', syscall: 'epoll_ctl' });
  assert.throws(() => loop.watch(1_000_000, EPOLLIN, { ready: () => {} }), { code: 'EBADF' });
  assert.equal(loop.watch(counter(0), EPOLLIN, { ready: () => {} }), first + 1);
});

test('more descriptors than one epoll_wait returns are all heard in one turn', async () => {
  let heard = 0;
  for (let i = 0; i < 600; i++) {
    const fd = counter(1);
    loop.watch(fd, EPOLLIN | EPOLLET, { ready: () => heard++ });
  }
  await until(() => heard >= 600);
  assert.equal(heard, 600);
});

test('phases run after the events, in the order they were added, until none has more to do', async () => {
  const fd = counter(1);
  const order: string[] = [];
  let left = 2;
  loop.phase(() => {
    order.push('first');
    return left-- > 0;
  });
  loop.phase(() => {
    order.push('second');
    return false;
  });
  loop.watch(fd, EPOLLIN, {
    ready: () => {
      order.push('event');
      read(fd, scratch, 8);
    },
  });
  await until(() => order.length >= 7);
  assert.deepEqual(order.slice(0, 7), ['event', 'first', 'second', 'first', 'second', 'first', 'second']);
});

test('wake from outside runs one turn, however often it is called', async () => {
  let runs = 0;
  loop.phase(() => {
    runs++;
    return false;
  });
  loop.wake();
  loop.wake();
  loop.wake();
  assert.equal(runs, 0);
  await pause(5);
  assert.equal(runs, 1);
});

test('wake from a phase makes another round and from a watcher makes none: the phases are still to come', async () => {
  const fd = counter(1);
  let runs = 0;
  let wakes = 0;
  const alone = new TurnLoop(arena, { linger: false });
  alone.watch(fd, EPOLLIN, {
    ready: () => {
      read(fd, scratch, 8);
      alone.wake();
    },
  });
  alone.phase(() => {
    runs++;
    if (wakes-- > 0) alone.wake();
    return false;
  });
  await until(() => runs > 0);
  await pause(5);
  // The round of the event and the one that found nothing more.
  assert.equal(runs, 2);
  wakes = 3;
  runs = 0;
  alone.wake();
  await until(() => runs > 0);
  await pause(5);
  alone.close();
  assert.equal(runs, 4);
});

test('runSoon within a turn does nothing and outside one makes one', async () => {
  let runs = 0;
  loop.phase(() => {
    runs++;
    loop.runSoon();
    return false;
  });
  loop.runSoon();
  await pause(5);
  assert.equal(runs, 1);
});

test('a timer fires without any event, not early and not much later', async () => {
  const waited = await measure(30);
  assert.ok(waited >= 30 && waited < 80, `${waited} ms`);
});

test('a timer armed after a long silence counts from then, not from the last turn', async () => {
  loop.wake();
  await pause(60);
  const measured = measure(50);
  loop.wake();
  const waited = await measured;
  assert.ok(waited >= 50, `${waited} ms`);
});

test('a timer that is armed before a later one is not held up by it', async () => {
  const order: string[] = [];
  loop.timers.arm(new Timer(() => order.push('late')), 60);
  await pause(10);
  loop.timers.arm(new Timer(() => order.push('early')), 12);
  await until(() => order.length === 2);
  assert.deepEqual(order, ['early', 'late']);
});

test('now stands still within a turn', async () => {
  const clock = new ManualClock();
  const manual = new TurnLoop(arena, { clock });
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

test('a descriptor that is always readable does not keep Node from its own callbacks', async () => {
  const fd = counter(1);
  let heard = 0;
  loop.watch(fd, EPOLLIN, { ready: () => heard++ });
  await until(() => heard > 0);
  const delays: number[] = [];
  for (let i = 0; i < 50; i++) {
    const started = performance.now();
    await immediate();
    delays.push(performance.now() - started);
  }
  delays.sort((x, y) => x - y);
  assert.ok(delays[25]! < 4, `median ${delays[25]} ms`);
  assert.ok(heard > 50);
});

test('a phase that never ends does not keep Node from its own callbacks', async () => {
  let runs = 0;
  let endless = true;
  loop.phase(() => {
    runs++;
    return endless;
  });
  loop.wake();
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
  const fd = counter(0);
  let shortest = Infinity;
  let rounds = 0;
  loop.watch(fd, EPOLLIN, {
    ready: () => {
      read(fd, scratch, 8);
      during();
      const started = performance.now();
      setImmediate(() => {
        shortest = Math.min(shortest, performance.now() - started);
        rounds++;
      });
    },
  });
  for (let i = 1; i <= 10; i++) {
    raise(fd);
    await until(() => rounds === i);
  }
  return shortest;
}

test('after an event the turn lingers for a millisecond', async () => {
  const shortest = await shortestWayToNode(() => {});
  assert.ok(shortest >= 0.9 && shortest < 3, `${shortest} ms`);
});

test('a turn that handed work to Node does not linger', async () => {
  const shortest = await shortestWayToNode(() => loop.handedToNode());
  assert.ok(shortest < 0.8, `${shortest} ms`);
});

test('an event that comes while the turn lingers is handled in that turn', async () => {
  const [a, b] = pair();
  const order: string[] = [];
  let left = 3;
  loop.watch(a, EPOLLIN, {
    ready: () => {
      order.push('event');
      read(a, scratch, 100);
      if (left-- > 0) write(b, scratch, 1);
      else setImmediate(() => order.push('node'));
      if (left === 2) setImmediate(() => order.push('node'));
    },
  });
  write(b, scratch, 1);
  await until(() => order.includes('node'));
  assert.deepEqual(order.slice(0, 5), ['event', 'event', 'event', 'event', 'node']);
});

test('promises that a turn resolves go on right after it', async () => {
  const fd = counter(0);
  let heard = 0;
  let went = 0;
  loop.watch(fd, EPOLLIN, {
    ready: () => {
      read(fd, scratch, 8);
      heard = performance.now();
      void Promise.resolve().then(() => {
        went = performance.now();
      });
    },
  });
  await pause(5);
  raise(fd);
  await pause(200);
  assert.ok(heard > 0 && went >= heard && went - heard < 50, `${went - heard} ms`);
});

test('an idle loop runs no turns', async () => {
  let runs = 0;
  loop.watch(counter(0), EPOLLIN, { ready: () => {} });
  loop.phase(() => {
    runs++;
    return false;
  });
  loop.timers.arm(new Timer(() => {}), 100_000);
  await pause(20);
  runs = 0;
  await pause(100);
  assert.equal(runs, 0);
});

test('a watcher that throws surfaces, and the other events of its round are delivered all the same', async () => {
  const heard: number[] = [];
  let runs = 0;
  for (let i = 0; i < 4; i++) {
    loop.watch(counter(1), EPOLLIN | EPOLLET, {
      ready: () => {
        heard.push(i);
        if (i === 1) throw new Error('fault in a watcher');
      },
    });
  }
  loop.phase(() => {
    runs++;
    return false;
  });
  const error = await uncaught();
  assert.equal(error.message, 'fault in a watcher');
  assert.deepEqual(heard.sort(), [0, 1, 2, 3]);
  assert.ok(runs > 0);
  loop.wake();
  runs = 0;
  await until(() => runs === 1);
});

test('a phase that throws surfaces and the phases behind it run', async () => {
  let after = 0;
  let faults = 1;
  loop.phase(() => {
    if (faults-- > 0) throw new Error('fault in a phase');
    return false;
  });
  loop.phase(() => {
    after++;
    return false;
  });
  loop.wake();
  assert.equal((await uncaught()).message, 'fault in a phase');
  assert.equal(after, 1);
});

test('a timer that throws surfaces and the timers behind it fire', async () => {
  let fired = 0;
  loop.timers.arm(new Timer(() => { throw new Error('fault in a timer'); }), 5);
  loop.timers.arm(new Timer(() => fired++), 5);
  assert.equal((await uncaught()).message, 'fault in a timer');
  await until(() => fired === 1);
});

test('closing within a turn delivers nothing more, and closing twice is harmless', async () => {
  let heard = 0;
  let runs = 0;
  for (let i = 0; i < 3; i++) {
    loop.watch(counter(1), EPOLLIN, {
      ready: () => {
        heard++;
        loop.close();
      },
    });
  }
  loop.phase(() => {
    runs++;
    return false;
  });
  await until(() => heard > 0);
  await pause(10);
  loop.close();
  loop.wake();
  await pause(5);
  assert.equal(heard, 1);
  assert.equal(runs, 0);
});

test('after close unwatch is harmless and watch throws', () => {
  const fd = counter(1);
  const token = loop.watch(fd, EPOLLIN, { ready: () => assert.fail('closed') });
  loop.close();
  loop.unwatch(token, fd);
  assert.throws(() => loop.watch(fd, EPOLLIN, { ready: () => {} }), { code: 'EBADF' });
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
