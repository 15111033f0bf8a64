/** Standard input and output as the two ends of a stream, taken out of everybody else's hands: nothing else may stand between what goes there. */
import { closeSync, fstatSync, openSync, type Stats } from 'node:fs';
import { F_GETFL, F_SETFL, F_SETPIPE_SZ, SOCK_NONBLOCK, SOCK_STREAM } from './constants.ts';
import { EINVAL } from './errno.ts';
import { check, SystemError } from './error.ts';
import { giveBack, takeInherited } from './inherited.ts';
import { close, duplicate, fcntl, load, replaceDescriptor } from './syscalls.ts';

/** Bytes asked of the kernel for a pipe; it grants what its limits allow. */
const PIPE_SIZE = 1 << 20;
const NAMES = ['standard input', 'standard output'] as const;

export interface StandardStreams {
  readonly in: number;
  readonly out: number;
}

/**
 * Descriptors of both (nonblocking, closed when a program is started, the caller's to close); 0 and 1 are /dev/null from then on. Throws
 * SystemError for what is neither pipe nor stream socket, and when standard error is the same as standard output.
 */
export function takeStandardStreams(): StandardStreams {
  load();
  const [, output, error] = [0, 1, 2].map((fd) => fstatSync(fd));
  for (const fd of [0, 1] as const) checkKind(fd, fstatSync(fd));
  if (same(output!, error!)) refuse(1, 'it is the same as standard error, whose text would stand between frames: redirect one of them');
  const input = check(duplicate(0), 'dup', { address: NAMES[0] });
  const copy = duplicate(1);
  if (copy < 0) close(input);
  check(copy, 'dup', { address: NAMES[1] });
  try {
    for (const fd of [input, copy]) prepare(fd);
    const nowhere = openSync('/dev/null', 'r+');
    for (const fd of [0, 1]) check(replaceDescriptor(nowhere, fd), 'dup3');
    closeSync(nowhere);
  } catch (fault) {
    close(input);
    close(copy);
    throw fault;
  }
  return { in: input, out: copy };
}

function checkKind(fd: 0 | 1, status: Stats): void {
  if (status.isFIFO()) return;
  if (!status.isSocket()) refuse(fd, `want a pipe or a stream socket, not ${status.isFile() ? 'a file' : 'a terminal or a device'}`);
  const { type } = takeInherited(fd);
  giveBack(fd);
  if (type !== SOCK_STREAM) refuse(fd, 'want a pipe or a stream socket, not one of messages');
}

function refuse(fd: 0 | 1, advice: string): never {
  throw new SystemError('open', EINVAL, { address: NAMES[fd], advice });
}

function same(one: Stats, other: Stats): boolean {
  return one.ino === other.ino && one.dev === other.dev;
}

function prepare(fd: number): void {
  check(fcntl(fd, F_SETFL, check(fcntl(fd, F_GETFL, 0), 'fcntl') | SOCK_NONBLOCK), 'fcntl');
  // Fails on a socket.
  fcntl(fd, F_SETPIPE_SZ, PIPE_SIZE);
}
