/** One screen of `guestwire top`: what has happened between two looks at a network. */
import { FLOW_COLUMNS, type FlowInfo } from './flows.ts';
import { bytesText, type Column, table } from './listing.ts';
import type { PortInfo } from './ports.ts';
import type { Totals } from './status.ts';

/** A network at one moment. */
export interface Sample {
  /** Milliseconds. */
  readonly at: number;
  readonly ports: readonly PortInfo[];
  /** Some, where there are very many. */
  readonly flows: readonly FlowInfo[];
  readonly totals: Totals;
}

export interface Screen {
  readonly columns: number;
  readonly rows: number;
  readonly colour: boolean;
}

interface Row {
  readonly port: PortInfo;
  readonly rx: number;
  readonly tx: number;
  readonly frames: number;
  readonly flows: number;
}

const COLUMNS: readonly Column<Row>[] = [
  { title: 'id', of: ({ port }) => port.id, right: true },
  { title: 'name', of: ({ port }) => port.name },
  { title: 'address', of: ({ port }) => port.leases.map(({ address }) => address).join(',') },
  { title: 'rx/s', of: ({ rx }) => bytesText(rx), right: true },
  { title: 'tx/s', of: ({ tx }) => bytesText(tx), right: true },
  { title: 'frames/s', of: ({ frames }) => Math.round(frames), right: true },
  { title: 'dropped', of: ({ port }) => port.counters.rxDropped + port.counters.txDropped, right: true },
  { title: 'flows', of: ({ flows }) => flows, right: true },
];

/** At most `rows` lines of at most `columns` characters; VMs and flows with the most traffic, and the latest, stand first. */
export function topLines(now: Sample, before: Sample, { columns, rows, colour }: Screen): readonly string[] {
  const seconds = Math.max(0.001, (now.at - before.at) / 1000);
  const { totals } = now;
  const rate = (of: (sample: Sample) => number): string => `${bytesText(Math.max(0, of(now) - of(before)) / seconds)}/s`;
  const head =
    `guestwire top   ${totals.ports} VMs, ${totals.flows.tcp} TCP and ${totals.flows.udp} UDP flows   ` +
    `from VMs ${rate(({ totals: { bytesReceived } }) => bytesReceived)}, to VMs ${rate(({ totals: { bytesSent } }) => bytesSent)}   q ends`;
  const vms = now.ports.map((port) => row(port, before, seconds, now.flows)).toSorted((a, b) => b.rx + b.tx - (a.rx + a.tx));
  const flows = now.flows.toSorted((a, b) => (a.idle ?? Infinity) - (b.idle ?? Infinity));
  // VMs get half of the screen at most, while there are flows.
  const room = flows.length === 0 ? rows : Math.ceil(rows / 2);
  const lines = [head, '', ...tableLines(COLUMNS, vms, colour).slice(0, Math.max(1, room - 2))];
  if (flows.length > 0) lines.push('', ...tableLines(FLOW_COLUMNS, flows.slice(0, rows), colour));
  return lines.slice(0, rows).map((line) => cut(line, columns));
}

function tableLines<T>(columns: readonly Column<T>[], rows: readonly T[], colour: boolean): readonly string[] {
  return table(columns, rows, colour).trimEnd().split('\n');
}

function row(port: PortInfo, before: Sample, seconds: number, flows: readonly FlowInfo[]): Row {
  const old = before.ports.find(({ id }) => id === port.id)?.counters;
  const { rxBytes, txBytes, rxFrames, txFrames } = port.counters;
  return {
    port,
    rx: (rxBytes - (old?.rxBytes ?? rxBytes)) / seconds,
    tx: (txBytes - (old?.txBytes ?? txBytes)) / seconds,
    frames: (rxFrames + txFrames - (old === undefined ? rxFrames + txFrames : old.rxFrames + old.txFrames)) / seconds,
    flows: flows.filter((flow) => flow.port === port.id).length,
  };
}

/** To a width in characters, whatever else the line tells the terminal. */
function cut(line: string, width: number): string {
  const parts = line.split(SEQUENCE);
  let left = width;
  return parts
    .map((part) => {
      if (part.startsWith(ESCAPE)) return part;
      const kept = part.slice(0, left);
      left -= kept.length;
      return kept;
    })
    .join('');
}

const ESCAPE = '\u001b';
/** Select Graphic Rendition (ECMA-48 §8.3.117). */
const SEQUENCE = new RegExp(`(${ESCAPE}\\[[\\d;]*m)`);
