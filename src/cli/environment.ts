/** What a program has from its process. */
export interface Environment {
  readonly argv: readonly string[];
  /** As version and log name the program. */
  readonly name: string;
  /** As the usage names it. */
  readonly program: string;
  stdout(text: string): void;
  stderr(text: string): void;
  readonly stderrIsTerminal: boolean;
  readonly stdoutIsTerminal: boolean;
  /** Of the process's environment. */
  readonly variables: Readonly<Record<string, string | undefined>>;
}
