/** Runs a program with this process's arguments and streams, and exits with its status. */
import type { Environment } from './environment.ts';

export async function main(name: string, run: (environment: Environment) => Promise<number>): Promise<void> {
  const status = await run({
    argv: process.argv.slice(2),
    name,
    program: name,
    stdout: (text) => print(name, text),
    stderr: (text) => void process.stderr.write(text),
    stderrIsTerminal: process.stderr.isTTY,
    stdoutIsTerminal: process.stdout.isTTY,
    variables: process.env,
  });
  process.exitCode = status;
  // Whatever still holds the process (a lookup under way) has no business after this.
  setImmediate(() => process.exit(status));
}

/** Prints to standard output. A reader that has gone has what it wanted; whatever else fails there ends the program, with 1. */
function print(name: string, text: string): void {
  if (process.stdout.listenerCount('error') === 0) {
    process.stdout.on('error', ({ code, message }: NodeJS.ErrnoException) => {
      if (code !== 'EPIPE') process.stderr.write(`${name}: cannot write to standard output: ${message}\n`);
      process.exit(code === 'EPIPE' ? process.exitCode : 1);
    });
  }
  process.stdout.write(text);
}
