/**
 * System calls. Every argument is a number (pointers are addresses), every result is a number: what the call returned, or
 * the negative errno. Nothing here allocates, and every descriptor is used without blocking.
 *
 * The library is loaded on the first use of `load`, so importing this file works everywhere.
 */
import koffi, { type KoffiFunc } from 'koffi';
import { F_DUPFD_CLOEXEC, SOCK_CLOEXEC } from './constants.ts';
import { EINVAL } from './errno.ts';
import { SystemError } from './error.ts';
import { selfTest } from './layout.ts';

/** Node's watch on a descriptor. */
export interface PollHandle {
  ref(): void;
  unref(): void;
  close(): void;
}

type Call = (...args: number[]) => number;

function supported(): boolean {
  return process.platform === 'linux' && (process.arch === 'x64' || process.arch === 'arm64');
}

const libc = supported() ? koffi.load(null) : undefined;

function bind(declaration: string): Call {
  if (libc === undefined) {
    return () => {
      throw new SystemError('load', EINVAL, { advice: 'the data path needs Linux on x64 or arm64' });
    };
  }
  return libc.func(declaration) as unknown as Call;
}

const c = {
  socket: bind('int socket(int, int, int)'),
  socketpair: bind('int socketpair(int, int, int, int64_t)'),
  bind: bind('int bind(int, int64_t, int)'),
  connect: bind('int connect(int, int64_t, int)'),
  listen: bind('int listen(int, int)'),
  accept4: bind('int accept4(int, int64_t, int64_t, int)'),
  getsockname: bind('int getsockname(int, int64_t, int64_t)'),
  getpeername: bind('int getpeername(int, int64_t, int64_t)'),
  read: bind('int64_t read(int, int64_t, int64_t)'),
  write: bind('int64_t write(int, int64_t, int64_t)'),
  recv: bind('int64_t recv(int, int64_t, int64_t, int)'),
  send: bind('int64_t send(int, int64_t, int64_t, int)'),
  recvmsg: bind('int64_t recvmsg(int, int64_t, int)'),
  sendmsg: bind('int64_t sendmsg(int, int64_t, int)'),
  recvmmsg: bind('int recvmmsg(int, int64_t, int, int, int64_t)'),
  sendmmsg: bind('int sendmmsg(int, int64_t, int, int)'),
  getsockopt: bind('int getsockopt(int, int, int, int64_t, int64_t)'),
  setsockopt: bind('int setsockopt(int, int, int, int64_t, int)'),
  fcntl: bind('int fcntl(int, int, int)'),
  dup3: bind('int dup3(int, int, int)'),
  ioctl: bind('int ioctl(int, int64_t, int64_t)'),
  shutdown: bind('int shutdown(int, int)'),
  close: bind('int close(int)'),
  epollCreate: bind('int epoll_create1(int)'),
  epollCtl: bind('int epoll_ctl(int, int, int, int64_t)'),
  epollWait: bind('int epoll_wait(int, int64_t, int, int)'),
  usleep: bind('int usleep(unsigned int)'),
} as const;

function result(value: number): number {
  return value < 0 ? -koffi.errno() : value;
}

export function socket(domain: number, type: number, protocol: number): number {
  return result(c.socket(domain, type, protocol));
}

/** Two descriptors, as 32-bit words at `pair`. */
export function socketpair(domain: number, type: number, protocol: number, pair: number): number {
  return result(c.socketpair(domain, type, protocol, pair));
}

export function bindSocket(fd: number, address: number, length: number): number {
  return result(c.bind(fd, address, length));
}

export function connect(fd: number, address: number, length: number): number {
  return result(c.connect(fd, address, length));
}

export function listen(fd: number, backlog: number): number {
  return result(c.listen(fd, backlog));
}

export function accept4(fd: number, address: number, lengthAt: number, flags: number): number {
  return result(c.accept4(fd, address, lengthAt, flags));
}

export function getsockname(fd: number, address: number, lengthAt: number): number {
  return result(c.getsockname(fd, address, lengthAt));
}

export function getpeername(fd: number, address: number, lengthAt: number): number {
  return result(c.getpeername(fd, address, lengthAt));
}

export function read(fd: number, address: number, count: number): number {
  return result(c.read(fd, address, count));
}

export function write(fd: number, address: number, count: number): number {
  return result(c.write(fd, address, count));
}

export function recv(fd: number, address: number, count: number, flags: number): number {
  return result(c.recv(fd, address, count, flags));
}

export function send(fd: number, address: number, count: number, flags: number): number {
  return result(c.send(fd, address, count, flags));
}

export function recvmsg(fd: number, header: number, flags: number): number {
  return result(c.recvmsg(fd, header, flags));
}

export function sendmsg(fd: number, header: number, flags: number): number {
  return result(c.sendmsg(fd, header, flags));
}

export function recvmmsg(fd: number, headers: number, count: number, flags: number): number {
  return result(c.recvmmsg(fd, headers, count, flags, 0));
}

export function sendmmsg(fd: number, headers: number, count: number, flags: number): number {
  return result(c.sendmmsg(fd, headers, count, flags));
}

export function getsockopt(fd: number, level: number, name: number, value: number, lengthAt: number): number {
  return result(c.getsockopt(fd, level, name, value, lengthAt));
}

export function setsockopt(fd: number, level: number, name: number, value: number, length: number): number {
  return result(c.setsockopt(fd, level, name, value, length));
}

/** A second descriptor of the same socket, closed when a program is started. */
export function duplicate(fd: number): number {
  return result(c.fcntl(fd, F_DUPFD_CLOEXEC, 0));
}

/** The lowest free descriptor from `lowest` on, of what `fd` is one of, made by another thread: `done` gets it, or a negative number. */
export function duplicateAbove(fd: number, lowest: number, done: (copy: number) => void): void {
  (c.fcntl as KoffiFunc<Call>).async(fd, F_DUPFD_CLOEXEC, lowest, (error, copy) => done(error === null ? copy : -EINVAL));
}

/** Makes `other` a descriptor of what `fd` is one of, instead of what it was; closed when a program is started. */
export function replaceDescriptor(fd: number, other: number): number {
  return result(c.dup3(fd, other, SOCK_CLOEXEC));
}

export function fcntl(fd: number, command: number, argument: number): number {
  return result(c.fcntl(fd, command, argument));
}

/** `argument`: an address, or the number itself where the request wants one. */
export function ioctl(fd: number, request: number, argument: number): number {
  return result(c.ioctl(fd, request, argument));
}

export function shutdown(fd: number, how: number): number {
  return result(c.shutdown(fd, how));
}

export function close(fd: number): number {
  return result(c.close(fd));
}

/** Sleeps for `microseconds`, below a million, and what the kernel adds to it (about 50 unless its timer slack was changed). */
export function usleep(microseconds: number): number {
  return result(c.usleep(microseconds));
}

export function epollCreate(flags: number): number {
  return result(c.epollCreate(flags));
}

export function epollCtl(epoll: number, operation: number, fd: number, event: number): number {
  return result(c.epollCtl(epoll, operation, fd, event));
}

/** `timeout` in milliseconds. */
export function epollWait(epoll: number, events: number, limit: number, timeout: number): number {
  return result(c.epollWait(epoll, events, limit, timeout));
}

/** Address of an ArrayBuffer's memory. It must not move: a fixed-size WebAssembly.Memory's does not. */
export function addressOf(buffer: ArrayBuffer): number {
  return Number(koffi.address(buffer));
}

/** Calls back whenever `fd` is readable, from Node's own loop. Keep the handle: when it is collected the calls end. */
export function pollReadable(fd: number, ready: () => void): PollHandle {
  return poll(fd, { readable: true }, ready);
}

/** As pollReadable, for `fd` becoming writable, or failing. */
export function pollWritable(fd: number, ready: () => void): PollHandle {
  return poll(fd, { writable: true, disconnect: true }, ready);
}

function poll(fd: number, events: { readable?: boolean; writable?: boolean; disconnect?: boolean }, ready: () => void): PollHandle {
  return koffi.node.poll(fd, events, () => {
    // From Node 26 on promises and ticks are not run after a native poll's callback, but after an immediate they are.
    setImmediate(nothing);
    ready();
  });
}

function nothing(): void {}

let proven = false;

/** Proves the struct layouts once per process. Throws SystemError when this machine is not supported. */
export function load(): void {
  if (proven) return;
  if (libc === undefined) {
    throw new SystemError('load', EINVAL, {
      address: `${process.platform}-${process.arch}`,
      advice: 'guestwire needs Linux on x64 or arm64',
    });
  }
  selfTest(koffi);
  proven = true;
}
