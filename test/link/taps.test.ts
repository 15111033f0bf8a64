import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CAPTURE_BUFFER, LiveCapture } from '../../src/link/live-capture.ts';
import type { FrameTap, Port } from '../../src/link/port.ts';
import { Taps } from '../../src/link/taps.ts';
import { fileHeader, packetBlockSize, STATISTICS_BLOCK } from '../../src/packet/pcapng.ts';

class Onlooker implements FrameTap {
  seen: string[] = [];
  fromGuest(_: Uint8Array, at: number): void {
    this.seen.push(`from ${at}`);
  }

  toGuest(_: Uint8Array, at: number): void {
    this.seen.push(`to ${at}`);
  }

  ended(): void {
    this.seen.push('end');
  }
}

const port = (id: number): Port => ({ id, tap: null }) as unknown as Port;
const BYTES = new Uint8Array(70_000);

test('each onlooker sees the VMs it looks at, from then on and until it has seen enough', () => {
  const taps = new Taps();
  const [one, two] = [port(1), port(2)];
  const [all, some] = [new Onlooker(), new Onlooker()];
  taps.attached(one);
  assert.equal(one.tap, null);
  const stopAll = taps.add(all);
  taps.add(some, one);
  taps.attached(two);
  one.tap!.fromGuest(BYTES, 11, 60);
  two.tap!.toGuest(BYTES, 22, 60);
  stopAll();
  assert.equal(two.tap, null, 'nobody looks at it any more');
  one.tap!.toGuest(BYTES, 33, 60);
  assert.deepEqual(
    [all.seen, some.seen],
    [
      ['from 11', 'to 22'],
      ['from 11', 'to 33'],
    ],
  );
});

test('an onlooker is told when its VM has gone, or the network', () => {
  const taps = new Taps();
  const [one, two] = [port(1), port(2)];
  const [all, first, second] = [new Onlooker(), new Onlooker(), new Onlooker()];
  for (const each of [one, two]) taps.attached(each);
  taps.add(all);
  taps.add(first, one);
  const stop = taps.add(second, two);
  taps.detached(one);
  assert.deepEqual([all.seen, first.seen, second.seen], [[], ['end'], []]);
  stop();
  taps.close();
  assert.deepEqual([all.seen, first.seen, second.seen], [['end'], ['end'], []]);
  assert.equal(two.tap, null);
});

/** isb_ifrecv and isb_ifdrop of the statistics block at the end. */
function statistics(bytes: Uint8Array): [number, number] {
  const view = new DataView(bytes.buffer, bytes.byteOffset + bytes.length - STATISTICS_BLOCK, STATISTICS_BLOCK);
  assert.deepEqual([view.getUint32(0, true), view.getUint32(4, true), view.getUint32(48, true)], [5, 52, 52]);
  assert.deepEqual([view.getUint16(20, true), view.getUint16(32, true)], [4, 5]);
  return [Number(view.getBigUint64(24, true)), Number(view.getBigUint64(36, true))];
}

test('a reader who is too slow loses frames, and is told how many behind what there was room for', async () => {
  const capture = new LiveCapture(() => 1_700_000_000_000);
  const room = Math.floor((CAPTURE_BUFFER - fileHeader('guestwire').length - STATISTICS_BLOCK) / packetBlockSize(60_000));
  for (let i = 0; i < room + 3; i++) capture.fromGuest(BYTES, 0, 60_000);
  const taken = (await capture.take())!;
  assert.equal(taken.length, fileHeader('guestwire').length + room * packetBlockSize(60_000) + STATISTICS_BLOCK);
  assert.deepEqual(statistics(taken), [room + 3, 3]);
  capture.toGuest(BYTES, 0, 60);
  assert.equal((await capture.take())!.length, packetBlockSize(60), 'once is enough');
});

test('there is room for the statistics behind a buffer that is full to the brim', async () => {
  const capture = new LiveCapture(() => 0);
  while (capture.lost === 0) capture.toGuest(BYTES, 0, 0);
  const taken = (await capture.take())!;
  assert.ok(taken.length > CAPTURE_BUFFER - packetBlockSize(0) && taken.length <= CAPTURE_BUFFER);
  assert.deepEqual(statistics(taken), [capture.frames, 1]);
});

test('a reader who waits gets a frame when it comes, and the statistics at the end', async () => {
  const capture = new LiveCapture(() => 0);
  await capture.take();
  const next = capture.take();
  capture.fromGuest(BYTES, 0, 61);
  assert.equal((await next)!.length, packetBlockSize(61));
  const last = capture.take();
  capture.ended();
  assert.deepEqual(statistics((await last)!), [1, 0]);
  assert.equal(await capture.take(), null);
});
