/**
 * `qemu-wrapper SOCKET PROGRAM [ARGUMENT…]`: runs a program with a connection to a unix socket as descriptor 3, for QEMUs that can't
 * connect themselves (`-netdev socket,fd=3`; contract §15.2). Exit status: 0 when the program ends with 0; 2 without a program; 1 for
 * all else, with a message.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { close } from '../system/syscalls.ts';
import { connectUnix } from '../system/unix-stream.ts';
import type { Environment } from './environment.ts';

/** Passed on: whoever ends the wrapper means the program. SIGINT comes to both from a terminal. */
const SIGNALS = ['SIGTERM', 'SIGHUP'] as const;

/** Resolves with the exit status when the program has ended. */
export async function qemuWrapper(environment: Environment): Promise<number> {
  const { name } = environment;
  const [path, program, ...args] = environment.argv;
  if (path === undefined || program === undefined) {
    environment.stderr(
      `Usage: ${name} SOCKET PROGRAM [ARGUMENT...]\n\nRuns the program with a connection to the unix socket as descriptor 3.\n`,
    );
    return 2;
  }
  try {
    const reason = await run(path, program, args);
    if (reason === undefined) return 0;
    environment.stderr(`${name}: ${program}: ${reason}\n`);
  } catch (error) {
    const advice = /^[a-z]+:/i.test(path) ? '; want the path of a unix socket, not a URL' : '';
    environment.stderr(`${name}: ${(error as Error).message}${advice}\n`);
  }
  return 1;
}

/** Why it has failed, if it has. Throws SystemError when there is no connection. */
async function run(path: string, program: string, args: readonly string[]): Promise<string | undefined> {
  // Blocking, as a program expects that knows nothing of it.
  const connection = connectUnix(path, true);
  let child: ChildProcess | undefined;
  // Before the program is there: it may be running before `spawn` returns.
  for (const signal of SIGNALS) process.on(signal, () => void child?.kill(signal));
  process.on('SIGINT', () => {
    if (!process.stdin.isTTY) child?.kill('SIGINT');
  });
  try {
    child = spawn(program, args, { stdio: ['inherit', 'inherit', 'inherit', connection] });
  } finally {
    // The program has its own; it alone decides when the connection ends.
    close(connection);
  }
  const running = child;
  return new Promise((resolve) => {
    running.on('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'ENOENT' ? 'no such program in PATH' : error.message));
    running.on('exit', (status, signal) =>
      resolve(status === 0 ? undefined : signal === null ? `exit status ${status}` : `signal: ${signal}`),
    );
  });
}
