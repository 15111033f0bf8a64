/**
 * `gvproxy`: the same flags, messages and life cycle as the original (contract §2, §4).
 *
 * Exit status: the daemon's; 2 for a command line that makes no sense.
 */
import type { Environment } from './environment.ts';
import { type ReadFlags, readFlags } from './flags.ts';
import { GVPROXY_FLAGS } from './gvproxy-flags.ts';
import { banner } from './version.ts';

/** Resolves with the exit status. */
export async function gvproxy(environment: Environment): Promise<number> {
  const line = readFlags(environment, GVPROXY_FLAGS);
  return typeof line === 'number' ? line : await runGvproxy(environment, line);
}

/** As gvproxy does with these flags; `control` is a URL on which programs of the host are served besides. */
export async function runGvproxy(environment: Environment, line: ReadFlags<typeof GVPROXY_FLAGS>, control?: string): Promise<number> {
  if (line.flags.version) {
    environment.stdout(`${banner(environment.name)}\n`);
    return 0;
  }
  // Scripts ask for the version, and wait for it: the network is loaded by those who want one.
  const { runDaemon } = await import('./daemon.ts');
  return await runDaemon(environment, line, control);
}
