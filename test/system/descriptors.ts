/** Descriptors for tests: the calls that the product itself has no use for. */
import koffi from 'koffi';
import { AF_UNIX, SOCK_NONBLOCK, SOCK_STREAM } from '../../src/system/constants.ts';
import { addressOf } from '../../src/system/syscalls.ts';

const libc = koffi.load(null);
const socketpairCall = libc.func('int socketpair(int, int, int, int64_t)');
const eventfdCall = libc.func('int eventfd(unsigned int, int)');

/** Two connected unix sockets that never block. */
export function socketpair(type: number = SOCK_STREAM): [number, number] {
  const fds = new Int32Array(new ArrayBuffer(8));
  if (socketpairCall(AF_UNIX, type | SOCK_NONBLOCK, 0, addressOf(fds.buffer)) < 0) throw new Error(`socketpair: errno ${koffi.errno()}`);
  return [fds[0]!, fds[1]!];
}

/** A counter that is readable while it is not zero. */
export function eventfd(initial: number): number {
  const fd: number = eventfdCall(initial, SOCK_NONBLOCK);
  if (fd < 0) throw new Error(`eventfd: errno ${koffi.errno()}`);
  return fd;
}
