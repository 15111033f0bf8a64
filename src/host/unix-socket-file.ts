/**
 * The file of a listening unix socket: created with mode 0600, removed when the socket is closed.
 *
 * A socket's file without a socket is what an earlier process left, and makes room. Anything else that stands at the path is
 * somebody's, and stays: the bind fails (gvproxy deletes whatever is there, contract §14.1).
 */
import { fchmodSync, lstatSync, type Stats, unlinkSync } from 'node:fs';
import { AF_UNIX, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK, SOCK_STREAM } from '../system/constants.ts';
import { ECONNREFUSED, EINVAL } from '../system/errno.ts';
import { check, SystemError } from '../system/error.ts';
import { writeUnixSockaddr } from '../system/memory.ts';
import { bindSocket, close, connect, listen, socket } from '../system/syscalls.ts';
import type { KernelMemory } from './kernel-memory.ts';

const OWNER_ONLY = 0o600;

export interface ListeningUnixSocket {
  readonly fd: number;
  /** Removes the file, unless another has taken its place. */
  remove(): void;
}

/** Throws SystemError. */
export function listenUnixSocket(path: string, backlog: number, memory: KernelMemory): ListeningUnixSocket {
  const context = { address: path };
  const { arena, base, value } = memory;
  const size = writeUnixSockaddr(arena.bytes, value, path);
  if (size < 0) throw new SystemError('bind', EINVAL, { ...context, advice: 'the path of a unix socket has 1 to 107 bytes' });
  removeStale(path, base + value, size);
  const fd = check(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), 'socket', context);
  try {
    // Linux gives the file the mode of the socket: nobody else can connect in between.
    fchmodSync(fd, OWNER_ONLY);
    check(bindSocket(fd, base + value, size), 'bind', context);
    const file = statOf(path);
    try {
      check(listen(fd, backlog), 'listen', context);
    } catch (error) {
      removeOwn(path, file);
      throw error;
    }
    return { fd, remove: () => removeOwn(path, file) };
  } catch (error) {
    close(fd);
    throw error;
  }
}

function removeStale(path: string, address: number, size: number): void {
  const file = statOf(path);
  if (file === undefined || !file.isSocket()) return;
  // Of another kind: a server would take one of its own kind for a client.
  const fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  const answer = connect(fd, address, size);
  close(fd);
  if (answer === -ECONNREFUSED) removeOwn(path, file);
}

/** Removes the file if it is still this one. */
function removeOwn(path: string, file: Stats | undefined): void {
  const now = statOf(path);
  if (now === undefined || file === undefined || now.ino !== file.ino || now.dev !== file.dev) return;
  try {
    unlinkSync(path);
  } catch {
    // Somebody else has removed it, or its folder is not ours to change: nothing that can be done here.
  }
}

function statOf(path: string): Stats | undefined {
  try {
    return lstatSync(path);
  } catch {
    return undefined;
  }
}
