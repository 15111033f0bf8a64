/** Error numbers (Linux values; the vocabulary of the data path on every platform). */
import { getSystemErrorMap } from 'node:util';

export const EPERM = 1;
export const ENOENT = 2;
export const EINTR = 4;
export const EIO = 5;
export const ENXIO = 6;
export const EBADF = 9;
export const EAGAIN = 11;
export const ENOMEM = 12;
export const EACCES = 13;
export const EBUSY = 16;
export const EEXIST = 17;
export const ENODEV = 19;
export const EINVAL = 22;
export const ENFILE = 23;
export const EMFILE = 24;
export const EPIPE = 32;
export const EBADFD = 77;
export const ENOTSOCK = 88;
export const EMSGSIZE = 90;
export const EPROTOTYPE = 91;
export const EPROTONOSUPPORT = 93;
export const EAFNOSUPPORT = 97;
export const EADDRINUSE = 98;
export const EADDRNOTAVAIL = 99;
export const ENETDOWN = 100;
export const ENETUNREACH = 101;
export const ECONNABORTED = 103;
export const ECONNRESET = 104;
export const ENOBUFS = 105;
export const ENOTCONN = 107;
export const ETIMEDOUT = 110;
export const ECONNREFUSED = 111;
export const EHOSTUNREACH = 113;
export const EINPROGRESS = 115;

const TEXTS: ReadonlyMap<number, readonly [code: string, text: string]> = new Map([
  [EPERM, ['EPERM', 'operation not permitted']],
  [ENOENT, ['ENOENT', 'no such file or directory']],
  [EINTR, ['EINTR', 'interrupted system call']],
  [EIO, ['EIO', 'input/output error']],
  [ENXIO, ['ENXIO', 'no such device or address']],
  [EBADF, ['EBADF', 'bad file descriptor']],
  [EAGAIN, ['EAGAIN', 'resource temporarily unavailable']],
  [ENOMEM, ['ENOMEM', 'cannot allocate memory']],
  [EACCES, ['EACCES', 'permission denied']],
  [EBUSY, ['EBUSY', 'device or resource busy']],
  [EEXIST, ['EEXIST', 'file exists']],
  [ENODEV, ['ENODEV', 'no such device']],
  [EINVAL, ['EINVAL', 'invalid argument']],
  [ENFILE, ['ENFILE', 'too many open files in system']],
  [EMFILE, ['EMFILE', 'too many open files']],
  [EPIPE, ['EPIPE', 'broken pipe']],
  [ENOTSOCK, ['ENOTSOCK', 'socket operation on non-socket']],
  [EBADFD, ['EBADFD', 'file descriptor in bad state']],
  [EMSGSIZE, ['EMSGSIZE', 'message too long']],
  [EPROTOTYPE, ['EPROTOTYPE', 'protocol wrong type for socket']],
  [EPROTONOSUPPORT, ['EPROTONOSUPPORT', 'protocol not supported']],
  [EAFNOSUPPORT, ['EAFNOSUPPORT', 'address family not supported by protocol']],
  [EADDRINUSE, ['EADDRINUSE', 'address already in use']],
  [EADDRNOTAVAIL, ['EADDRNOTAVAIL', 'cannot assign requested address']],
  [ENETDOWN, ['ENETDOWN', 'network is down']],
  [ENETUNREACH, ['ENETUNREACH', 'network is unreachable']],
  [ECONNABORTED, ['ECONNABORTED', 'connection aborted']],
  [ECONNRESET, ['ECONNRESET', 'connection reset by peer']],
  [ENOBUFS, ['ENOBUFS', 'no buffer space available']],
  [ENOTCONN, ['ENOTCONN', 'socket is not connected']],
  [ETIMEDOUT, ['ETIMEDOUT', 'connection timed out']],
  [ECONNREFUSED, ['ECONNREFUSED', 'connection refused']],
  [EHOSTUNREACH, ['EHOSTUNREACH', 'no route to host']],
  [EINPROGRESS, ['EINPROGRESS', 'operation now in progress']],
]);

/** libuv's own numbers begin here. */
const KERNEL_LIMIT = 3000;

/** What users meet and the code never asks for (`ENOTDIR`) is in Node's list. */
function described(errno: number): readonly [code: string, text: string] | undefined {
  return TEXTS.get(errno) ?? (errno < KERNEL_LIMIT ? getSystemErrorMap().get(-errno) : undefined);
}

/** `EADDRINUSE` for 98; `E4095` for a number that nobody knows. */
export function errnoName(errno: number): string {
  return described(errno)?.[0] ?? `E${errno}`;
}

export function errnoText(errno: number): string {
  return described(errno)?.[1] ?? `error ${errno}`;
}
