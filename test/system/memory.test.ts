import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { readSockaddr, writeIovec, writePointer, writeSockaddr, writeUnixSockaddr } from '../../src/system/memory.ts';

const bytes = new Uint8Array(256);
const words = new Uint32Array(bytes.buffer);
const view = new DataView(bytes.buffer);
const word = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });

test('a pointer is written as the 64-bit number it is', () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), (value) => {
      writePointer(words, 16, value);
      assert.equal(view.getBigUint64(16, true), BigInt(value));
    }),
  );
});

test('an iovec is an address and a length of 64 bits each', () => {
  bytes.fill(0xff);
  writeIovec(words, 32, 0x7fff_1234_5678_9, 1500);
  assert.equal(view.getBigUint64(32, true), 0x7fff_1234_5678_9n);
  assert.equal(view.getBigUint64(40, true), 1500n);
});

test('any socket address reads back as it was written', () => {
  fc.assert(
    fc.property(word, word, word, word, fc.nat(65535), (w0, w1, w2, w3, port) => {
      bytes.fill(0xff);
      assert.equal(writeSockaddr(bytes, 4, w0, w1, w2, w3, port), w0 === 0 && w1 === 0 && w2 === 0xffff ? 16 : 28);
      assert.deepEqual(readSockaddr(bytes, 4), { words: [w0, w1, w2, w3], port });
    }),
  );
});

test('a mapped IPv4 address becomes sockaddr_in, in network byte order and with its padding cleared', () => {
  bytes.fill(0xff);
  assert.equal(writeSockaddr(bytes, 0, 0, 0, 0xffff, 0xc0a87f02 | 0, 0x1234), 16);
  assert.deepEqual([...bytes.subarray(0, 16)], [2, 0, 0x12, 0x34, 192, 168, 127, 2, 0, 0, 0, 0, 0, 0, 0, 0]);
});

test('an IPv6 address becomes sockaddr_in6 without flow label and scope', () => {
  bytes.fill(0xff);
  assert.equal(writeSockaddr(bytes, 0, 0xfe800000 | 0, 0, 0, 1, 53), 28);
  assert.deepEqual([...bytes.subarray(0, 12)], [10, 0, 0, 53, 0, 0, 0, 0, 0xfe, 0x80, 0, 0]);
  assert.equal(bytes[23], 1);
  assert.deepEqual([...bytes.subarray(24, 28)], [0, 0, 0, 0]);
});

test('an address of another family reads as undefined', () => {
  bytes.fill(0);
  assert.equal(readSockaddr(bytes, 0), undefined);
});

test('a unix path of 107 bytes fits, one of 108 does not', () => {
  assert.equal(writeUnixSockaddr(bytes, 0, 'p'.repeat(107)), 110);
  assert.deepEqual([...bytes.subarray(107, 111)], [0x70, 0x70, 0, 0]);
  assert.equal(writeUnixSockaddr(bytes, 0, 'p'.repeat(108)), -1);
  assert.equal(writeUnixSockaddr(bytes, 0, 'ü'.repeat(54)), -1);
});

test('an empty path and one with a NUL are refused: they would name abstract or cut sockets', () => {
  assert.equal(writeUnixSockaddr(bytes, 0, ''), -1);
  assert.equal(writeUnixSockaddr(bytes, 0, '\0abstract'), -1);
  assert.equal(writeUnixSockaddr(bytes, 0, '/tmp/a\0b'), -1);
});
