import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import koffi from 'koffi';
import { Arena } from '../../src/runtime/arena.ts';
import { MSG_PEEK, MSG_TRUNC, SOCK_DGRAM } from '../../src/system/constants.ts';
import { SystemError } from '../../src/system/error.ts';
import { type CLayout, IOVEC, MMSGHDR, MSGHDR, selfTest } from '../../src/system/layout.ts';
import { writeIovec, writePointer } from '../../src/system/memory.ts';
import { addressOf, close, recvmmsg, recvmsg, sendmmsg, sendmsg } from '../../src/system/syscalls.ts';
import { socketpair } from './descriptors.ts';

const arena = new Arena(1 << 20);
const base = addressOf(arena.memory.buffer);
const { bytes, words } = arena;
const [headers, iovecs, payload] = [arena.allocate(4096), arena.allocate(4096), arena.allocate(65536)];
const [a, b] = socketpair();
const [datagramA, datagramB] = socketpair(SOCK_DGRAM);

after(() => {
  for (const fd of [a, b, datagramA, datagramB]) close(fd);
});

/** A message of `lengths` pieces, 1000 bytes apart. */
function message(at: number, iov: number, pieces: number, lengths: readonly number[]): void {
  bytes.fill(0, at, at + MSGHDR.size);
  writePointer(words, at + MSGHDR.iov, base + iov);
  writePointer(words, at + MSGHDR.iovCount, lengths.length);
  lengths.forEach((length, i) => writeIovec(words, iov + i * IOVEC.size, base + pieces + i * 1000, length));
}

test('the layouts agree with the C rules of this machine', () => {
  selfTest(koffi);
});

test('a layout that differs is reported by name, with both numbers', () => {
  const wrong: CLayout = {
    struct: (members) => koffi.struct(members as never),
    pack: (members) => koffi.pack(members as never),
    sizeof: (type) => koffi.sizeof(type as never),
    offsetof: (type, member) => koffi.offsetof(type as never, member) + (member === 'flags' ? 4 : 0),
  };
  assert.throws(
    () => selfTest(wrong),
    (error: unknown) => {
      assert.ok(error instanceof SystemError);
      assert.match(error.message, /msghdr\.flags.*48.*52/);
      return true;
    },
  );
});

test('the kernel gathers and scatters a stream through a hand-written msghdr', () => {
  bytes.set([1, 2, 3], payload);
  bytes.set([4, 5], payload + 1000);
  bytes.set([6], payload + 2000);
  message(headers, iovecs, payload, [3, 2, 1]);
  assert.equal(sendmsg(a, base + headers, 0), 6);

  const target = payload + 10_000;
  bytes.fill(0, target, target + 4000);
  message(headers, iovecs, target, [2, 4]);
  assert.equal(recvmsg(b, base + headers, MSG_PEEK), 6);
  assert.deepEqual([...bytes.subarray(target, target + 3)], [1, 2, 0]);
  assert.deepEqual([...bytes.subarray(target + 1000, target + 1005)], [3, 4, 5, 6, 0]);
});

test('the kernel reports a cut datagram in msg_flags', () => {
  message(headers, iovecs, payload, [100]);
  assert.equal(sendmsg(datagramA, base + headers, 0), 100);
  message(headers, iovecs, payload, [10]);
  assert.equal(recvmsg(datagramB, base + headers, 0), 10);
  assert.equal(words[(headers + MSGHDR.flags) >> 2]! & MSG_TRUNC, MSG_TRUNC);
});

test('a batch of datagrams goes through mmsghdr vectors with each length at its place', () => {
  const lengths = [1, 20, 300];
  lengths.forEach((length, i) => {
    bytes.fill(i + 1, payload + i * 1000, payload + i * 1000 + length);
    message(headers + i * MMSGHDR.size, iovecs + i * IOVEC.size, payload + i * 1000, [length]);
  });
  assert.equal(sendmmsg(datagramA, base + headers, 3, 0), 3);

  const target = payload + 20_000;
  for (let i = 0; i < 4; i++) message(headers + i * MMSGHDR.size, iovecs + i * IOVEC.size, target + i * 1000, [1000]);
  assert.equal(recvmmsg(datagramB, base + headers, 4, 0), 3);
  lengths.forEach((length, i) => {
    assert.equal(words[(headers + i * MMSGHDR.size + MMSGHDR.length) >> 2], length);
    assert.equal(bytes[target + i * 1000 + length - 1], i + 1);
  });
});
