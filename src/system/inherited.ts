/** Sockets that whoever started this program has opened for it: `fd:3` (a shell, systemd, a supervisor). */
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  AF_VSOCK,
  F_GETFL,
  F_SETFD,
  F_SETFL,
  FD_CLOEXEC,
  SO_ACCEPTCONN,
  SO_DOMAIN,
  SO_TYPE,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
} from './constants.ts';
import { EBADF, EINVAL, ENOTSOCK } from './errno.ts';
import { check, SystemError } from './error.ts';
import { scratchAddress, scratchLength, scratchWords } from './scratch.ts';
import { fcntl, getsockopt, load } from './syscalls.ts';

export interface InheritedSocket {
  /** Nonblocking, closed when a program is started; the caller's to close. */
  readonly fd: number;
  /** AF_UNIX, AF_INET, … */
  readonly family: number;
  /** SOCK_STREAM, SOCK_DGRAM, … */
  readonly type: number;
  /** Others connect to it. */
  readonly listening: boolean;
}

/** Descriptors that are in use: a second user would take the first one's bytes. */
const taken = new Set<number>();

/** The number in `fd:3`; undefined when that is another kind of text. Throws TypeError for what is no number. */
export function parseDescriptor(text: string): number | undefined {
  const digits = /^fd:(.*)$/is.exec(text)?.[1];
  if (digits === undefined) return undefined;
  if (!/^\d{1,9}$/.test(digits)) throw new TypeError(`${JSON.stringify(text)} names no descriptor: want fd: and its number, fd:3`);
  return Number(digits);
}

/** Takes a socket into use. Throws SystemError when `fd` is none, or was taken before. */
export function takeInherited(fd: number): InheritedSocket {
  load();
  const context = { address: `fd:${fd}` };
  if (taken.has(fd)) throw new SystemError('open', EINVAL, { ...context, advice: 'this descriptor is in use already' });
  const type = option(fd, SO_TYPE);
  if (type === -EBADF) throw new SystemError('open', EBADF, { ...context, advice: 'whoever starts this program has to open it' });
  if (type === -ENOTSOCK) throw new SystemError('open', ENOTSOCK, { ...context, advice: 'want a descriptor of a socket' });
  check(type, 'getsockopt', context);
  const family = check(option(fd, SO_DOMAIN), 'getsockopt', context);
  const listening = check(option(fd, SO_ACCEPTCONN), 'getsockopt', context) !== 0;
  check(fcntl(fd, F_SETFD, FD_CLOEXEC), 'fcntl', context);
  check(fcntl(fd, F_SETFL, check(fcntl(fd, F_GETFL, 0), 'fcntl', context) | SOCK_NONBLOCK), 'fcntl', context);
  taken.add(fd);
  return { fd, family, type, listening };
}

/** As takeInherited, for a stream socket that others connect to. */
export function takeInheritedListener(fd: number): InheritedSocket {
  const inherited = takeInherited(fd);
  if (inherited.type === SOCK_STREAM && inherited.listening) return inherited;
  giveBack(fd);
  const what = inherited.type === SOCK_STREAM ? 'a connection' : `a ${inherited.type === SOCK_DGRAM ? 'datagram' : 'packet'} socket`;
  throw new SystemError('accept', EINVAL, { address: `fd:${fd}`, advice: `this is ${what}: want a stream socket that listens` });
}

/** The descriptor is closed: its number may come to mean another socket. */
export function giveBack(fd: number): void {
  taken.delete(fd);
}

/** `unix`, `tcp`, `vsock`; the number of any other. */
export function familyName(family: number): string {
  const names: Record<number, string> = { [AF_UNIX]: 'unix', [AF_INET]: 'tcp', [AF_INET6]: 'tcp', [AF_VSOCK]: 'vsock' };
  return names[family] ?? `family ${family}`;
}

/** Negative errno. */
function option(fd: number, name: number): number {
  const status = getsockopt(fd, SOL_SOCKET, name, scratchAddress(), scratchLength(4));
  return status < 0 ? status : scratchWords[0]!;
}
