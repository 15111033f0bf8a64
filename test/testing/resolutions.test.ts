import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Mac } from '../../src/packet/mac.ts';
import { Resolutions } from '../../src/testing/resolutions.ts';
import { ManualScheduler } from '../../src/testing/wire.ts';

const MAC: Mac = { hi: 0x0200, lo: 1 };

test('a neighbour is asked for once, and its answer goes to all who wait', () => {
  const resolutions = new Resolutions<string>(new ManualScheduler());
  const heard: (Mac | undefined)[] = [];
  assert.equal(
    resolutions.add('a', (mac) => heard.push(mac)),
    true,
  );
  assert.equal(
    resolutions.add('a', (mac) => heard.push(mac)),
    false,
  );
  resolutions.settle('b', MAC);
  assert.deepEqual(heard, []);
  resolutions.settle('a', MAC);
  assert.deepEqual(heard, [MAC, MAC]);
});

test('an answer ends its timer: a later question has all of its time, and nothing keeps a process waiting', () => {
  const scheduler = new ManualScheduler();
  const resolutions = new Resolutions<string>(scheduler);
  const heard: (Mac | undefined)[] = [];
  resolutions.add('a', () => {});
  scheduler.advance(600);
  resolutions.settle('a', MAC);
  resolutions.add('a', (mac) => heard.push(mac));
  scheduler.advance(900);
  assert.deepEqual(heard, []);
  scheduler.advance(100);
  assert.deepEqual(heard, [undefined]);
});
