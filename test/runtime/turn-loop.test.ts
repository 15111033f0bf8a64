import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { TurnLoop } from '../../src/runtime/turn-loop.ts';
import { EPOLLET, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP } from '../../src/system/constants.ts';
import { close, read, write } from '../../src/system/syscalls.ts';
import { eventfd } from '../system/descriptors.ts';
import { LoopFixture, until } from './loop-fixture.ts';

const fixture = new LoopFixture();

test('a watcher hears that its descriptor is readable', async () => {
  const [a, b] = fixture.pair();
  const seen: number[] = [];
  fixture.loop.watch(a, EPOLLIN, {
    ready: (events) => {
      seen.push(events);
      read(a, fixture.scratch, 100);
    },
  });
  await pause(5);
  assert.deepEqual(seen, []);
  write(b, fixture.scratch, 3);
  await until(() => seen.length > 0);
  assert.deepEqual(seen, [EPOLLIN]);
});

test('an edge-triggered descriptor is told once, until more arrives', async () => {
  const [a, b] = fixture.pair();
  let edges = 0;
  fixture.loop.watch(a, EPOLLIN | EPOLLET, { ready: () => edges++ });
  write(b, fixture.scratch, 3);
  await until(() => edges === 1);
  await pause(5);
  assert.equal(edges, 1);
  write(b, fixture.scratch, 3);
  await until(() => edges === 2);
});

test('modify changes what is watched for', async () => {
  const [a] = fixture.pair();
  const seen: number[] = [];
  const token = fixture.loop.watch(a, EPOLLIN, {
    ready: (events) => {
      seen.push(events);
      fixture.loop.modify(token, a, 0);
    },
  });
  fixture.loop.modify(token, a, EPOLLOUT);
  await until(() => seen.length > 0);
  await pause(5);
  assert.deepEqual(seen, [EPOLLOUT]);
});

test('the end of the peer is reported', async () => {
  const [a, b] = fixture.pair();
  let seen = 0;
  const token = fixture.loop.watch(a, EPOLLIN | EPOLLRDHUP, {
    ready: (events) => {
      seen = events;
      fixture.loop.unwatch(token, a);
    },
  });
  fixture.close(b);
  await until(() => seen !== 0);
  assert.equal(seen & (EPOLLRDHUP | EPOLLHUP), EPOLLRDHUP | EPOLLHUP);
});

test('an event of a descriptor that was unwatched in the same round is not delivered', async () => {
  const fds = [fixture.counter(1), fixture.counter(1)];
  const heard: number[] = [];
  const tokens = fds.map((fd, i): number =>
    fixture.loop.watch(fd, EPOLLIN, {
      ready: () => {
        heard.push(i);
        read(fd, fixture.scratch, 8);
        fixture.loop.unwatch(tokens[1 - i]!, fds[1 - i]!);
      },
    }),
  );
  await pause(10);
  assert.equal(heard.length, 1);
});

test('a stale event does not reach the watcher that took over the token and the number of a closed descriptor', async () => {
  const fds = [fixture.counter(1), fixture.counter(1)];
  const heard: string[] = [];
  const tokens = fds.map((fd, i): number =>
    fixture.loop.watch(fd, EPOLLIN, {
      ready: () => {
        heard.push(`old ${i}`);
        read(fd, fixture.scratch, 8);
        const victim = fds[1 - i]!;
        fixture.loop.forget(tokens[1 - i]!);
        close(victim);
        const successor = eventfd(0);
        assert.equal(successor, victim);
        assert.equal(fixture.loop.watch(successor, EPOLLIN, { ready: () => heard.push('new') }), tokens[1 - i]);
      },
    }),
  );
  await pause(10);
  assert.equal(heard.length, 1);
  assert.match(heard[0]!, /old/);
});

test('a descriptor that cannot be watched throws and leaves no token behind', () => {
  const fd = fixture.counter(0);
  const first = fixture.loop.watch(fd, EPOLLIN, { ready: () => {} });
  assert.throws(() => fixture.loop.watch(fd, EPOLLIN, { ready: () => {} }), { code: 'EEXIST', syscall: 'epoll_ctl' });
  assert.throws(() => fixture.loop.watch(1_000_000, EPOLLIN, { ready: () => {} }), { code: 'EBADF' });
  assert.equal(fixture.loop.watch(fixture.counter(0), EPOLLIN, { ready: () => {} }), first + 1);
});

test('more descriptors than one epoll_wait returns are all heard in one turn', async () => {
  let heard = 0;
  for (let i = 0; i < 600; i++) {
    const fd = fixture.counter(1);
    fixture.loop.watch(fd, EPOLLIN | EPOLLET, { ready: () => heard++ });
  }
  await until(() => heard >= 600);
  assert.equal(heard, 600);
});

test('phases run after the events, in the order they were added, until none has more to do', async () => {
  const fd = fixture.counter(1);
  const order: string[] = [];
  let left = 2;
  fixture.loop.phase(() => {
    order.push('first');
    return left-- > 0;
  });
  fixture.loop.phase(() => {
    order.push('second');
    return false;
  });
  fixture.loop.watch(fd, EPOLLIN, {
    ready: () => {
      order.push('event');
      read(fd, fixture.scratch, 8);
    },
  });
  await until(() => order.length >= 7);
  assert.deepEqual(order.slice(0, 7), ['event', 'first', 'second', 'first', 'second', 'first', 'second']);
});

test('wake from outside runs one turn, however often it is called', async () => {
  let runs = 0;
  fixture.loop.phase(() => {
    runs++;
    return false;
  });
  fixture.loop.wake();
  fixture.loop.wake();
  fixture.loop.wake();
  assert.equal(runs, 0);
  await pause(5);
  assert.equal(runs, 1);
});

test('wake from a phase makes another round and from a watcher makes none: the phases are still to come', async () => {
  const fd = fixture.counter(1);
  let runs = 0;
  let wakes = 0;
  const alone = new TurnLoop(fixture.arena, { linger: false });
  alone.watch(fd, EPOLLIN, {
    ready: () => {
      read(fd, fixture.scratch, 8);
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
  fixture.loop.phase(() => {
    runs++;
    fixture.loop.runSoon();
    return false;
  });
  fixture.loop.runSoon();
  await pause(5);
  assert.equal(runs, 1);
});
