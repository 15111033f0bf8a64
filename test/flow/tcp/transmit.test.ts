import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { TcpFlow } from '../../../src/flow/tcp/flow.ts';
import { FakePort } from '../../fake-port.ts';
import { ACK, Bench, FIN, PSH, RST, type Sent, SYN } from './bench.ts';

test('flows that wait for a full port are not looked at when another has room', () => {
  const bench = new Bench();
  for (let guestPort = 1; guestPort <= 50; guestPort++) {
    bench.guest({ flags: SYN, seq: 10, guestPort });
    bench.guest({ seq: 11, ack: (bench.next().seq + 1) | 0, guestPort });
  }
  bench.port.full = true;
  for (const stream of bench.host.streams) stream.put('x');
  bench.round();
  let looks = 0;
  for (const flow of bench.engine) watchBlocked(flow, () => looks++);
  bench.engine.drained(new FakePort(bench.arena, 1));
  assert.equal(looks, 0);
  bench.drained();
  assert.ok(looks > 0);
  assert.equal(total(bench.drain()), 50);
});

/** Tells when anybody looks at where the flow's guest is, or whether it waits. */
function watchBlocked(flow: TcpFlow, looked: () => void): void {
  let { blocked } = flow;
  const { neighbour } = flow;
  Object.defineProperties(flow, {
    blocked: {
      get: () => (looked(), blocked),
      set: (value: boolean) => {
        looked();
        blocked = value;
      },
    },
    neighbour: { get: () => (looked(), neighbour) },
  });
}

test('sends what the host sends, one MSS a segment, PSH on the last', () => {
  const bench = new Bench();
  const stream = bench.connected();
  stream.put('x'.repeat(3000));
  bench.round();
  bench.expect({ flags: ACK, length: 1460 });
  bench.expect({ flags: ACK, length: 1460 });
  bench.expect({ flags: ACK | PSH, length: 80 });
  bench.silence();
});

test('keeps bytes in the endpoint until the guest acknowledges them', () => {
  const bench = new Bench();
  const stream = bench.connected();
  stream.put('hello');
  bench.round();
  bench.expect({ data: 'hello' });
  assert.equal(stream.queued, 5);
  bench.guest({ ack: bench.ack - 2 });
  assert.equal(stream.queued, 2);
  bench.guest({});
  assert.equal(stream.queued, 0);
});

test('a reply carries the acknowledgment: no segment of its own', () => {
  const bench = new Bench();
  const stream = bench.connected();
  bench.input({ data: 'ping' });
  stream.put('pong');
  bench.round();
  bench.expect({ flags: ACK | PSH, ack: bench.seq, data: 'pong' });
  bench.silence();
});

test('stays within the window of the guest and goes on when it opens', () => {
  const bench = new Bench();
  const stream = bench.connected({ window: 2000 });
  stream.put('x'.repeat(5000));
  bench.round();
  const first = bench.drain();
  assert.equal(total(first), 1460, 'whole segments only while something is in flight');
  bench.ack = (first[0]!.seq + 1460) | 0;
  bench.guest({ window: 4000 });
  assert.equal(total(bench.drain()), 2920);
});

test('a window-only update resumes output', () => {
  const bench = new Bench();
  const stream = bench.connected({ window: 0 });
  stream.put('hello');
  bench.round();
  bench.silence();
  bench.guest({ window: 1000 });
  bench.expect({ data: 'hello' });
});

test('an older segment does not set the window back', () => {
  const bench = new Bench();
  const stream = bench.connected({ window: 8000 });
  const start = bench.seq;
  bench.guest({ data: 'new', window: 100 });
  bench.drain();
  bench.guest({ seq: start, data: 'ne', window: 9000 });
  bench.drain();
  stream.put('x'.repeat(500));
  bench.round();
  assert.equal(total(bench.drain()), 100);
});

test('probes a closed window and resumes when the update was lost', () => {
  const bench = new Bench();
  const stream = bench.connected({ window: 0 });
  stream.put('hello');
  bench.round();
  bench.silence();
  bench.later(1100);
  const probe = bench.expect({ flags: ACK, length: 0 });
  assert.equal(probe.seq, (bench.ack - 1) | 0);
  bench.guest({ window: 0 });
  bench.later(60_000);
  assert.ok(bench.drain().length >= 3, 'goes on probing');
  bench.guest({ window: 5 });
  bench.expect({ data: 'hello' });
});

test('a guest that answers probes keeps its closed window for ever, one that does not is given up', () => {
  const patient = new Bench();
  patient.connected({ window: 0 }).put('x');
  patient.round();
  for (let minute = 0; minute < 30; minute++) {
    patient.later(60_000);
    patient.drain();
    patient.guest({ window: 0 });
  }
  assert.equal(patient.engine.size, 1);
  const gone = new Bench();
  const stream = gone.connected({ window: 0 });
  stream.put('x');
  gone.round();
  gone.later(600_000);
  assert.equal(gone.engine.size, 0);
  assert.equal(stream.wasReset, true);
});

test('retransmits after the timeout, twice as long each time, from what the endpoint still holds', () => {
  const bench = new Bench();
  const stream = bench.connected({ sack: false });
  stream.put('hello');
  bench.round();
  const { seq } = bench.expect({ data: 'hello' });
  bench.later(190);
  bench.silence();
  bench.later(20);
  bench.expect({ seq, data: 'hello' });
  bench.later(370);
  bench.silence();
  bench.later(40);
  bench.expect({ seq, data: 'hello' });
  bench.guest({});
  bench.later(60_000);
  bench.silence();
});

test('gives up after enough retransmissions and resets both sides', () => {
  const bench = new Bench();
  const stream = bench.connected();
  stream.put('hello');
  bench.later(1_000_000);
  assert.equal(bench.drain().at(-1)!.flags & RST, RST);
  assert.equal(stream.wasReset, true);
  assert.equal(bench.engine.size, 0);
});

test('the handshake is the first measurement of the round trip (RFC 6298 §2.2)', () => {
  const bench = new Bench();
  bench.guest({ flags: SYN, options: { sack: false } });
  bench.expect({ flags: SYN | ACK });
  bench.later(100);
  bench.guest({});
  bench.stream.put('x');
  bench.round();
  bench.expect({ data: 'x' });
  // 100 ms plus four times half of it.
  bench.later(280);
  bench.silence();
  bench.later(40);
  bench.expect({ data: 'x' });
});

test('a SYN-ACK that was sent again measures nothing, and the longer timeout stays (RFC 6298 §3, §5.7)', () => {
  const bench = new Bench();
  bench.guest({ flags: SYN });
  bench.expect({ flags: SYN | ACK });
  bench.later(1050);
  bench.expect({ flags: SYN | ACK });
  bench.guest({});
  bench.stream.put('x');
  bench.round();
  bench.expect({ data: 'x' });
  bench.later(1900);
  bench.silence();
  bench.later(200);
  bench.expect({ data: 'x' });
});

test('the timeout follows the measured round trip (RFC 6298), never below 200 ms', () => {
  const bench = new Bench();
  const stream = bench.connected({ sack: false });
  for (let i = 0; i < 10; i++) {
    stream.put('x');
    bench.round();
    bench.next();
    bench.ack = (bench.ack + 1) | 0;
    bench.later(20);
    bench.guest({});
  }
  stream.put('y');
  bench.round();
  bench.next();
  bench.later(190);
  bench.silence();
  bench.later(40);
  bench.expect({ data: 'y' });
});

/** Five segments in flight of which the first is lost. */
function losing(sack: boolean): { bench: Bench; sent: Sent[] } {
  const bench = new Bench();
  bench.connected({ sack }).put('x'.repeat(5 * 1460));
  bench.round();
  const sent = bench.drain();
  assert.equal(sent.length, 5);
  return { bench, sent };
}

test('three duplicate ACKs retransmit the missing segment at once', () => {
  const { bench, sent } = losing(false);
  for (let i = 0; i < 2; i++) bench.guest({});
  bench.silence();
  bench.guest({});
  bench.expect({ seq: sent[0]!.seq, length: 1460 });
  bench.silence();
  assert.equal(bench.counters.fastRecoveries, 1);
});

test('SACK: only the holes are sent again, each once per recovery', () => {
  const { bench, sent } = losing(true);
  const [a, b, c, d, e] = sent.map(({ seq }) => seq) as [number, number, number, number, number];
  const end = (e + 1460) | 0;
  bench.guest({ sack: [[b, c]] });
  bench.guest({
    sack: [
      [d, e],
      [b, c],
    ],
  });
  bench.silence();
  bench.guest({
    sack: [
      [d, end],
      [b, c],
    ],
  });
  assert.deepEqual(
    bench.drain().map(({ seq }) => seq),
    [a, c],
  );
  bench.guest({
    sack: [
      [d, end],
      [b, c],
    ],
  });
  bench.silence();
  bench.guest({ ack: end });
  bench.later(5000);
  bench.silence();
});

test('an ACK with data, or one that changes the window, is no duplicate', () => {
  const { bench } = losing(false);
  for (let i = 0; i < 5; i++) bench.guest({ data: 'abc' });
  for (let i = 0; i < 5; i++) bench.guest({ window: 60_000 + i });
  assert.equal(bench.counters.fastRecoveries, 0);
  assert.equal(total(bench.drain()), 0);
});

test('with SACK an ACK that reports nothing new is no duplicate (RFC 6675 §2)', () => {
  const { bench, sent } = losing(true);
  for (let i = 0; i < 5; i++) bench.guest({});
  bench.guest({ sack: [[sent[1]!.seq, sent[2]!.seq]] });
  for (let i = 0; i < 5; i++) bench.guest({ sack: [[sent[1]!.seq, sent[2]!.seq]] });
  assert.equal(bench.counters.fastRecoveries, 0);
  bench.silence();
});

test('a partial ACK in recovery without SACK points at the next hole (RFC 6582)', () => {
  const { bench, sent } = losing(false);
  for (let i = 0; i < 3; i++) bench.guest({});
  bench.expect({ seq: sent[0]!.seq });
  bench.guest({ ack: sent[2]!.seq });
  assert.equal(bench.drain()[0]!.seq, sent[2]!.seq);
});

test('SACK ranges that were never sent, or make no sense, are ignored', () => {
  const { bench, sent } = losing(true);
  const una = sent[0]!.seq;
  const end = (una + 5 * 1460) | 0;
  for (const range of [
    [end, end + 5000],
    [una - 5000, una - 10],
    [una + 3000, una + 100],
    [una, una + 1460],
  ] as [number, number][]) {
    for (let i = 0; i < 5; i++) bench.guest({ sack: [range], data: 'x' });
  }
  assert.equal(bench.counters.fastRecoveries, 0);
});

test('SACK reneging: after a timeout everything counts as lost (RFC 2018 §8)', () => {
  const { bench, sent } = losing(true);
  bench.guest({ sack: [[sent[1]!.seq, (sent[4]!.seq + 1460) | 0]] });
  bench.drain();
  bench.later(1500);
  let una = sent[0]!.seq;
  for (let i = 0; i < 10; i++) {
    for (const again of bench.drain()) if (again.seq === una) una = (una + again.data.length) | 0;
    bench.guest({ ack: una });
  }
  assert.equal(una, (sent[4]!.seq + 1460) | 0);
});

test('acknowledging what was never sent is answered and ignored', () => {
  const bench = new Bench();
  const stream = bench.connected();
  stream.put('hello');
  bench.round();
  bench.expect({ data: 'hello' });
  bench.guest({ ack: bench.ack + 1, data: 'x', seq: bench.seq });
  bench.expect({ flags: ACK, ack: bench.seq });
  assert.equal(stream.queued, 5);
  assert.equal(stream.written.length, 0);
  assert.equal(bench.counters.dropBadAck, 1);
});

test('slow start begins with ten segments and doubles per round trip', () => {
  const bench = new Bench();
  const stream = bench.connected({ scale: 7 });
  stream.put('x'.repeat(300_000));
  const perRound: number[] = [];
  bench.guest({ window: 8192 });
  for (let i = 0; i < 4; i++) {
    const sent = bench.drain();
    perRound.push(sent.length);
    for (const { seq, data } of sent) bench.ack = (seq + data.length) | 0;
    bench.guest({ window: 8192 });
  }
  assert.deepEqual(perRound, [10, 20, 40, 80]);
});

test('a full port holds the flow back without losing anything, and drained lets it go on', () => {
  const bench = new Bench();
  const stream = bench.connected();
  bench.port.full = true;
  stream.put('hello');
  bench.round();
  bench.guest({ data: 'abc' });
  bench.silence();
  assert.equal(stream.written.toString(), 'abc');
  bench.port.full = false;
  bench.engine.drained(bench.port);
  bench.round();
  bench.expect({ data: 'hello', ack: bench.seq });
});

test('a stalled port does not count as a dead guest', () => {
  const bench = new Bench();
  const stream = bench.connected();
  stream.put('hello');
  bench.round();
  bench.port.full = true;
  bench.later(600_000);
  bench.port.full = false;
  bench.engine.drained(bench.port);
  bench.round();
  bench.drain();
  assert.equal(bench.engine.size, 1);
});

test('two flows share the port in turns', () => {
  const bench = new Bench();
  const streams = [40000, 40001].map((guestPort) => {
    bench.seq = 1000;
    bench.guest({ flags: SYN, guestPort, options: { scale: 14 } });
    bench.expect({});
    bench.guest({ guestPort, window: 60_000 });
    return bench.stream;
  });
  for (const stream of streams) stream.put(Buffer.alloc(1 << 20));
  bench.round();
  const counts = [0, 0];
  for (const { toPort } of bench.drain()) counts[toPort - 40000]!++;
  assert.equal(counts[0], counts[1]);
});

test('every byte arrives whatever the link drops', () => {
  const text = Buffer.from(Array.from({ length: 40_000 }, (_, i) => (i * 31 + (i >> 7)) & 255));
  fc.assert(
    fc.property(
      fc.array(fc.boolean(), { minLength: 20, maxLength: 400 }),
      fc.boolean(),
      fc.integer({ min: 500, max: 60_000 }),
      (drops, sack, window) => {
        const bench = new Bench();
        const stream = bench.connected({ sack, window });
        stream.put(text);
        stream.end();
        bench.round();
        const got = new Receiver(bench.ack);
        let arrived = 0;
        let inARow = 0;
        for (let i = 0; i < 30_000 && !got.finished; i++) {
          const sent = bench.drain();
          if (sent.length === 0) bench.later(100);
          for (const segment of sent) {
            // Three losses in a row at most: more is a matter of patience, not of repair.
            inARow = drops[arrived++ % drops.length] && inARow < 3 ? inARow + 1 : 0;
            if (inARow > 0) continue;
            got.take(segment);
            bench.guest({ ack: got.next, window, ...(sack && { sack: got.ranges() }) });
          }
        }
        assert.equal(got.finished, true, 'the FIN arrives');
        assert.equal(Buffer.compare(got.data(), text), 0);
      },
    ),
    { numRuns: 60 },
  );
});

/** A guest that keeps everything it is sent. */
class Receiver {
  next: number;
  finished = false;
  readonly #start: number;
  readonly #bytes: Map<number, number> = new Map();
  #fin = -1;

  constructor(start: number) {
    this.#start = start;
    this.next = start;
  }

  take({ seq, data, flags }: Sent): void {
    const at = (seq - this.#start) | 0;
    data.forEach((byte, i) => this.#bytes.set(at + i, byte));
    if (flags & FIN) this.#fin = at + data.length;
    let end = (this.next - this.#start) | 0;
    while (this.#bytes.has(end)) end++;
    if (end === this.#fin) {
      this.finished = true;
      end++;
    }
    this.next = (this.#start + end) | 0;
  }

  ranges(): [number, number][] {
    const ranges: [number, number][] = [];
    const from = (this.next - this.#start) | 0;
    const beyond = [...this.#bytes.keys()].filter((at) => at > from).sort((a, b) => a - b);
    for (const at of beyond) {
      const last = ranges.at(-1);
      if (last && last[1] === ((this.#start + at) | 0)) last[1] = (last[1] + 1) | 0;
      else if (ranges.length < 4) ranges.push([(this.#start + at) | 0, (this.#start + at + 1) | 0]);
    }
    return ranges;
  }

  data(): Buffer {
    return Buffer.from([...this.#bytes.entries()].sort(([a], [b]) => a - b).map(([, byte]) => byte));
  }
}

function total(sent: Sent[]): number {
  return sent.reduce((sum, { data }) => sum + data.length, 0);
}
