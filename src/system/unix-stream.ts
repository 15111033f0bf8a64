/** Connected unix sockets as descriptors: for programs that take no other. */
import { AF_UNIX, F_GETFL, F_SETFL, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM } from './constants.ts';
import { EAGAIN, ECONNREFUSED, EINTR, EINVAL, ENOENT } from './errno.ts';
import { check, SystemError } from './error.ts';
import { writeUnixSockaddr } from './memory.ts';
import { addressOf, close, connect, fcntl, socket, socketpair } from './syscalls.ts';

const ADVICE: ReadonlyMap<number, string> = new Map([
  [ENOENT, 'is the program that listens there running?'],
  [ECONNREFUSED, 'the program that made this socket has ended'],
  [EAGAIN, 'the program that listens there is not taking connections'],
]);

/**
 * Connects to `path` at once or not at all when `blocking` is false; the descriptor then doesn't block either. It is the caller's,
 * and closed when a program is started. Throws SystemError.
 */
export function connectUnix(path: string, blocking: boolean): number {
  const scratch = new ArrayBuffer(256);
  const size = writeUnixSockaddr(new Uint8Array(scratch), 0, path);
  if (size < 0) throw new SystemError('connect', EINVAL, { address: path, advice: 'a unix socket path has 1 to 107 bytes' });
  const fd = check(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | (blocking ? 0 : SOCK_NONBLOCK), 0), 'socket', { address: path });
  let answer = -EINTR;
  while (answer === -EINTR) answer = connect(fd, addressOf(scratch), size);
  if (answer >= 0) return fd;
  close(fd);
  const advice = ADVICE.get(-answer);
  throw new SystemError('connect', -answer, { address: path, ...(advice !== undefined && { advice }) });
}

export interface SocketPair {
  /** Doesn't block. */
  readonly ours: number;
  /** Blocks, as a program expects of its standard input. */
  readonly theirs: number;
}

/** Two ends of one connection, both the caller's, closed when a program is started unless they are handed to it. Throws SystemError. */
export function socketPair(): SocketPair {
  const pair = new Int32Array(new ArrayBuffer(8));
  check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, addressOf(pair.buffer)), 'socketpair');
  const [ours, theirs] = pair as unknown as [number, number];
  check(fcntl(ours, F_SETFL, check(fcntl(ours, F_GETFL, 0), 'fcntl') | SOCK_NONBLOCK), 'fcntl');
  return { ours, theirs };
}
