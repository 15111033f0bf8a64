/** Runs a program with this process's arguments and streams, and exits with its status. */
import type { Environment } from './environment.ts';

export async function main(name: string, run: (environment: Environment) => Promise<number>): Promise<void> {
  const status = await run({
    argv: process.argv.slice(2),
    name,
    program: name,
    stdout: (text) => void process.stdout.write(text),
    stderr: (text) => void process.stderr.write(text),
    stderrIsTerminal: process.stderr.isTTY,
    stdoutIsTerminal: process.stdout.isTTY,
    variables: process.env,
  });
  process.exitCode = status;
  // Whatever still holds the process (a lookup under way) has no business after this.
  setImmediate(() => process.exit(status));
}
