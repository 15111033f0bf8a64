/** A program's command line, with Go's answers to what can't be read (contract §2.1). */
import { type FlagDefinition, FlagError, type FlagValues, HelpRequested, parseFlags, usage } from './go-flags.ts';

export interface CommandLine {
  readonly argv: readonly string[];
  /** As the usage names the program. */
  readonly program: string;
  stderr(text: string): void;
}

/** The flags; the exit status when there is nothing to run. */
export function readFlags<D extends Record<string, FlagDefinition>>(line: CommandLine, definitions: D): FlagValues<D> | number {
  try {
    return parseFlags(definitions, line.argv).values;
  } catch (error) {
    if (error instanceof FlagError) line.stderr(`${error.message}\n`);
    else if (!(error instanceof HelpRequested)) throw error;
    line.stderr(usage(line.program, definitions));
    return error instanceof FlagError ? 2 : 0;
  }
}
