/**
 * Command lines as Go's `flag` package reads them (contract §2.1), which callers of gvproxy rely on.
 *
 * `-name value`, `-name=value`, one dash or two; booleans take no separate value; parsing stops at the first other word.
 */

import { goQuote } from './go-quote.ts';

export type FlagKind = 'bool' | 'int' | 'string' | 'list';

export interface FlagDefinition {
  readonly kind: FlagKind;
  readonly usage: string;
  readonly default?: boolean | number | string;
  /** A boolean that was left out is undefined, which says something else than false. */
  readonly optional?: true;
}

export type FlagValue = boolean | number | string | readonly string[] | undefined;
export type FlagValues<D extends Record<string, FlagDefinition>> = {
  -readonly [K in keyof D]: D[K]['kind'] extends 'bool'
    ? boolean | (D[K]['optional'] extends true ? undefined : never)
    : D[K]['kind'] extends 'int'
      ? number
      : D[K]['kind'] extends 'list'
        ? string[]
        : string;
};

/** The command line can't be used: `message` for standard error, followed by the usage. Exit status 2. */
export class FlagError extends Error {}

/** `-help` was asked for: print the usage, exit status 0. */
export class HelpRequested extends Error {}

const TRUE = ['1', 't', 'T', 'true', 'TRUE', 'True'];
const FALSE = ['0', 'f', 'F', 'false', 'FALSE', 'False'];

/** Returns the values, which flags were given, and the words behind the last of them. Throws FlagError or HelpRequested. */
export function parseFlags<D extends Record<string, FlagDefinition>>(
  definitions: D,
  argv: readonly string[],
): { values: FlagValues<D>; given: Set<string>; rest: readonly string[] } {
  const values: Record<string, FlagValue> = {};
  for (const [name, { kind, default: initial, optional }] of Object.entries(definitions))
    values[name] = kind === 'bool' && optional ? undefined : (initial ?? zero(kind));
  const given = new Set<string>();
  let i = 0;
  for (; i < argv.length; i++) {
    const word = argv[i]!;
    if (word.length < 2 || !word.startsWith('-')) break;
    if (word === '--') {
      i++;
      break;
    }
    const { name, value } = split(word);
    const definition = Object.hasOwn(definitions, name) ? definitions[name] : undefined;
    if (definition === undefined) {
      if (name === 'help' || name === 'h') throw new HelpRequested();
      throw new FlagError(`flag provided but not defined: -${name}`);
    }
    given.add(name);
    if (definition.kind === 'bool') {
      values[name] = parseBool(name, value ?? 'true');
      continue;
    }
    const text = value ?? argv[++i];
    if (text === undefined) throw new FlagError(`flag needs an argument: -${name}`);
    if (definition.kind === 'int') values[name] = parseInteger(name, text);
    else if (definition.kind === 'list') values[name] = [...(values[name] as string[]), text];
    else values[name] = text;
  }
  return { values: values as FlagValues<D>, given, rest: argv.slice(i) };
}

function zero(kind: FlagKind): FlagValue {
  if (kind === 'bool') return false;
  if (kind === 'int') return 0;
  return kind === 'list' ? [] : '';
}

function split(word: string): { name: string; value: string | undefined } {
  const body = word.replace(/^--?/, '');
  if (body === '' || body.startsWith('-') || body.startsWith('=')) throw new FlagError(`bad flag syntax: ${word}`);
  const equals = body.indexOf('=');
  return equals < 0 ? { name: body, value: undefined } : { name: body.slice(0, equals), value: body.slice(equals + 1) };
}

function parseBool(name: string, text: string): boolean {
  if (TRUE.includes(text)) return true;
  if (FALSE.includes(text)) return false;
  throw new FlagError(`invalid boolean value ${goQuote(text)} for -${name}: parse error`);
}

const MINIMUM = -(2n ** 63n);
const MAXIMUM = 2n ** 63n - 1n;

/** Go's strconv.ParseInt with base 0: sign, 0x, 0o, 0b, leading zero for octal, underscores between digits. */
function parseInteger(name: string, text: string): number {
  const [, sign, digits] = /^([+-]?)(.+)$/s.exec(text) ?? [];
  const plain = digits === undefined || /^_|__|_$/.test(digits) ? '' : digits.replaceAll('_', '');
  const known = /^(0[xX][0-9a-fA-F]+|0[oO]?[0-7]+|0[bB][01]+|[1-9][0-9]*|0)$/.test(plain);
  if (!known) throw new FlagError(`invalid value ${goQuote(text)} for flag -${name}: parse error`);
  const magnitude = BigInt(/^0[0-7]/.test(plain) ? `0o${plain.slice(1)}` : plain);
  const value = sign === '-' ? -magnitude : magnitude;
  if (value < MINIMUM || value > MAXIMUM) throw new FlagError(`invalid value ${goQuote(text)} for flag -${name}: value out of range`);
  return Number(value);
}

/** The listing that follows an error or `-help`: alphabetical, with defaults, as Go prints it. */
export function usage(program: string, definitions: Record<string, FlagDefinition>): string {
  const lines = [`Usage of ${program}:`];
  for (const name of Object.keys(definitions).sort()) {
    const { kind, usage: text, default: initial } = definitions[name]!;
    const type = kind === 'bool' ? '' : kind === 'int' ? ' int' : kind === 'string' ? ' string' : ' value';
    const shown = initial === undefined || initial === '' || initial === 0 || initial === false ? '' : ` (default ${quoted(initial)})`;
    lines.push(`  -${name}${type}`, `    \t${text}${shown}`);
  }
  return `${lines.join('\n')}\n`;
}

function quoted(value: boolean | number | string): string {
  return typeof value === 'string' ? goQuote(value) : String(value);
}
