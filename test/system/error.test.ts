import assert from 'node:assert/strict';
import { constants } from 'node:os';
import { test } from 'node:test';
import * as errno from '../../src/system/errno.ts';
import { check, SystemError } from '../../src/system/error.ts';

test('a SystemError reads like those of Node', () => {
  const error = new SystemError('bind', errno.EADDRINUSE, { address: '127.0.0.1', port: 2222 });
  assert.equal(error.message, 'bind EADDRINUSE 127.0.0.1:2222: address already in use');
  assert.equal(error.code, 'EADDRINUSE');
  assert.equal(error.errno, 98);
  assert.equal(error.syscall, 'bind');
  assert.equal(error.address, '127.0.0.1');
  assert.equal(error.port, 2222);
  assert.ok(error instanceof Error);
});

test('advice follows the error text and an address may come without a port', () => {
  const error = new SystemError('bind', errno.EACCES, { address: '/run/vm.sock', advice: 'is the folder yours?' });
  assert.equal(error.message, 'bind EACCES /run/vm.sock: permission denied (is the folder yours?)');
  assert.equal(error.port, undefined);
});

test('check hands a result back and throws a negative errno', () => {
  assert.equal(check(0, 'read'), 0);
  assert.equal(check(7, 'read'), 7);
  assert.throws(() => check(-errno.ECONNREFUSED, 'connect'), { code: 'ECONNREFUSED', syscall: 'connect', errno: 111 });
});

test('a number that is not listed has the name and text that Node has for it', { skip: process.platform !== 'linux' }, () => {
  const { ENOTDIR, EROFS } = constants.errno;
  assert.deepEqual([errno.errnoName(ENOTDIR), errno.errnoText(ENOTDIR)], ['ENOTDIR', 'not a directory']);
  assert.deepEqual([errno.errnoName(EROFS as number), errno.errnoText(EROFS as number)], ['EROFS', 'read-only file system']);
});

test('a number without a name keeps its number', () => {
  assert.equal(errno.errnoName(4095), 'E4095');
  assert.equal(errno.errnoText(4095), 'error 4095');
});

test('every listed number is the one of this system and has a name and a text', { skip: process.platform !== 'linux' }, () => {
  const listed = Object.entries(errno);
  // asm-generic/errno.h has one that Node leaves out.
  const known: Readonly<Record<string, number>> = { ...constants.errno, EBADFD: 77 };
  assert.ok(listed.length > 20);
  for (const [name, number] of listed) {
    if (typeof number !== 'number') continue;
    assert.equal(number, known[name], name);
    assert.equal(errno.errnoName(number), name);
    assert.doesNotMatch(errno.errnoText(number), /^error \d/);
  }
});
