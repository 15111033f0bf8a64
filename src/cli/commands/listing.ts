/** Listings: JSON when asked for, a table on a terminal, tab-separated lines elsewhere. */
import type { Call } from './command.ts';

export type Cell = string | number | null | undefined;

export interface Column<Row> {
  readonly title: string;
  readonly of: (row: Row) => Cell;
  /** For people; `of` is for programs. */
  readonly shown?: (row: Row) => string;
  readonly right?: true;
}

const BOLD = '\u001b[1m';
const PLAIN = '\u001b[0m';

/** Prints `rows`, or with --json `data`. */
export function printListing<Row>(call: Call, data: unknown, columns: readonly Column<Row>[], rows: readonly Row[]): void {
  const { environment, options } = call;
  const { stdoutIsTerminal } = environment;
  if (options.flag('json')) environment.stdout(`${JSON.stringify(data, null, stdoutIsTerminal ? 2 : 0)}\n`);
  else environment.stdout(stdoutIsTerminal ? table(columns, rows, hasColour(call)) : separated(columns, rows));
}

/** https://no-color.org */
export function hasColour({ environment: { stdoutIsTerminal, variables } }: Call): boolean {
  return stdoutIsTerminal && (variables['NO_COLOR'] ?? '') === '' && variables['TERM'] !== 'dumb';
}

function separated<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  const lines = [columns.map(({ title }) => title), ...rows.map((row) => columns.map(({ of }) => cellText(of(row))))];
  return lines.map((cells) => `${cells.join('\t')}\n`).join('');
}

export function table<Row>(columns: readonly Column<Row>[], rows: readonly Row[], colour: boolean): string {
  const cells = rows.map((row) => columns.map(({ of, shown }) => (shown === undefined ? cellText(of(row)) : printable(shown(row))) || '-'));
  const widths = columns.map(({ title }, i) => Math.max(title.length, ...cells.map((line) => line[i]!.length)));
  const line = (texts: readonly string[]): string =>
    texts
      .map((text, i) => (columns[i]!.right === true ? text.padStart(widths[i]!) : text.padEnd(widths[i]!)))
      .join('  ')
      .trimEnd();
  const head = line(columns.map(({ title }) => title.toUpperCase()));
  return `${[colour ? `${BOLD}${head}${PLAIN}` : head, ...cells.map(line)].join('\n')}\n`;
}

function cellText(cell: Cell): string {
  return cell === null || cell === undefined ? '' : printable(String(cell));
}

/** Whoever chose the text, it must not steer a terminal or break a line. */
export function printable(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, '?');
}

/** `1.5 MB`, in decimal units. */
export function bytesText(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let [value, unit] = [bytes, 0];
  for (; value >= 999.5 && unit < units.length - 1; unit++) value /= 1000;
  return `${unit === 0 || value >= 9.95 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}
