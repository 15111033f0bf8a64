/** What to do about a file that stands where the VM socket should be: only the user knows whether it may go. */
import { readFileSync, realpathSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import { EPERM, EPROTOTYPE } from '../system/errno.ts';
import { writeUnixSockaddr } from '../system/memory.ts';
import { close } from '../system/syscalls.ts';
import { connectDatagram } from '../system/unix-datagram.ts';

/** `00010000` in the flags of /proc/net/unix: the socket listens. */
const LISTENS = /^\S+ \S+ \S+ 00010000 \S+ \S+ +\d+ (\/.*)$/gm;

/** For the log, behind gvproxy's message. Nobody hears of it: a connection would be taken for a VM. */
export function adviceForExisting(path: string): string {
  if (statSync(path, { throwIfNoEntry: false })?.isSocket() !== true) return 'it is not a socket: choose another path';
  if (isAlive(path) || isListenedOn(path)) return 'a program listens on it: end that one, or choose another path';
  // The kernel lists the sockets of our own network namespace only: hence "seems".
  return `nobody seems to listen on it: if it is left over from a program that was killed, rm ${path}`;
}

/** Who has a datagram socket hears nothing of who connects to it, and one of another kind can't be connected to: either says that it is there. */
function isAlive(path: string): boolean {
  const address = new Uint8Array(128);
  const size = writeUnixSockaddr(address, 0, path);
  if (size < 0) return false;
  const answer = connectDatagram(address.subarray(0, size));
  if (answer >= 0) close(answer);
  return answer >= 0 || answer === -EPERM || answer === -EPROTOTYPE;
}

function isListenedOn(path: string): boolean {
  const real = realpath(path);
  const named = [...listing().matchAll(LISTENS)].map(([, bound]) => bound!).filter((bound) => basename(bound) === basename(path));
  return named.some((bound) => realpath(bound) === real);
}

function listing(): string {
  try {
    return readFileSync('/proc/net/unix', 'utf8');
  } catch {
    return '';
  }
}

/** A socket goes on listening when its file is gone. */
function realpath(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    return undefined;
  }
}
