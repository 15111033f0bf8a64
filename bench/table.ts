/** The results as Markdown and as JSON. */
import { MEASURES } from './cells.ts';
import type { Row, Summary } from './results.ts';
import type { Surroundings } from './surroundings.ts';

export interface Run {
  readonly surroundings: Surroundings;
  readonly columns: readonly { readonly name: string; readonly able: boolean }[];
  /** Ours to others over one version of IP, or over IPv6 to itself over IPv4. */
  readonly comparison: 'peers' | 'peers over IPv6' | 'families';
  readonly rounds: number;
  readonly seconds: number;
  readonly carrier: string;
}

export function markdown(run: Run, rows: readonly Row[]): string {
  const { surroundings, columns } = run;
  const families = run.comparison === 'families';
  const versions = Object.entries(surroundings.versions).map(([name, version]) => `${name} ${version}`);
  const rounds = run.rounds === 1 ? `One round of ${run.seconds} s` : `Medians of ${run.rounds} rounds of ${run.seconds} s (least to most)`;
  const head = ['MTU', 'cell', ...columns.map(({ name }) => name), families ? 'IPv6 ÷ IPv4' : '÷ best peer'];
  const over = run.comparison === 'peers over IPv6' ? 'over IPv6; ' : '';
  const better = families ? 'IPv6' : 'ours';
  return [
    `${versions.join(', ')}.`,
    `${surroundings.cores} × ${surroundings.processor}, Linux ${surroundings.kernel}, Node ${surroundings.node}; ${surroundings.date}.`,
    `${rounds}; ${over}carrier: ${run.carrier}. The ratio is above 1 where ${better} is better.`,
    '',
    line(head),
    line(head.map(() => '---')),
    ...rows.map((row) => line(cells(row, columns))),
  ].join('\n');
}

function cells(row: Row, columns: Run['columns']): string[] {
  const { title, unit } = MEASURES[row.measure];
  const values = columns.map(({ name, able }) => (able ? value(row.gateways.get(name)) : 'no IPv6'));
  return [String(row.mtu), unit === '' ? title : `${title}, ${unit}`, ...values, Number.isNaN(row.ratio) ? '' : row.ratio.toFixed(2)];
}

function value(summary: Summary | undefined): string {
  if (summary === undefined) return '';
  if (Number.isNaN(summary.median)) return 'failed';
  if (summary.values.length === 1) return digits(summary.median);
  return `${digits(summary.median)} (${digits(summary.least)}–${digits(summary.most)})`;
}

/** Three digits, and never fewer than what stands in front of the point. */
function digits(number: number): string {
  return Math.abs(number) >= 100 ? number.toFixed(0) : number.toPrecision(3);
}

function line(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`;
}

/** Failures are null. */
export function json(run: Run, rows: readonly Row[]): string {
  const measured = rows.map((row) => ({
    mtu: row.mtu,
    cell: row.measure,
    ...MEASURES[row.measure],
    ratio: row.ratio,
    gateways: Object.fromEntries(row.gateways),
  }));
  return `${JSON.stringify({ ...run, cells: measured }, null, 1)}\n`;
}
