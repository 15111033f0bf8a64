/** A network namespace for the rest of a test's process and all that it starts: nothing reaches the machine's real network. Needs root. */
import koffi from 'koffi';
import { succeed } from './process.ts';

const CLONE_NEWNET = 0x4000_0000;

/** Enters it with the loopback up, which carries multicast too. Sockets that are open stay where they are. */
export async function enterOwnNetwork(): Promise<void> {
  const unshare = koffi.load(null).func('int unshare(int flags)') as (flags: number) => number;
  if (unshare(CLONE_NEWNET) !== 0) throw new Error(`unshare: errno ${koffi.errno()}`);
  await succeed('ip', ['link', 'set', 'lo', 'up', 'multicast', 'on']);
  await succeed('ip', ['route', 'add', '224.0.0.0/4', 'dev', 'lo']);
}
