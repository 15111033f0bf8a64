import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TcpFlow } from '../../../src/flow/tcp/flow.ts';
import { ACK, Bench, SYN } from './bench.ts';

const SCALE = 7;
const KIB = 1024;
const BATCH = 1 << 20;

/** Sends `bytes` in one batch and returns the window that the guest is then told, in bytes; nothing for no ACK. */
function send(bench: Bench, bytes: number): number | undefined {
  for (let left = bytes; left > 0; left -= 1460) bench.input({ data: Buffer.alloc(Math.min(left, 1460)) });
  bench.round();
  const last = bench.drain().at(-1);
  return last && last.window << SCALE;
}

/** Rounds up to what the window field can say. */
function about(window: number | undefined, want: number): void {
  assert.ok(window !== undefined && window <= want && window > want - 128, `${window} bytes, not ${want}`);
}

test('promises 128 KiB at first', () => {
  const bench = new Bench({ batch: BATCH });
  bench.connected({ scale: SCALE });
  about(send(bench, 2000), 128 * KIB);
});

test('doubles the window each time the guest has nearly used it up, as far as its limit', () => {
  const bench = new Bench({ batch: BATCH, limits: { receiveWindow: 400 * KIB } });
  bench.connected({ scale: SCALE });
  send(bench, 2000);
  const windows = [100, 200, 320, 320].map((kib) => send(bench, kib * KIB));
  [256, 400, 400, 400].forEach((kib, i) => about(windows[i], kib * KIB));
});

test('leaves the window as it is while the guest does not use it', () => {
  const bench = new Bench({ batch: BATCH });
  bench.connected({ scale: SCALE });
  send(bench, 2000);
  for (let i = 0; i < 50; i++) about(send(bench, 64 * KIB), 128 * KIB);
});

test('does not let a guest send more to a host that does not keep up', () => {
  const bench = new Bench({ batch: BATCH });
  const stream = bench.connected({ scale: SCALE });
  send(bench, 2000);
  stream.room = 30 * KIB;
  about(send(bench, 100 * KIB), 128 * KIB - 70 * KIB);
  stream.open(Infinity);
  bench.round();
  about(bench.drain().at(-1)!.window << SCALE, 128 * KIB);
  assert.equal(stream.written.length, 2000 + 100 * KIB);
});

test('keeps what comes out of order while the window has grown beyond its first size', () => {
  const bench = new Bench({ batch: BATCH, limits: { receiveWindow: 512 * KIB } });
  const stream = bench.connected({ scale: SCALE });
  send(bench, 2000);
  send(bench, 100 * KIB);
  send(bench, 200 * KIB);
  send(bench, 2000);
  const missing = bench.seq;
  const want = Buffer.alloc(400 * KIB, 0);
  for (let at = 0; at < want.length; at++) want[at] = at % 251;
  const before = stream.written.length;
  for (let at = 1000; at < want.length; at += 1000) bench.guest({ seq: (missing + at) | 0, data: want.subarray(at, at + 1000) });
  assert.equal(stream.written.length, before);
  bench.guest({ seq: missing, data: want.subarray(0, 1000) });
  assert.deepEqual(stream.written.subarray(before), want);
});

test('stays within 64 KiB without window scaling', () => {
  const bench = new Bench({ batch: BATCH });
  bench.guest({ flags: SYN, options: { scale: -1 } });
  bench.expect({});
  bench.guest({});
  for (let i = 0; i < 5; i++) {
    for (let sent = 0; sent < 62; sent++) bench.input({ data: Buffer.alloc(1000) });
    bench.round();
    assert.equal(bench.drain().at(-1)!.window, 65_535);
  }
});

test('doubles the window of a guest that moves more than half of it within a round trip, frame by frame', () => {
  const bench = new Bench({ limits: { receiveWindow: 512 * KIB } });
  bench.guest({ flags: SYN, options: { scale: SCALE } });
  bench.expect({ flags: SYN | ACK });
  bench.later(20);
  bench.guest({});
  for (let i = 0; i < 8; i++) {
    bench.later(20);
    for (let sent = 0; sent < 80 * KIB; sent += 1000) bench.guest({ data: Buffer.alloc(1000) });
  }
  about(bench.drain().at(-1)!.window << SCALE, 256 * KIB);
});

/** Sixteen flows send 100 KiB each, again and again, on a link with a round trip of `delay` ms. The windows they are told at the end. */
function sixteen(delay: number): number[] {
  const bench = new Bench({ batch: BATCH, limits: { receiveWindow: 2048 * KIB } });
  const ports = Array.from({ length: 16 }, (_, i) => i + 1);
  const next = new Map<number, { seq: number; ack: number }>();
  for (const guestPort of ports) {
    bench.guest({ flags: SYN, seq: 10, guestPort, options: { scale: SCALE } });
    const ack = (bench.next().seq + 1) | 0;
    bench.later(delay);
    bench.guest({ seq: 11, ack, guestPort });
    next.set(guestPort, { seq: 11, ack });
  }
  const told = new Map<number, number>();
  for (let round = 0; round < 20; round++) {
    for (const guestPort of ports) {
      const flow = next.get(guestPort)!;
      const window = told.get(guestPort) ?? 60 * KIB;
      for (let left = Math.min(window, 100 * KIB); left > 0; left -= 1460) {
        const data = Buffer.alloc(Math.min(left, 1460));
        bench.input({ ...flow, guestPort, data });
        flow.seq += data.length;
      }
      bench.round();
      for (const sent of bench.drain()) told.set(sent.toPort, sent.window << SCALE);
    }
    bench.later(delay);
  }
  return [...told.values()];
}

test('flows that send at once share the windows of a link without delay: a guest has one queue for all of them', () => {
  const windows = sixteen(0);
  assert.equal(windows.length, 16);
  for (const window of windows) about(window, 64 * KIB);
});

test('on a link with delay they need their windows', () => {
  for (const window of sixteen(20)) assert.ok(window >= 200 * KIB, `${window}`);
});

test('a flow that is left alone gets the whole window again', () => {
  const bench = new Bench({ batch: BATCH, limits: { receiveWindow: 512 * KIB } });
  bench.connected({ scale: SCALE });
  const [flow] = [...bench.engine];
  const { link } = flow!;
  for (let i = 0; i < 32; i++) link.sending.of({ link, mss: 1460, sentIn: -1 } as TcpFlow, 0, 0, true);
  send(bench, 60 * KIB);
  about(send(bench, 20 * KIB), 32 * KIB);
  bench.later(1000);
  let window = send(bench, 20 * KIB)!;
  for (let i = 0; i < 8; i++) window = send(bench, window)!;
  about(window, 512 * KIB);
});
