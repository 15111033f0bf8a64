import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import * as icmp from '../../src/packet/icmpv6.ts';
import { MINIMUM_MTU } from '../../src/packet/ipv6.ts';
import * as ndp from '../../src/packet/ndp.ts';

const TARGET = [0xfd010203 | 0, 0x04050607, 0, 2] as const;

test('writes a solicitation and an advertisement byte for byte', () => {
  const bytes = Buffer.alloc(ndp.WITH_ADDRESS + 4, 0xa5);
  ndp.writeSolicitation(bytes, 2, ...TARGET, 0x5a94, 0xefe40cdd | 0);
  assert.equal(bytes.toString('hex'), 'a5a5' + '8700000000000000' + 'fd010203040506070000000000000002' + '01015a94efe40cdd' + 'a5a5');
  ndp.writeAdvertisement(bytes, 2, ndp.ROUTER | ndp.SOLICITED | ndp.OVERRIDE, ...TARGET, 0x5a94, 0xefe40cdd | 0);
  assert.equal(bytes.toString('hex'), 'a5a5' + '88000000e0000000' + 'fd010203040506070000000000000002' + '02015a94efe40cdd' + 'a5a5');
});

test('writes a router advertisement byte for byte', () => {
  const bytes = Buffer.alloc(1400, 0xa5);
  const length = ndp.writeRouterAdvertisement(bytes, 1, {
    macHi: 0x5a94,
    macLo: 0xefe40cdd | 0,
    prefix: [0xfd010203 | 0, 0x04050607],
    mtu: 1500,
    lifetime: 65_535,
    resolver: [0xfd010203 | 0, 0x04050607, 0, 1],
    searchList: [Buffer.from('\x03lan\x00', 'latin1'), Buffer.from('\x04corp\x05tests\x00', 'latin1')],
  });
  assert.equal(
    bytes.subarray(0, length + 2).toString('hex'),
    'a5' +
      '8600000040c0ffff' +
      '0000000000000000' +
      '01015a94efe40cdd' +
      '05010000000005dc' +
      '030440c0ffffffffffffffff00000000fd010203040506070000000000000000' +
      '190300000000ffff' +
      'fd010203040506070000000000000001' +
      '1f0400000000ffff' +
      '036c616e00' +
      '04636f727005746573747300' +
      '00000000000000' +
      'a5',
  );
});

test('a search list longer than any link carries is cut between two names', () => {
  const name = Buffer.concat([Buffer.from([60]), Buffer.alloc(60, 'a'), Buffer.from([0])]);
  const bytes = Buffer.alloc(4096, 0xa5);
  const write = (count: number): number =>
    ndp.writeRouterAdvertisement(bytes, 0, {
      macHi: 0,
      macLo: 0,
      prefix: [0, 0],
      mtu: 1280,
      lifetime: 1,
      resolver: [0, 0, 0, 0],
      searchList: Array.from({ length: count }, () => name),
    });
  assert.equal(write(0), 88);
  const lengths = Array.from({ length: 40 }, (_, i) => write(i));
  assert.ok(Math.max(...lengths) <= MINIMUM_MTU - 40, `${Math.max(...lengths)}`);
  assert.equal(ndp.options(bytes, 16, lengths.at(-1)!), ndp.HAS_SOURCE_ADDRESS);
  assert.equal(bytes[lengths.at(-1)!], 0xa5);
});

test('options without a length or beyond the end spoil a message', () => {
  const options = (hex: string): number => ndp.options(Buffer.from(hex, 'hex'), 0, hex.length / 2);
  assert.equal(options(''), 0);
  assert.equal(options('0e01000000000000'), 0, 'one that is not known');
  assert.equal(options('0e01000000000000' + '01015a94efe40cee'), ndp.HAS_SOURCE_ADDRESS);
  assert.equal(options('0e00000000000000'), -1);
  assert.equal(options('01025a94efe40cee'), -1);
  assert.equal(options('01'), -1);
  fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => ndp.options(bytes, 0, bytes.length) <= ndp.HAS_SOURCE_ADDRESS));
});

test('messages below 128 are errors; an MTU is unsigned', () => {
  assert.deepEqual([icmp.isError(1), icmp.isError(127), icmp.isError(128), icmp.isError(255)], [true, true, false, false]);
  assert.equal(icmp.mtu(Buffer.from('02000000ffffffff', 'hex'), 0), 0xffffffff);
});
