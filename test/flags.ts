/** Flags of the programs that developers run by hand: `--help` prints the usage; what can't be used ends with a line that says so, not with a stack. */
import { parseArgs, type ParseArgsConfig } from 'node:util';

type Options = NonNullable<ParseArgsConfig['options']>;
type Values<T extends Options> = ReturnType<typeof parseArgs<{ options: T }>>['values'];

/** The command line's flags. Does not return when there is nothing to run. */
export function readFlags<T extends Options>(usage: string, options: T): Values<T> {
  if (process.argv.includes('--help')) {
    console.log(usage);
    process.exit(0);
  }
  try {
    return parseArgs({ options }).values;
  } catch (error) {
    return refuse(usage, (error as Error).message);
  }
}

/** A number that is not negative. Does not return when `text` is none. */
export function readNumber(usage: string, flag: string, text: string): number {
  const value = text.trim() === '' ? NaN : Number(text);
  if (Number.isFinite(value) && value >= 0) return value;
  return refuse(usage, `--${flag} takes a number, not ${text}`);
}

export function refuse(usage: string, what: string): never {
  console.error(`${what}\n\n${usage}`);
  process.exit(2);
}
