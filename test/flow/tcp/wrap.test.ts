/**
 * Sequence numbers that wrap, in each phase and both directions. One long script, run with initial sequence numbers so that the wrap
 * falls on and just behind every number that occurs in it: what is said must be the same, counted from the initial numbers.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ACK, Bench, FIN, names, type Sent, SYN } from './bench.ts';

/** Where nothing wraps. */
const CALM = 1_000_000;
const MSS = 100;

/** What was said, and all the numbers in it, by who counts them. */
class Transcript {
  readonly lines: string[] = [];
  readonly ours: Set<number> = new Set();
  readonly theirs: Set<number> = new Set();
  readonly #bench: Bench;
  readonly #iss: number;
  readonly #irs: number;

  constructor(bench: Bench, iss: number, irs: number) {
    this.#bench = bench;
    this.#iss = iss;
    this.#irs = irs;
  }

  /** The guest's segment, with numbers counted from the initial ones. */
  guest(seq: number, ack: number, more: { flags?: number; data?: Buffer; window?: number; sack?: [number, number][] } = {}): void {
    const { flags = ACK, data = Buffer.alloc(0), sack = [] } = more;
    for (const number of [seq, seq + data.length]) this.theirs.add(number);
    for (const number of [ack, ...sack.flat()]) this.ours.add(number);
    this.#bench.guest({
      ...more,
      flags,
      options: { mss: MSS },
      seq: (this.#irs + seq) | 0,
      ack: flags & ACK ? (this.#iss + ack) | 0 : 0,
      sack: sack.map(([left, right]) => [(this.#iss + left) | 0, (this.#iss + right) | 0]),
    });
    this.heard();
  }

  later(ms: number): void {
    this.#bench.later(ms);
    this.heard();
  }

  round(): void {
    this.#bench.round();
    this.heard();
  }

  heard(): void {
    for (const sent of this.#bench.drain()) this.lines.push(this.#describe(sent));
    this.lines.push(`host has ${this.#bench.stream.written.length}, holds ${this.#bench.stream.queued}`);
  }

  #describe({ flags, seq, ack, data, options, window }: Sent): string {
    const ours = (seq - this.#iss) | 0;
    const theirs = (ack - this.#irs) | 0;
    this.ours.add(ours).add(ours + data.length);
    this.theirs.add(theirs).add(theirs + (window << 7));
    const sack = Array.from({ length: options.sackCount }, (_, i) => {
      const edges = [(options.sackLeft[i]! - this.#irs) | 0, (options.sackRight[i]! - this.#irs) | 0];
      for (const edge of edges) this.theirs.add(edge);
      return edges.join('-');
    });
    return `${names(flags)} ${ours} ack ${theirs} window ${window} ${data.length} bytes ${sack.join(' ')}`;
  }
}

function bytes(length: number, from: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, i) => (from + i) & 255));
}

function play(iss: number, irs: number): Transcript {
  const bench = new Bench({ iss, limits: { receiveWindow: 22_400 } });
  const script = new Transcript(bench, iss, irs);
  const { stream } = handshake(script, bench);
  fromGuest(script, stream);
  fromHost(script, stream);
  const whole = Buffer.concat([bytes(30, 0), bytes(20_000, 30), bytes(3000, 20_030)]);
  assert.equal(Buffer.compare(stream.written, whole), 0);
  end(script, stream);
  assert.equal(stream.closed && !stream.wasReset, true);
  script.later(11_000);
  assert.equal(bench.engine.size, 0);
  return script;
}

function handshake(script: Transcript, bench: Bench): Bench {
  script.guest(0, 0, { flags: SYN });
  script.later(1100);
  script.guest(0, 0, { flags: SYN });
  script.guest(1, 1);
  return bench;
}

/** In order, partly old, out of order, overlapping, while the host takes nothing, into a closed window, beyond it, too old. */
function fromGuest(script: Transcript, stream: Bench['stream']): void {
  script.guest(1, 1, { data: bytes(20, 0) });
  script.guest(11, 1, { data: bytes(20, 10) });
  script.guest(1, 1, { data: bytes(20, 0) });
  script.guest(1031, 1, { data: bytes(500, 1030) });
  script.guest(18_031, 1, { data: bytes(2000, 18_030) });
  script.guest(1431, 1, { data: bytes(17_000, 1430) });
  stream.room = 700;
  script.guest(21, 1, { data: bytes(1200, 20) });
  script.guest(20_031, 1, { data: bytes(3000, 20_030) });
  stream.open(10_000);
  script.round();
  stream.open(Infinity);
  script.round();
  script.guest(23_030, 1);
  script.guest(23_030, 1, { data: bytes(1, 0) });
  script.guest(23_031 + 22_401, 1, { data: bytes(1, 0) });
  script.guest(23_031 + 50, 1, { flags: SYN });
}

/** Lost and found by SACK, by duplicates below it, by timeout, in a partial ACK; a window that closes and is probed; acknowledgments that are wrong. */
function fromHost(script: Transcript, stream: Bench['stream']): void {
  const seq = 23_031;
  stream.put(bytes(600, 0));
  script.round();
  script.guest(seq, 1, { sack: [[201, 301]] });
  script.guest(seq, 1, {
    sack: [
      [401, 501],
      [201, 301],
    ],
  });
  script.guest(seq, 1, {
    sack: [
      [401, 601],
      [201, 301],
    ],
  });
  script.guest(seq, 601);
  stream.put(bytes(300, 0));
  script.round();
  script.later(1500);
  script.guest(seq, 701);
  script.guest(seq, 690);
  script.guest(seq, 902);
  script.guest(seq, 901 - 70_000);
  script.guest(seq, 901, { window: 0 });
  stream.put(bytes(250, 0));
  script.later(2000);
  script.guest(seq, 901, { window: 150 });
  script.guest(seq, 1001, { window: 30 });
  script.guest(seq, 1031, { window: 1000 });
  script.guest(seq, 1151);
  script.later(130_000);
  script.guest(seq, 1151);
}

function end(script: Transcript, stream: Bench['stream']): void {
  const seq = 23_031;
  stream.put(bytes(10, 0));
  stream.end();
  script.round();
  script.later(1000);
  script.guest(seq, 1161);
  script.later(1000);
  script.guest(seq + 2, 1161, { flags: FIN | ACK });
  script.guest(seq + 2, 1162, { flags: FIN | ACK });
  stream.written = stream.written.subarray(0, 23_030);
  script.guest(seq, 1162, { data: bytes(2, 0) });
  script.guest(seq + 2, 1162, { flags: FIN | ACK });
}

const calm = play(CALM, CALM);

test('the script has the phases it is for', () => {
  const text = calm.lines.join('\n');
  for (const part of [
    'SYN ACK 0 ack 1',
    'FIN PSH ACK',
    '1031-1531',
    '18031-20031',
    'window 0',
    'ACK 900 ack 23031',
    'ACK 1150 ack 23031',
  ]) {
    assert.ok(text.includes(part), `${part} does not occur in\n${text}`);
  }
});

/** Initial numbers that put the wrap, and the sign of a word, on each of `numbers` and just behind it. */
function around(numbers: Set<number>): number[] {
  const places = new Set([...numbers].flatMap((at) => [at, at + 1]));
  return [...places].flatMap((place) => [-place | 0, (0x80000000 - place) | 0]);
}

test('our sequence numbers may wrap anywhere', () => {
  const places = around(calm.ours);
  assert.ok(places.length > 50);
  for (const iss of places) assert.deepEqual(play(iss, CALM).lines, calm.lines, `initial number ${iss}`);
});

test("the guest's sequence numbers may wrap anywhere", () => {
  const places = around(calm.theirs);
  assert.ok(places.length > 50);
  for (const irs of places) assert.deepEqual(play(CALM, irs).lines, calm.lines, `initial number ${irs}`);
});

test('initial sequence numbers of 0xffffffff on both sides, and the sign of a word, are numbers like others', () => {
  for (const [iss, irs] of [
    [-1, -1],
    [0, 0],
    [0x7fffffff, 0x7fffffff],
    [0x7ffffe00, 0x7fffc000],
    [-0x80000000, -0x80000000],
  ] as const) {
    assert.deepEqual(play(iss, irs).lines, calm.lines, `${iss} and ${irs}`);
  }
});
