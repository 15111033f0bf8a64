/** The results as Markdown and as JSON. */
import { MEASURES } from './cells.ts';
import type { Row, Summary } from './results.ts';
import type { Surroundings } from './surroundings.ts';

export interface Run {
  readonly surroundings: Surroundings;
  readonly gateways: readonly string[];
  readonly rounds: number;
  readonly seconds: number;
  readonly carrier: string;
}

export function markdown(run: Run, rows: readonly Row[]): string {
  const { surroundings, gateways } = run;
  const versions = Object.entries(surroundings.versions).map(([name, version]) => `${name} ${version}`);
  const rounds = run.rounds === 1 ? `One round of ${run.seconds} s` : `Medians of ${run.rounds} rounds of ${run.seconds} s (least to most)`;
  const head = ['MTU', 'cell', ...gateways, '÷ best peer'];
  return [
    `${versions.join(', ')}.`,
    `${surroundings.cores} × ${surroundings.processor}, Linux ${surroundings.kernel}, Node ${surroundings.node}; ${surroundings.date}.`,
    `${rounds}; carrier: ${run.carrier}. The ratio is above 1 where ours is better.`,
    '',
    line(head),
    line(head.map(() => '---')),
    ...rows.map((row) => line(columns(row, gateways))),
  ].join('\n');
}

function columns(row: Row, gateways: readonly string[]): string[] {
  const { title, unit } = MEASURES[row.measure];
  const values = gateways.map((name) => value(row.gateways.get(name)));
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
  const cells = rows.map((row) => ({
    mtu: row.mtu,
    cell: row.measure,
    ...MEASURES[row.measure],
    ratio: row.ratio,
    gateways: Object.fromEntries(row.gateways),
  }));
  return `${JSON.stringify({ ...run, cells }, null, 1)}\n`;
}
