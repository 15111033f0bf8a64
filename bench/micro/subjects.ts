/** The hot functions, each on its own: what one call costs. Whole paths are in frame-traffic.ts. */
import type { FlowEntry } from '../../src/flow/flow-table.ts';
import { FlowTable } from '../../src/flow/flow-table.ts';
import { ReceiveBuffer } from '../../src/flow/tcp/receive-buffer.ts';
import { Segment } from '../../src/flow/tcp/segment.ts';
import { Neighbour } from '../../src/gateway/neighbour.ts';
import { Spans } from '../../src/host/endpoint.ts';
import { QEMU_FRAMING } from '../../src/link/framing.ts';
import type { Port } from '../../src/link/port.ts';
import { Deframer, ReceiveRegion } from '../../src/link/receive-region.ts';
import { TransmitBuffer } from '../../src/link/transmit-buffer.ts';
import { MAPPED } from '../../src/packet/address.ts';
import { sum as plainSum } from '../../src/packet/checksum.ts';
import * as tcp from '../../src/packet/tcp.ts';
import { arenaSum } from '../../src/runtime/arena-checksum.ts';
import { Arena } from '../../src/runtime/arena.ts';
import { SeededRandom } from '../../src/runtime/clock.ts';
import { Timer, TimerWheel } from '../../src/runtime/timer-wheel.ts';
import type { Subject } from './measure.ts';
import { openPort, SWITCHED } from './switched.ts';

const FRAME = 1514;
/** Where results go, so that what brings them about is not optimized away. */
let sink = 0;

/** Every subject, made when its turn comes. */
export const SUBJECTS: readonly (() => Subject)[] = [
  () => checksum(20),
  () => checksum(40),
  () => checksum(1480),
  () => checksum(65_500),
  plainChecksum,
  deframer,
  transmitBuffer,
  ...SWITCHED,
  () => flowTable(1),
  () => flowTable(10_000),
  segmentRead,
  segmentReadOptions,
  receiveBuffer,
  timerRearm,
  timerMany,
  arenaRegions,
  arenaLends,
];

function subject(name: string, operation: (i: number) => number): Subject {
  return {
    name,
    run: (times) => {
      let total = 0;
      for (let i = 0; i < times; i++) total = (total + operation(i)) | 0;
      sink ^= total;
    },
  };
}

function checksum(length: number): Subject {
  const arena = new Arena(1 << 20);
  const sum = arenaSum(arena);
  const at = arena.allocate(1 << 17);
  return subject(`checksum of ${length} bytes`, () => sum(at, length, 0));
}

function plainChecksum(): Subject {
  const bytes = new Uint8Array(2048);
  return subject('checksum of 20 bytes, in JavaScript', (i) => plainSum(bytes, i & 1023, 20, 0));
}

/** One read of 64 full frames, per frame. */
function deframer(): Subject {
  const arena = new Arena(4 << 20);
  const cutter = Deframer.create(new ReceiveRegion(arena, 1 << 20), QEMU_FRAMING)!;
  const frames = 64;
  const at = cutter.begin();
  for (let i = 0; i < frames; i++) QEMU_FRAMING.write(arena.bytes, at + i * (FRAME + QEMU_FRAMING.prefix), FRAME);
  let delivered = 0;
  const deliver = (_at: number, length: number): void => void (delivered = (delivered + length) | 0);
  const run = (times: number): void => {
    for (let i = 0; i < times; i += frames) cutter.consume(frames * (FRAME + QEMU_FRAMING.prefix), deliver);
    sink ^= delivered;
  };
  return { name: 'Deframer, a frame', run };
}

function transmitBuffer(): Subject {
  const arena = new Arena(4 << 20);
  const buffer = TransmitBuffer.create(arena, QEMU_FRAMING, 1 << 20)!;
  return subject('TransmitBuffer claim and commit', () => {
    const at = buffer.claim(FRAME + QEMU_FRAMING.prefix);
    if (at < 0) buffer.wrote(buffer.pending);
    else buffer.commit(at + QEMU_FRAMING.prefix, FRAME);
    return at;
  });
}

/** A flow as the table sees it; a class, as the engines' are: objects put together by spreading are ten times slower to read. */
class Entry implements FlowEntry {
  readonly guest0: number = 0;
  readonly guest1: number = 0;
  readonly guest2: number = MAPPED;
  readonly guest3: number = 1;
  readonly guestPort: number;
  readonly remote0: number = 0;
  readonly remote1: number = 0;
  readonly remote2: number = MAPPED;
  readonly remote3: number = 2;
  readonly remotePort: number = 80;
  readonly neighbour: Neighbour;
  readonly vm: Port;
  hash = 0;
  serial = 0;

  constructor(vm: Port, neighbour: Neighbour, guestPort: number) {
    this.vm = vm;
    this.neighbour = neighbour;
    this.guestPort = guestPort;
  }
}

function flowTable(size: number): Subject {
  const arena = new Arena(1 << 20);
  const vm = openPort(arena, 0);
  const neighbour = new Neighbour(0, 0, MAPPED, 1);
  const table = new FlowTable<Entry>(65_536, new SeededRandom(1));
  for (let port = 1; port <= size; port++) table.add(new Entry(vm, neighbour, port));
  return subject(`FlowTable.find among ${size}`, (i) => table.find(0, 0, MAPPED, 1, (i % size) + 1, 0, 0, MAPPED, 2, 80)!.guestPort);
}

function segmentBytes(options: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(2048);
  tcp.write(bytes, 0, 40_000, 80, -5, -7, tcp.HEADER + options.length, tcp.ACK, 1000);
  bytes.set(options, tcp.HEADER);
  return bytes;
}

function segmentRead(): Subject {
  const bytes = segmentBytes([]);
  const segment = new Segment();
  return subject('Segment.read', () => (segment.read(bytes, 0, 1480) ? segment.dataLength : -1));
}

/** A SACK option with one block. */
function segmentReadOptions(): Subject {
  const bytes = segmentBytes([1, 1, 5, 10, 0, 0, 1, 0, 0, 0, 2, 0]);
  const segment = new Segment();
  return subject('Segment.read with a SACK block', () => (segment.read(bytes, 0, 1480) ? segment.dataLength : -1));
}

/** A segment that the host refused: kept, handed on, given back. */
function receiveBuffer(): Subject {
  const arena = new Arena(4 << 20);
  const size = 1460;
  const from = arena.allocate(4096);
  const buffer = ReceiveBuffer.create(arena, openPort(arena, 0), 512 << 10, 0, 0)!;
  const spans = new Spans();
  let next = 0;
  return subject('ReceiveBuffer, a segment in and out', () => {
    buffer.store(next, from, size);
    spans.count = 0;
    const end = (next + size) | 0;
    buffer.span(spans, next, end);
    next = end;
    buffer.discard(next);
    return spans.count;
  });
}

/** Pushed back, as a flow's is with each segment. */
function timerRearm(): Subject {
  const wheel = new TimerWheel(0);
  const timer = new Timer(() => {});
  wheel.arm(timer, 1000);
  return subject('TimerWheel.arm of an armed timer', () => {
    wheel.arm(timer, 2000);
    return timer.slotTick;
  });
}

/** Armed for 200 ms each, among 1000; time goes on by a millisecond for each fifth. */
function timerMany(): Subject {
  const wheel = new TimerWheel(0);
  const timers = Array.from({ length: 1000 }, () => new Timer(() => void sink++));
  let now = 0;
  return subject('TimerWheel, a timer armed and fired', (i) => {
    wheel.arm(timers[i % 1000]!, 190);
    if (i % 5 === 0) wheel.advance(++now);
    return 0;
  });
}

function arenaRegions(): Subject {
  const arena = new Arena(4 << 20);
  return subject('Arena allocate and free, 16 KiB', () => {
    const at = arena.allocate(16_384);
    arena.free(at, 16_384);
    return at;
  });
}

function arenaLends(): Subject {
  const arena = new Arena(4 << 20);
  const owner = {};
  const other = arena.lend(owner, 16_384);
  return subject('Arena lend and take back, 16 KiB', () => {
    const at = arena.lend(owner, 16_384);
    arena.takeBack(owner, at, 16_384);
    return at + other;
  });
}
