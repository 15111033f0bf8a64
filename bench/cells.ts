/** What is measured: each cell runs one kind of traffic through a gateway and notes one or more values. */
import { memory } from './children.ts';
import type { Guest } from './guest.ts';
import { holdConnections } from './held-connections.ts';
import { iperf } from './iperf.ts';

/** A row of the table. */
export interface Measure {
  readonly title: string;
  readonly unit: string;
  /** Whether the larger of two values is the better. */
  readonly larger: boolean;
}

const GBITS = 'Gbit/s';
const PER_GB = 's/GB';

export const MEASURES = {
  up: { title: 'TCP guest → host', unit: GBITS, larger: true },
  down: { title: 'TCP host → guest', unit: GBITS, larger: true },
  'cpu-up': { title: 'CPU, guest → host', unit: PER_GB, larger: false },
  'cpu-down': { title: 'CPU, host → guest', unit: PER_GB, larger: false },
  up32: { title: '32 streams guest → host', unit: GBITS, larger: true },
  down32: { title: '32 streams host → guest', unit: GBITS, larger: true },
  'fair-up32': { title: '32 streams up: the slowest', unit: 'of its share', larger: true },
  'fair-down32': { title: '32 streams down: the slowest', unit: 'of its share', larger: true },
  rr: { title: 'one-byte round trips', unit: '1/s', larger: true },
  crr: { title: 'connect, one byte, close', unit: '1/s', larger: true },
  conns: { title: '2000 connections', unit: 's', larger: false },
  udpup: { title: 'UDP guest → host, 1400 bytes', unit: GBITS, larger: true },
  udpdown: { title: 'UDP host → guest, 1400 bytes', unit: GBITS, larger: true },
  peak: { title: 'peak memory', unit: 'MB', larger: false },
  'held-opened': { title: '10,000 connections: opened', unit: '', larger: true },
  'held-echoed': { title: '10,000 connections: echoed', unit: '', larger: true },
  'held-memory': { title: '10,000 connections: memory', unit: 'MB', larger: false },
  'held-before': { title: 'memory before them', unit: 'MB', larger: false },
  'held-after': { title: 'memory after they closed', unit: 'MB', larger: false },
  'held-rr-alone': { title: 'round trips before them', unit: '1/s', larger: true },
  'held-rr': { title: 'round trips beside them', unit: '1/s', larger: true },
} as const satisfies Record<string, Measure>;

export type MeasureName = keyof typeof MEASURES;

/** Called with each value; NaN is a failure. */
export type Note = (measure: MeasureName, value: number) => void;

/** Runs in the guest for `seconds`. Rejects when it fails. */
interface Cell {
  /** Noted as failed when the cell rejects. */
  readonly measures: readonly MeasureName[];
  run(guest: Guest, seconds: number, mtu: number, note: Note): Promise<void>;
}

const CUBIC = ['-C', 'cubic'];
/** More than any gateway carries on these machines. */
const DATAGRAM_RATE = ['-u', '-b', '3G'];
const CONNECTIONS = 2000;

/** In the order in which they run. */
export const CELLS = {
  up: bulk('up', 'cpu-up', CUBIC),
  down: bulk('down', 'cpu-down', ['-R', ...CUBIC]),
  rr: exchange('rr'),
  crr: exchange('crr'),
  conns: {
    measures: ['conns'],
    run: async (guest, _seconds, _mtu, note) => note('conns', await latency(guest, 'conns', CONNECTIONS)),
  },
  udpup: datagrams('udpup', []),
  udpdown: datagrams('udpdown', ['-R']),
  up32: parallel('up32', 'fair-up32', []),
  down32: parallel('down32', 'fair-down32', ['-R']),
  held: {
    measures: ['held-opened', 'held-echoed', 'held-memory', 'held-before', 'held-after', 'held-rr-alone', 'held-rr'],
    run: (guest, seconds, _mtu, note) => holdConnections(guest, seconds, note),
  },
} as const satisfies Record<string, Cell>;

export type CellName = keyof typeof CELLS;

/** Runs one cell. When it fails, `report` is told why, and what it has not noted by then is noted as failed. */
export async function runCell(
  name: CellName,
  guest: Guest,
  seconds: number,
  mtu: number,
  note: Note,
  report: (text: string) => void,
): Promise<void> {
  const cell: Cell = CELLS[name];
  const left = new Set<MeasureName>(cell.measures);
  const noteOnce: Note = (measure, value) => {
    left.delete(measure);
    note(measure, value);
  };
  try {
    await cell.run(guest, seconds, mtu, noteOnce);
  } catch (error) {
    report(`${guest.gateway.name}: ${name}: ${error instanceof Error ? error.message.trim() : String(error)}`);
    for (const measure of left) note(measure, NaN);
  }
}

/** To be called before the cell `held`, which holds five times as many connections: comparable with runs that leave it out. */
export function notePeak(guest: Guest, note: Note): void {
  note('peak', memory(guest.process.pid, 'VmHWM') || NaN);
}

function bulk(rate: MeasureName, processor: MeasureName, flags: readonly string[]): Cell {
  return {
    measures: [rate, processor],
    run: async (guest, seconds, _mtu, note) => {
      const result = await iperf(guest, seconds, flags);
      note(rate, result.rate);
      note(processor, result.processor);
    },
  };
}

function parallel(rate: MeasureName, slowest: MeasureName, flags: readonly string[]): Cell {
  return {
    measures: [rate, slowest],
    run: async (guest, seconds, _mtu, note) => {
      const result = await iperf(guest, seconds, ['-P', '32', ...flags, ...CUBIC]);
      note(rate, result.rate);
      note(slowest, result.fairness);
    },
  };
}

function datagrams(rate: MeasureName, flags: readonly string[]): Cell {
  return {
    measures: [rate],
    run: async (guest, seconds, mtu, note) => {
      const size = ['-l', String(Math.min(1400, mtu - 60))];
      note(rate, (await iperf(guest, seconds, [...DATAGRAM_RATE, ...size, ...flags])).rate);
    },
  };
}

function exchange(kind: 'rr' | 'crr'): Cell {
  return { measures: [kind], run: async (guest, seconds, _mtu, note) => note(kind, await latency(guest, kind, seconds)) };
}

/** What tools/latency.c prints. */
async function latency(guest: Guest, mode: 'rr' | 'crr' | 'conns', amount: number): Promise<number> {
  const args = [mode, guest.host, String(guest.echoPort), String(amount)];
  const { status, stdout, stderr } = await guest.run(guest.tools.latency, args, 60_000);
  if (status !== 0) throw new Error(stderr || 'no answer');
  return Number(stdout);
}
