/** The DHCP clients of other projects, as gvforwarder runs them (contract §15.1). */
import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { join } from 'node:path';

export type DhcpProgram = 'udhcpc' | 'dhclient';

const ARGUMENTS: Record<DhcpProgram, (name: string) => string[]> = {
  udhcpc: (name) => ['-f', '-q', '-i', name, '-v'],
  dhclient: (name) => ['-4', '-d', '-v', name],
};

/** The first that is in `path`, a list of folders as in the environment. */
export function findDhcpProgram(path: string): DhcpProgram | undefined {
  const folders = path.split(':').filter((folder) => folder !== '');
  return (['udhcpc', 'dhclient'] as const).find((name) => folders.some((folder) => isProgram(join(folder, name))));
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** Runs it until it ends or is killed; `failed` hears of any end but a good one. Returns what kills it. */
export function runDhcpProgram(program: DhcpProgram, name: string, failed: (reason: string) => void): () => void {
  const child: ChildProcess = spawn(program, ARGUMENTS[program](name), { stdio: 'inherit' });
  let killed = false;
  const judge = (reason: string): void => {
    if (!killed) failed(reason);
  };
  child.on('error', (error) => judge(error.message));
  child.on('exit', (status, signal) => {
    if (status !== 0) judge(signal === null ? `exit status ${status}` : `signal: ${signal}`);
  });
  return () => {
    killed = true;
    child.kill();
  };
}
