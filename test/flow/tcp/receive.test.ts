import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { TcpOptions } from '../../../src/packet/tcp-options.ts';
import { ACK, Bench, FIN, PSH, RST, SYN, URG } from './bench.ts';

test('writes a batch of in-order segments in one go and acknowledges once', () => {
  const bench = new Bench();
  const stream = bench.connected();
  for (const data of ['one', 'two', 'three']) bench.input({ data });
  assert.equal(stream.written.length, 0);
  bench.round();
  assert.equal(stream.written.toString(), 'onetwothree');
  bench.expect({ flags: ACK, ack: bench.seq });
  bench.silence();
});

test('keeps an out-of-order segment, reports it by SACK and delivers it once the gap is filled', () => {
  const bench = new Bench();
  const stream = bench.connected();
  const start = bench.seq;
  bench.guest({ seq: start + 3, data: 'def' });
  const { options } = bench.expect({ flags: ACK, ack: start });
  assert.equal(options.sackCount, 1);
  assert.deepEqual([options.sackLeft[0], options.sackRight[0]], [start + 3, start + 6]);
  assert.equal(stream.written.length, 0);
  bench.guest({ seq: start, data: 'abc' });
  assert.equal(stream.written.toString(), 'abcdef');
  const after = bench.expect({ flags: ACK, ack: start + 6 });
  assert.equal(after.options.sackCount, 0);
});

test('reports the range that came last first (RFC 2018)', () => {
  const bench = new Bench();
  bench.connected();
  const start = bench.seq;
  for (const offset of [10, 30, 50, 70, 90, 20 + 10]) bench.guest({ seq: start + offset, data: 'x'.repeat(5) });
  const { options } = bench.drain().at(-1)!;
  assert.equal(options.sackCount, 4);
  assert.equal(options.sackLeft[0], start + 30);
});

test('SACK blocks come in the order in which their ranges grew, newest first (RFC 2018 §4)', () => {
  const bench = new Bench();
  bench.connected();
  const start = bench.seq;
  const blocks = (sent: { options: TcpOptions }): number[] =>
    Array.from({ length: sent.options.sackCount }, (_, i) => (sent.options.sackLeft[i]! - start) | 0);
  const send = (offset: number): number[] => {
    bench.guest({ seq: start + offset, data: 'x'.repeat(10) });
    return blocks(bench.expect({ flags: ACK }));
  };
  assert.deepEqual(send(50), [50]);
  assert.deepEqual(send(20), [20, 50]);
  assert.deepEqual(send(80), [80, 20, 50]);
  assert.deepEqual(send(110), [110, 80, 20, 50]);
  assert.deepEqual(send(140), [140, 110, 80, 20]);
  // One that was there already, one that joins two, and what remains when the host has taken the first ones.
  assert.deepEqual(send(50), [50, 140, 110, 80]);
  assert.deepEqual(send(90), [80, 50, 140, 110]);
  assert.deepEqual(send(100), [80, 50, 140, 20]);
  assert.deepEqual(send(0), [80, 50, 140, 20]);
  bench.guest({ seq: start + 10, data: 'x'.repeat(10) });
  assert.deepEqual(blocks(bench.expect({ flags: ACK, ack: start + 30 })), [80, 50, 140]);
});

test('sends three duplicate ACKs to a guest without SACK, whose fast retransmit counts them', () => {
  const bench = new Bench();
  bench.connected({ sack: false });
  const start = bench.seq;
  for (const offset of [10, 20, 30, 40]) bench.input({ seq: start + offset, data: 'x'.repeat(10) });
  bench.round();
  const acks = bench.drain();
  assert.equal(acks.length, 3);
  for (const sent of acks) assert.deepEqual([sent.ack, sent.options.sackCount], [start, 0]);
});

test('delivers overlapping and repeated segments once', () => {
  const bench = new Bench();
  const stream = bench.connected();
  const start = bench.seq;
  bench.guest({ seq: start, data: 'abcd' });
  bench.guest({ seq: start, data: 'abcd' });
  bench.guest({ seq: start + 2, data: 'cdef' });
  bench.guest({ seq: start + 8, data: 'ij' });
  bench.guest({ seq: start + 4, data: 'efghijkl' });
  assert.equal(stream.written.toString(), 'abcdefghijkl');
  for (const sent of bench.drain()) assert.equal(sent.flags, ACK);
});

test('overlaps are delivered once across the sequence wrap', () => {
  const bench = new Bench();
  bench.seq = -8;
  const stream = bench.connected();
  const start = bench.seq;
  bench.guest({ seq: (start + 4) | 0, data: 'efghij' });
  bench.guest({ seq: (start + 2) | 0, data: 'cdefgh' });
  bench.guest({ seq: start, data: 'abcdefghijklmnop' });
  assert.equal(stream.written.toString(), 'abcdefghijklmnop');
  assert.equal(bench.drain().at(-1)!.ack, 9);
});

test('whatever the order, overlap and host readiness, every byte arrives once and in order', () => {
  const text = Buffer.from(Array.from({ length: 4000 }, (_, i) => (i * 7 + (i >> 8)) & 255));
  const piece = fc.record({
    at: fc.nat(3999),
    length: fc.integer({ min: 1, max: 1400 }),
    room: fc.option(fc.nat(2000)),
    split: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 60 }), fc.boolean(), fc.integer(), (pieces, sack, seq) => {
      const bench = new Bench();
      bench.seq = seq;
      const stream = bench.connected({ sack });
      const start = bench.seq;
      for (const { at, length, room, split } of pieces) {
        if (room !== null) stream.open(room);
        bench.input({ seq: (start + at) | 0, data: text.subarray(at, at + length) });
        if (split) bench.round();
      }
      for (let at = 0; at < text.length; at += 1000) bench.guest({ seq: (start + at) | 0, data: text.subarray(at, at + 1000) });
      stream.open(Infinity);
      bench.round();
      assert.equal(Buffer.compare(stream.written, text), 0);
      assert.equal(bench.drain().at(-1)!.ack, (start + text.length) | 0);
    }),
    { numRuns: 300 },
  );
});

test('keeps what the host refuses, shrinks the window by it, and reopens the window when the host takes it', () => {
  const bench = new Bench({ limits: { receiveWindow: 8192 } });
  const stream = bench.connected({ scale: 0 });
  stream.room = 1000;
  for (let i = 0; i < 8; i++) bench.input({ data: Buffer.alloc(1000, i) });
  bench.round();
  assert.equal(stream.written.length, 1000);
  const full = bench.expect({ flags: ACK, ack: bench.seq });
  assert.ok(full.window << 7 <= 8192 - 7000, `window ${full.window << 7}`);
  stream.open(Infinity);
  bench.round();
  assert.equal(stream.written.length, 8000);
  const open = bench.expect({ flags: ACK, ack: bench.seq });
  assert.equal(open.window << 7, 8192);
  bench.silence();
});

test('the right edge of the window never moves left', () => {
  const bench = new Bench({ limits: { receiveWindow: 16_384 } });
  const stream = bench.connected();
  stream.room = 0;
  let edge = 0;
  for (let i = 0; i < 40; i++) {
    bench.guest({ data: 'x'.repeat(333) });
    const sent = bench.drain().at(-1)!;
    const now = sent.ack + (sent.window << 7);
    // Scaling may hide less than one unit of what was promised (RFC 7323 §2.4).
    assert.ok(now > edge - 128, `${now} is left of ${edge}`);
    edge = Math.max(edge, now);
  }
});

test('trims what lies beyond the window and acknowledges what it took', () => {
  const bench = new Bench({ limits: { receiveWindow: 1024 } });
  const stream = bench.connected();
  const start = bench.seq;
  bench.guest({ seq: start, data: 'x'.repeat(1400) });
  assert.equal(stream.written.length, 1024);
  bench.expect({ ack: start + 1024 });
});

test('answers a segment outside the window, and a keep-alive, with an ACK', () => {
  const bench = new Bench();
  const stream = bench.connected();
  const start = bench.seq;
  bench.guest({ seq: start + 10_000_000, data: 'x' });
  bench.expect({ flags: ACK, ack: start });
  bench.guest({ seq: start - 1 });
  bench.expect({ flags: ACK, ack: start });
  bench.guest({ seq: start - 1, data: 'x' });
  bench.expect({ flags: ACK, ack: start });
  assert.equal(stream.written.length, 0);
});

test('a zero-window probe is answered, and its byte is taken once there is room', () => {
  const bench = new Bench({ limits: { receiveWindow: 512 } });
  const stream = bench.connected();
  stream.room = 0;
  bench.guest({ data: 'x'.repeat(512) });
  bench.expect({ window: 0 });
  const start = bench.seq;
  bench.guest({ seq: start, data: 'y' });
  bench.expect({ flags: ACK, ack: start, window: 0 });
  stream.open(Infinity);
  bench.round();
  bench.expect({ flags: ACK, ack: start });
  bench.guest({ seq: start, data: 'y' });
  assert.equal(stream.written.length, 513);
});

test('payload that is only zeros or spaces is data, not padding', () => {
  const bench = new Bench();
  const stream = bench.connected();
  bench.guest({ data: Buffer.alloc(6) });
  bench.guest({ data: '      ' });
  assert.equal(stream.written.length, 12);
});

test('urgent data is passed in order, whatever the pointer says', () => {
  const bench = new Bench();
  const stream = bench.connected();
  bench.guest({ flags: ACK | URG, data: 'abc' });
  bench.guest({ flags: ACK | URG | PSH });
  assert.equal(stream.written.toString(), 'abc');
});

test('a super-frame of 64 KiB is taken whole', () => {
  const bench = new Bench();
  const stream = bench.connected();
  bench.guest({ data: Buffer.alloc(65_000, 1) });
  assert.equal(stream.written.length, 65_000);
  bench.expect({ ack: bench.seq });
});

test('without arena room an out-of-order segment is dropped and counted, and the transfer still completes', () => {
  const bench = new Bench();
  const stream = bench.connected();
  while (bench.arena.allocate(4096) >= 0);
  const start = bench.seq;
  bench.guest({ seq: start + 3, data: 'def' });
  assert.equal(bench.counters.dropNoBuffer, 1);
  stream.room = 1;
  bench.guest({ seq: start, data: 'abc' });
  assert.equal(bench.drain().at(-1)!.ack, start + 1);
  stream.open(Infinity);
  bench.guest({ seq: start + 1, data: 'bcdef' });
  assert.equal(stream.written.toString(), 'abcdef');
});

test('under any shortage of memory what was acknowledged arrives, and all of it once there is memory again', () => {
  const text = Buffer.from(Array.from({ length: 200_000 }, (_, i) => (i * 7 + (i >> 8)) & 255));
  const piece = fc.record({
    at: fc.integer({ min: -60_000, max: 140_000 }),
    length: fc.integer({ min: 1, max: 40_000 }),
    room: fc.option(fc.nat(60_000)),
    split: fc.boolean(),
    /** Pages of the arena's last ones that are there for the flow from now on. */
    pages: fc.option(fc.nat(6)),
  });
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 40 }), fc.boolean(), fc.integer(), (pieces, sack, seq) => {
      const bench = new Bench({ limits: { receiveWindow: 128 * 1024 } });
      bench.seq = seq;
      const stream = bench.connected({ sack });
      const start = bench.seq;
      const hogged: number[] = [];
      let acknowledged = 0;
      let batch = 0;
      const heard = (): void => {
        for (const { ack, flags } of bench.drain()) {
          assert.equal(flags, ACK);
          assert.ok(((ack - start) | 0) >= acknowledged, 'an acknowledgment is never taken back');
          acknowledged = (ack - start) | 0;
        }
      };
      for (const { at, length, room, split, pages } of pieces) {
        if (pages !== null) {
          for (let page = bench.arena.allocate(16_384); page >= 0; page = bench.arena.allocate(16_384)) hogged.push(page);
          for (const page of hogged.splice(0, pages)) bench.arena.free(page, 16_384);
        }
        if (room !== null) stream.open(room);
        const from = Math.min(Math.max(acknowledged + at, 0), text.length);
        bench.input({ seq: (start + from) | 0, data: text.subarray(from, Math.min(from + length, acknowledged + 131_072)) });
        batch += length;
        if (!split && batch < 60_000) continue;
        bench.round();
        heard();
        batch = 0;
      }
      bench.round();
      heard();
      stream.open(Infinity);
      bench.round();
      heard();
      assert.ok(stream.written.length >= acknowledged);
      assert.equal(
        bench.arena.lent > 0,
        [...bench.engine].some((flow) => flow.received !== null),
      );
      while (acknowledged < text.length) {
        bench.guest({ seq: (start + acknowledged) | 0, data: text.subarray(acknowledged, acknowledged + 30_000) });
        heard();
      }
      assert.equal(Buffer.compare(stream.written, text), 0);
      assert.equal(bench.arena.lent, 0);
    }),
    { numRuns: 300 },
  );
});

test('a chain that finds no room leaves what it had joined behind it out of order', () => {
  const bench = new Bench();
  const stream = bench.connected();
  const start = bench.seq;
  bench.guest({ seq: start + 40_000, data: Buffer.alloc(1000, 2) });
  while (bench.arena.allocate(4096) >= 0);
  stream.room = 100;
  bench.drain();
  bench.guest({ seq: start, data: Buffer.alloc(40_000, 1) });
  const { ack, options } = bench.drain().at(-1)!;
  assert.equal(ack, start + 100);
  assert.deepEqual([options.sackCount, options.sackLeft[0], options.sackRight[0]], [1, start + 40_000, start + 41_000]);
  assert.equal(bench.counters.dropNoBuffer, 1);
  stream.open(Infinity);
  bench.guest({ seq: start + 100, data: Buffer.alloc(39_900, 1) });
  assert.equal(bench.drain().at(-1)!.ack, start + 41_000);
  assert.equal(Buffer.compare(stream.written, Buffer.concat([Buffer.alloc(40_000, 1), Buffer.alloc(1000, 2)])), 0);
  assert.equal(bench.arena.lent, 0);
});

test('a hole costs one page wherever it is, and what the host has taken is given back', () => {
  const bench = new Bench();
  const stream = bench.connected();
  const start = bench.seq;
  bench.guest({ seq: start + 60_000, data: 'x' });
  assert.equal(bench.arena.lent, 16_384);
  stream.room = 0;
  bench.guest({ seq: start, data: Buffer.alloc(60_000) });
  assert.ok(bench.arena.lent <= 5 * 16_384);
  stream.open(50_000);
  bench.round();
  assert.ok(bench.arena.lent <= 2 * 16_384);
  stream.open(Infinity);
  bench.round();
  assert.equal(bench.arena.lent, 0);
});

test('flows with one byte out of order each leave most of the memory to others, go on, and give all of it back', () => {
  const bench = new Bench();
  const free = (): number => {
    const regions: number[] = [];
    for (let at = bench.arena.allocate(1 << 20); at >= 0; at = bench.arena.allocate(1 << 20)) regions.push(at);
    for (const at of regions) bench.arena.free(at, 1 << 20);
    return regions.length;
  };
  const before = free();
  const flows = Array.from({ length: 1100 }, (_, i) => {
    const guestPort = 1024 + i;
    const seq = 5000 * i;
    bench.guest({ flags: SYN, seq, guestPort });
    const { seq: theirs } = bench.expect({ flags: SYN | ACK });
    const flow = { guestPort, seq: seq + 1, ack: (theirs + 1) | 0 };
    bench.guest(flow);
    return { flow, stream: bench.stream };
  });
  for (const { flow } of flows) bench.guest({ ...flow, seq: flow.seq + 5, data: 'z' });
  // A quarter of this arena: half of the half that is lent.
  assert.equal(bench.arena.lent, 16 << 20);
  assert.equal(bench.counters.dropNoBuffer, 1100 - 1024);
  assert.ok(free() >= before * 0.7);
  assert.equal(bench.counters.resetsOut, 0);
  bench.drain();
  for (const { flow, stream } of [flows[0]!, flows.at(-1)!]) {
    stream.room = 3;
    bench.guest({ ...flow, data: 'abcde' });
    stream.open(Infinity);
    bench.round();
    let { ack } = bench.drain().at(-1)!;
    if (ack !== flow.seq + 6) {
      const have = ack - flow.seq;
      bench.guest({ ...flow, seq: ack, data: 'abcdez'.slice(have) });
      ({ ack } = bench.drain().at(-1)!);
    }
    assert.equal(ack, flow.seq + 6);
    assert.equal(stream.written.toString(), 'abcdez');
  }
  for (const { flow, stream } of flows.slice(0, 500))
    bench.guest({ ...flow, seq: flow.seq + (stream.written.length > 0 ? 6 : 0), flags: RST });
  bench.neighbour.port = null;
  bench.engine.detached();
  assert.equal(bench.engine.size, 0);
  assert.equal(bench.arena.lent, 0);
  assert.equal(free(), before);
});

test('a FIN out of order waits for the gap', () => {
  const bench = new Bench();
  const stream = bench.connected();
  const start = bench.seq;
  bench.guest({ seq: start + 3, data: 'def', flags: ACK | FIN });
  bench.expect({ ack: start });
  assert.equal(stream.shut, false);
  bench.guest({ seq: start, data: 'abc' });
  assert.equal(stream.written.toString(), 'abcdef');
  assert.equal(stream.shut, true);
  bench.expect({ ack: start + 7 });
});

test('a FIN waits until the host has taken everything in front of it', () => {
  const bench = new Bench();
  const stream = bench.connected();
  stream.room = 2;
  bench.guest({ data: 'abcdef', flags: ACK | FIN });
  assert.equal(stream.shut, false);
  bench.expect({ ack: bench.seq });
  stream.open(Infinity);
  bench.round();
  assert.equal(stream.written.toString(), 'abcdef');
  assert.equal(stream.shut, true);
});

test('an ACK without the ACK bit, or a SYN in the middle, changes nothing', () => {
  const bench = new Bench();
  const stream = bench.connected();
  bench.guest({ flags: 0, seq: bench.seq, data: 'x' });
  bench.silence();
  bench.guest({ flags: SYN | ACK, seq: bench.seq, data: 'x' });
  bench.expect({ flags: ACK, ack: bench.seq });
  assert.equal(stream.written.length, 0);
  assert.equal(bench.counters.dropNoAck, 1);
  assert.equal(bench.counters.challengeAcks, 1);
});
