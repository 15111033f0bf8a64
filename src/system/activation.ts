/**
 * Sockets that systemd has opened for this process (sd_listen_fds(3)): LISTEN_FDS descriptors from 3 on, with the names of
 * LISTEN_FDNAMES, meant for the process LISTEN_PID and no other.
 */
import { EINVAL } from './errno.ts';
import { SystemError } from './error.ts';

const FIRST = 3;
const VARIABLES = ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES', 'LISTEN_PIDFDID'];

interface ActivatedSocket {
  readonly fd: number;
  /** What FileDescriptorName= says, the unit's name without it; empty where systemd is older than 227. */
  readonly name: string;
}

/** What the environment told when it was first asked; programs that this one starts are not told. */
let passed: { readonly sockets: readonly ActivatedSocket[]; readonly why: string } | undefined;

/** The name in `systemd:NAME`, empty for all sockets; undefined when that is another kind of text. */
export function parseActivation(text: string): string | undefined {
  return /^systemd:(.*)$/is.exec(text)?.[1];
}

/** The descriptors of that name, or all of them for ''; at least one. Throws SystemError. */
export function activatedDescriptors(name: string): number[] {
  passed ??= takeActivation(process.env, process.pid);
  const refuse = (advice: string): never => {
    throw new SystemError('listen', EINVAL, { address: `systemd:${name}`, advice });
  };
  const { sockets, why } = passed;
  if (sockets.length === 0) return refuse(why);
  const found = sockets.filter((socket) => name === '' || socket.name === name);
  if (found.length === 0) return refuse(`its sockets are called ${[...new Set(sockets.map((socket) => socket.name))].join(', ')}`);
  return found.map(({ fd }) => fd);
}

/** Reads and removes the variables. Those for another process, which ran a program that passed them on, mean nothing. */
export function takeActivation(environment: NodeJS.ProcessEnv, pid: number): { sockets: ActivatedSocket[]; why: string } {
  const [forPid, count, names = ''] = VARIABLES.map((variable) => environment[variable]);
  for (const variable of VARIABLES) delete environment[variable];
  if (forPid === undefined || count === undefined) {
    return { sockets: [], why: 'systemd has passed no sockets: start this from the service of a .socket unit' };
  }
  if (forPid !== String(pid))
    return { sockets: [], why: `the sockets are for process ${forPid}, this is ${pid}: start it without a shell around it` };
  if (!/^[1-9]\d{0,3}$/.test(count)) return { sockets: [], why: `LISTEN_FDS is ${JSON.stringify(count)}, which is no number of sockets` };
  const called = names.split(':');
  const sockets = Array.from({ length: Number(count) }, (_, i) => ({ fd: FIRST + i, name: called[i] ?? '' }));
  return { sockets, why: '' };
}
