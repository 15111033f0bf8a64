/**
 * Unix sockets with a path: their file has mode 0600 from its first moment, and is removed with the socket, unless another has taken
 * its place.
 *
 * A file that stands at the path is somebody's, and stays: the bind fails. On request a socket's file without a socket, which is
 * what an earlier process left, makes room (gvproxy deletes whatever is there, contract §14.1).
 */
import { fchmodSync, lstatSync, type Stats, unlinkSync } from 'node:fs';
import { AF_UNIX, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK, SOCK_STREAM } from './constants.ts';
import { EADDRINUSE, ECONNREFUSED, EINVAL } from './errno.ts';
import { check, SystemError } from './error.ts';
import { writeUnixSockaddr } from './memory.ts';
import { addressOf, bindSocket, close, connect, listen, socket } from './syscalls.ts';

const OWNER_ONLY = 0o600;

export interface UnixListener {
  /** Nonblocking, closed when a program is started; the caller's to close. */
  readonly fd: number;
  /** Removes the file, if it is still this socket's. */
  readonly remove: () => void;
  /** The file at `path` is this socket's. */
  readonly owns: (path: string) => boolean;
  /** The same socket after its file was renamed. */
  readonly movedTo: (path: string) => UnixListener;
}

export interface UnixSocketOptions {
  /** A socket's file without a socket makes room. */
  readonly replaceDead?: boolean;
  /** SOCK_STREAM unless said otherwise. */
  readonly type?: number;
}

/** Throws SystemError. */
export function listenUnix(path: string, backlog: number, options: UnixSocketOptions = {}): UnixListener {
  const opened = bindUnix(path, options);
  try {
    check(listen(opened.fd, backlog), 'listen', { address: path });
    return opened;
  } catch (error) {
    close(opened.fd);
    opened.remove();
    throw error;
  }
}

/** Binds without listening, as datagram sockets are. Throws SystemError. */
export function bindUnix(path: string, options: UnixSocketOptions): UnixListener {
  const context = { address: path };
  const type = options.type ?? SOCK_STREAM;
  const scratch = new ArrayBuffer(256);
  const size = writeUnixSockaddr(new Uint8Array(scratch), 0, path);
  if (size < 0) throw new SystemError('bind', EINVAL, { ...context, advice: 'a unix socket path has 1 to 107 bytes' });
  if (options.replaceDead === true) removeDead(path, addressOf(scratch), size, type);
  const fd = check(socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), 'socket', context);
  let file: Stats | undefined;
  try {
    // Linux gives the file the mode of the socket: nobody else can connect in between.
    fchmodSync(fd, OWNER_ONLY);
    check(bindSocket(fd, addressOf(scratch), size), 'bind', context);
    file = statOf(path);
  } catch (error) {
    close(fd);
    throw error;
  }
  return bound(fd, path, file);
}

function bound(fd: number, path: string, file: Stats | undefined): UnixListener {
  return {
    fd,
    remove: () => removeOwn(path, file),
    owns: (place) => isSame(statOf(place), file),
    movedTo: (place) => bound(fd, place, file),
  };
}

function removeDead(path: string, address: number, size: number, type: number): void {
  const file = statOf(path);
  if (file === undefined) return;
  if (!file.isSocket()) {
    throw new SystemError('bind', EADDRINUSE, { address: path, advice: 'what stands there is not a socket: choose another path' });
  }
  // Of another kind: a server would take one of its own kind for a client.
  const fd = socket(AF_UNIX, (type === SOCK_DGRAM ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  const answer = connect(fd, address, size);
  close(fd);
  if (answer === -ECONNREFUSED) removeOwn(path, file);
}

function removeOwn(path: string, file: Stats | undefined): void {
  if (!isSame(statOf(path), file)) return;
  try {
    unlinkSync(path);
  } catch {
    // Somebody else has removed it, or its folder is not ours to change: nothing that can be done here.
  }
}

function isSame(now: Stats | undefined, file: Stats | undefined): boolean {
  return now !== undefined && file !== undefined && now.ino === file.ino && now.dev === file.dev;
}

function statOf(path: string): Stats | undefined {
  try {
    return lstatSync(path);
  } catch {
    return undefined;
  }
}
