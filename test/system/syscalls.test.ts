import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Arena } from '../../src/runtime/arena.ts';
import * as k from '../../src/system/constants.ts';
import { EADDRINUSE, EAGAIN, EBADF, ECONNREFUSED, EINPROGRESS } from '../../src/system/errno.ts';
import { EPOLL_EVENT } from '../../src/system/layout.ts';
import { readSockaddr, writeSockaddr, writeUnixSockaddr } from '../../src/system/memory.ts';
import * as sys from '../../src/system/syscalls.ts';
import { socketpair } from './descriptors.ts';

const arena = new Arena(1 << 20);
const base = sys.addressOf(arena.memory.buffer);
const at = arena.allocate(4096);
const other = arena.allocate(4096);
const LOOPBACK = 0x7f000001;
const LENGTH_AT = at + 256;
let folder = '';
const open: number[] = [];

before(() => {
  sys.load();
  folder = mkdtempSync(join(tmpdir(), 'guestwire-test-'));
});

after(() => {
  for (const fd of open) sys.close(fd);
  rmSync(folder, { recursive: true, force: true });
});

function opened(fd: number): number {
  assert.ok(fd >= 0, `errno ${-fd}`);
  open.push(fd);
  return fd;
}

function pair(type?: number): [number, number] {
  const fds = socketpair(type);
  open.push(...fds);
  return fds;
}

function listenLoopback(): { fd: number; port: number } {
  const fd = opened(sys.socket(k.AF_INET, k.SOCK_STREAM | k.SOCK_NONBLOCK | k.SOCK_CLOEXEC, 0));
  assert.equal(sys.bindSocket(fd, base + at, writeSockaddr(arena.bytes, at, 0, 0, 0xffff, LOOPBACK, 0)), 0);
  assert.equal(sys.listen(fd, 16), 0);
  arena.words[LENGTH_AT >> 2] = 128;
  assert.equal(sys.getsockname(fd, base + at, base + LENGTH_AT), 0);
  assert.equal(arena.words[LENGTH_AT >> 2], 16);
  return { fd, port: readSockaddr(arena.bytes, at)!.port };
}

test('bytes written on one end of a socket pair are read on the other', () => {
  const [a, b] = pair();
  arena.bytes.set([1, 2, 3, 4, 5], at);
  assert.equal(sys.write(a, base + at, 5), 5);
  assert.equal(sys.read(b, base + other, 100), 5);
  assert.deepEqual([...arena.bytes.subarray(other, other + 5)], [1, 2, 3, 4, 5]);
});

test('a read with nothing there is -EAGAIN, after the peer closed 0', () => {
  const [a, b] = pair();
  assert.equal(sys.read(b, base + at, 10), -EAGAIN);
  assert.equal(sys.shutdown(a, k.SHUT_WR), 0);
  assert.equal(sys.read(b, base + at, 10), 0);
});

test('MSG_PEEK leaves the bytes in the queue and MSG_TRUNC drops them from a TCP socket', () => {
  const listener = listenLoopback();
  const client = opened(sys.socket(k.AF_INET, k.SOCK_STREAM, 0));
  assert.equal(sys.connect(client, base + at, writeSockaddr(arena.bytes, at, 0, 0, 0xffff, LOOPBACK, listener.port)), 0);
  const server = opened(sys.accept4(listener.fd, 0, 0, k.SOCK_NONBLOCK));
  arena.bytes.set([7, 8, 9], at);
  assert.equal(sys.send(client, base + at, 3, k.MSG_NOSIGNAL), 3);
  assert.equal(sys.recv(server, base + other, 10, k.MSG_PEEK), 3);
  assert.equal(sys.recv(server, 0, 2, k.MSG_TRUNC), 2);
  assert.equal(sys.recv(server, base + other, 10, 0), 1);
  assert.equal(arena.bytes[other], 9);
});

test('a second bind of the same address is -EADDRINUSE', () => {
  const { port } = listenLoopback();
  const fd = opened(sys.socket(k.AF_INET, k.SOCK_STREAM, 0));
  assert.equal(sys.bindSocket(fd, base + at, writeSockaddr(arena.bytes, at, 0, 0, 0xffff, LOOPBACK, port)), -EADDRINUSE);
});

test('a refused connect is in progress first and then in SO_ERROR', () => {
  const { fd: listener, port } = listenLoopback();
  sys.close(open.splice(open.indexOf(listener), 1)[0]!);
  const fd = opened(sys.socket(k.AF_INET, k.SOCK_STREAM | k.SOCK_NONBLOCK, 0));
  const started = sys.connect(fd, base + at, writeSockaddr(arena.bytes, at, 0, 0, 0xffff, LOOPBACK, port));
  assert.ok(started === -EINPROGRESS || started === -ECONNREFUSED, String(started));
  if (started === -EINPROGRESS) {
    arena.words[LENGTH_AT >> 2] = 4;
    assert.equal(sys.getsockopt(fd, k.SOL_SOCKET, k.SO_ERROR, base + at, base + LENGTH_AT), 0);
    assert.equal(arena.words[at >> 2], ECONNREFUSED);
  }
});

test('setsockopt is read back by getsockopt', () => {
  const fd = opened(sys.socket(k.AF_INET, k.SOCK_STREAM, 0));
  for (const [level, name] of [
    [k.IPPROTO_TCP, k.TCP_NODELAY],
    [k.SOL_SOCKET, k.SO_KEEPALIVE],
    [k.SOL_SOCKET, k.SO_REUSEADDR],
  ] as const) {
    arena.words[at >> 2] = 1;
    assert.equal(sys.setsockopt(fd, level, name, base + at, 4), 0);
    arena.words[at >> 2] = 0;
    arena.words[LENGTH_AT >> 2] = 4;
    assert.equal(sys.getsockopt(fd, level, name, base + at, base + LENGTH_AT), 0);
    assert.ok(arena.words[at >> 2]! > 0);
  }
});

test('an IPv6 address written for bind is what getsockname reads', (t) => {
  const fd = opened(sys.socket(k.AF_INET6, k.SOCK_DGRAM, 0));
  const bound = sys.bindSocket(fd, base + at, writeSockaddr(arena.bytes, at, 0, 0, 0, 1, 0));
  if (bound < 0) return t.skip('no IPv6 here');
  arena.words[LENGTH_AT >> 2] = 128;
  assert.equal(sys.getsockname(fd, base + at, base + LENGTH_AT), 0);
  const address = readSockaddr(arena.bytes, at)!;
  assert.deepEqual(address.words, [0, 0, 0, 1]);
  assert.ok(address.port > 0);
});

test('a unix socket is listened on and connected to by path', () => {
  const path = join(folder, 'a.sock');
  const listener = opened(sys.socket(k.AF_UNIX, k.SOCK_STREAM | k.SOCK_NONBLOCK, 0));
  assert.equal(sys.bindSocket(listener, base + at, writeUnixSockaddr(arena.bytes, at, path)), 0);
  assert.equal(sys.listen(listener, 1), 0);
  const client = opened(sys.socket(k.AF_UNIX, k.SOCK_STREAM, 0));
  assert.equal(sys.connect(client, base + at, writeUnixSockaddr(arena.bytes, at, path)), 0);
  opened(sys.accept4(listener, 0, 0, k.SOCK_NONBLOCK));
});

test('epoll hands back both data words of the event that was registered', () => {
  const epoll = opened(sys.epollCreate(0));
  const [a, b] = pair();
  const view = new DataView(arena.memory.buffer);
  view.setUint32(at + EPOLL_EVENT.events, k.EPOLLIN | k.EPOLLOUT, true);
  view.setUint32(at + EPOLL_EVENT.data, 0xdeadbeef, true);
  view.setUint32(at + EPOLL_EVENT.data + 4, 0x89abcdef, true);
  assert.equal(sys.epollCtl(epoll, k.EPOLL_CTL_ADD, a, base + at), 0);
  view.setUint32(at + EPOLL_EVENT.events, k.EPOLLIN, true);
  view.setUint32(at + EPOLL_EVENT.data, 5, true);
  assert.equal(sys.epollCtl(epoll, k.EPOLL_CTL_ADD, b, base + at), 0);
  sys.write(a, base + at, 1);

  assert.equal(sys.epollWait(epoll, base + other, 8, 0), 2);
  const events = [0, 1].map((i) => other + i * EPOLL_EVENT.size);
  const seen = events.map((e) => [view.getUint32(e + EPOLL_EVENT.data, true), view.getUint32(e + EPOLL_EVENT.data + 4, true)]);
  assert.deepEqual(
    seen.sort((x, y) => x[0]! - y[0]!),
    [
      [5, 0x89abcdef],
      [0xdeadbeef, 0x89abcdef],
    ],
  );
  assert.equal(sys.epollCtl(epoll, k.EPOLL_CTL_DEL, b, base + at), 0);
  assert.equal(sys.epollWait(epoll, base + other, 8, 0), 1);
  assert.equal(view.getUint32(other + EPOLL_EVENT.events, true), k.EPOLLOUT);
});

test('a duplicate goes on when the first descriptor is closed, and is not handed to programs', () => {
  const [a, b] = pair();
  const twin = opened(sys.duplicate(a));
  assert.notEqual(twin, a);
  sys.close(open.splice(open.indexOf(a), 1)[0]!);
  arena.bytes.set([7, 8, 9], at);
  assert.equal(sys.write(twin, base + at, 3), 3);
  assert.equal(sys.read(b, base + other, 100), 3);
  const [, flags] = /^flags:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${twin}`, 'utf8'))!;
  assert.equal(Number.parseInt(flags!, 8) & k.SOCK_CLOEXEC, k.SOCK_CLOEXEC);
});

test('a descriptor that is not open has no duplicate', () => {
  assert.equal(sys.duplicate(1_000_000), -EBADF);
});
