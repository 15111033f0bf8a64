/** What a command of `guestwire` is made of: data that help, completion and the reading of the command line share, and what runs it. */
import type { Environment } from '../environment.ts';

export interface OptionDefinition {
  readonly type: 'string' | 'boolean';
  readonly short?: string;
  readonly multiple?: true;
  /** What stands for its value in the help; a string's only. */
  readonly value?: string;
  readonly summary: string;
}

export interface CommandDefinition {
  readonly name: string;
  /** One line. */
  readonly summary: string;
  /** Behind `guestwire NAME`; one for each form. */
  readonly usage: readonly string[];
  /** First words that it knows. */
  readonly verbs?: readonly string[];
  /** Its word is a file: completed as one. */
  readonly takesFile?: true;
  /** It reads its flags itself, one dash or two, as gvproxy does. */
  readonly goFlags?: true;
  readonly options: Readonly<Record<string, OptionDefinition>>;
  /** Paragraphs of the help. */
  readonly notes?: readonly string[];
  readonly examples: readonly string[];
  /** Exit statuses beside those of all commands. */
  readonly statuses?: Readonly<Record<string, string>>;
  readonly load: () => Promise<(call: Call) => Promise<number>>;
}

/** Exit statuses of every command. */
export const STATUS = { ok: 0, failed: 1, usage: 2, nothingRunning: 3 } as const;

/** Of one call, by name; each reads what its definition says. */
export class OptionValues {
  readonly #values: Readonly<Record<string, unknown>>;

  constructor(values: Readonly<Record<string, unknown>>) {
    this.#values = values;
  }

  flag(name: string): boolean {
    return this.#values[name] === true;
  }

  text(name: string): string | undefined {
    const value = this.#values[name];
    return typeof value === 'string' ? value : undefined;
  }

  list(name: string): readonly string[] {
    return (this.#values[name] as readonly string[] | undefined) ?? [];
  }
}

export interface Call {
  readonly environment: Environment;
  readonly options: OptionValues;
  /** What is no option, in order; with `goFlags` everything. */
  readonly words: readonly string[];
}

/** Ends the command: its message goes to standard error behind the command's name. */
export class CommandError extends Error {
  readonly status: number;

  constructor(message: string, status: number = STATUS.failed) {
    super(message);
    this.status = status;
  }
}

/** The command line makes no sense: exit status 2. */
export function usageError(message: string): CommandError {
  return new CommandError(message, STATUS.usage);
}

/** Throws CommandError when there are more words than `most`, or fewer than `least`. */
export function checkWords(words: readonly string[], least: number, most: number, wanted: string): void {
  if (words.length < least) throw usageError(`too few words: want ${wanted}`);
  if (words.length > most) throw usageError(`there is a word too many, ${JSON.stringify(words[most])}: want ${wanted}`);
}
