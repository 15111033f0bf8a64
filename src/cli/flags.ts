/** A program's command line, with Go's answers to what can't be read (contract §2.1). */
import { type FlagDefinition, FlagError, type FlagValues, HelpRequested, parseFlags, usage } from './go-flags.ts';
import { goQuote } from './go-quote.ts';

export interface CommandLine {
  readonly argv: readonly string[];
  /** As the usage names the program. */
  readonly program: string;
  stderr(text: string): void;
}

/** What a command line says. */
export interface ReadFlags<D extends Record<string, FlagDefinition>> {
  readonly flags: FlagValues<D>;
  /** Names of those that the command line has. */
  readonly given: ReadonlySet<string>;
  /** For the log: the original drops words behind its flags without a word (contract §2.1), and with them the flags that follow. */
  readonly warnings: readonly string[];
}

/** The flags; the exit status when there is nothing to run. */
export function readFlags<D extends Record<string, FlagDefinition>>(line: CommandLine, definitions: D): ReadFlags<D> | number {
  try {
    const { values, given, rest } = parseFlags(definitions, line.argv);
    const [word] = rest;
    return {
      flags: values,
      given,
      warnings: word === undefined ? [] : [`${goQuote(word)} is no flag: it is ignored, and so is all that follows it`],
    };
  } catch (error) {
    if (error instanceof FlagError) line.stderr(`${error.message}\n`);
    else if (!(error instanceof HelpRequested)) throw error;
    line.stderr(usage(line.program, definitions));
    return error instanceof FlagError ? 2 : 0;
  }
}
