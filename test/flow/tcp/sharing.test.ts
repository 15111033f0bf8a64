/** How flows share a port that has less room than they could use. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Bench, SYN } from './bench.ts';

const FLOWS = 8;
const ROOM = 512 * 1024;

/** Flows whose hosts send all they can; what the guest gets it acknowledges at once. Bytes that each flow got. */
function shared(rounds: number): number[] {
  const bench = new Bench({ limits: { linkWindow: 4 << 20 } });
  const acks: number[] = [];
  for (let guestPort = 1; guestPort <= FLOWS; guestPort++) {
    bench.guest({ flags: SYN, seq: 10, guestPort, options: { scale: 10 } });
    acks[guestPort] = (bench.next().seq + 1) | 0;
    bench.guest({ seq: 11, ack: acks[guestPort]!, guestPort });
  }
  const got: number[] = Array.from({ length: FLOWS }, () => 0);
  for (let round = 0; round < rounds; round++) {
    for (const stream of bench.host.streams) if (stream.queued < 2 << 20) stream.put('x'.repeat(1 << 20));
    // As in a turn: one pump, then the link is written out, and so on.
    bench.engine.pump();
    bench.port.room = ROOM;
    bench.engine.drained(bench.port);
    const heard = new Set<number>();
    for (const { toPort, data } of bench.drain()) {
      heard.add(toPort);
      got[toPort - 1] = got[toPort - 1]! + data.length;
      acks[toPort] = (acks[toPort]! + data.length) | 0;
    }
    for (const guestPort of heard) bench.input({ seq: 11, ack: acks[guestPort]!, guestPort, window: 65_535 });
    bench.engine.endOfBatch();
  }
  return got;
}

test('flows that want all the room there is get equal parts of it', () => {
  const got = shared(200);
  const total = got.reduce((sum, bytes) => sum + bytes, 0);
  assert.ok(total > 190 * ROOM * 0.9, `the room is used: ${total}`);
  assert.ok(Math.min(...got) > (0.8 * total) / FLOWS, got.join(' '));
});

test('nobody passes by a flow that waits for room', () => {
  const bench = new Bench();
  for (const guestPort of [1, 2]) {
    bench.guest({ flags: SYN, seq: 10, guestPort });
    bench.guest({ seq: 11, ack: (bench.next().seq + 1) | 0, guestPort });
  }
  const [first, second] = bench.host.streams;
  bench.port.room = 0;
  first!.put('a');
  bench.round();
  bench.port.room = ROOM;
  second!.put('b');
  bench.round();
  bench.silence();
  bench.drained();
  assert.deepEqual(
    bench.drain().map(({ data }) => data.toString()),
    ['a', 'b'],
  );
});

/** What sixteen downloads have in flight each when the guest stops acknowledging, on a link with a round trip of `delay` ms. */
function inFlight(delay: number): number[] {
  const bench = new Bench();
  const ports = Array.from({ length: 16 }, (_, i) => i + 1);
  const acks = new Map<number, number>();
  for (const guestPort of ports) {
    bench.guest({ flags: SYN, seq: 10, guestPort, options: { scale: 10 } });
    acks.set(guestPort, (bench.next().seq + 1) | 0);
    bench.later(delay);
    bench.guest({ seq: 11, ack: acks.get(guestPort)!, guestPort });
  }
  for (const stream of bench.host.streams) stream.put(Buffer.alloc(3 << 20));
  bench.round();
  for (let round = 0; round < 6; round++) {
    bench.later(delay);
    for (const { toPort, data } of bench.drain()) acks.set(toPort, (acks.get(toPort)! + data.length) | 0);
    for (const guestPort of ports) bench.input({ seq: 11, ack: acks.get(guestPort)!, guestPort });
    bench.round();
  }
  return [...bench.engine].map(({ flight }) => flight);
}

test('what is in flight to one VM fits its queues, however many flows there are, on a link without delay', () => {
  // Two windows of 512 KiB for sixteen.
  for (const flight of inFlight(0)) assert.ok(flight > 62 * 1024 && flight <= 64 * 1024, `${flight}`);
});

test('on a link with delay each flow fills its window', () => {
  for (const flight of inFlight(20)) assert.ok(flight > 512 * 1024, `${flight}`);
});
