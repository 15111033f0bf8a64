import assert from 'node:assert/strict';
import { test } from 'node:test';
import { finish, sum } from '../../src/packet/checksum.ts';
import * as icmp from '../../src/packet/icmpv4.ts';

/** `ping -c1 -s 8`, identifier 0x1234, sequence 1: the checksum was computed by hand. */
const ECHO = '0800' + '7cc5' + '12340001' + '6162636465666768';

test('writes an echo request byte for byte, touching nothing around it', () => {
  const bytes = new Uint8Array(36).fill(0xa5);
  icmp.write(bytes, 10, icmp.ECHO_REQUEST, 0, 0x12340001);
  bytes.set(Buffer.from('abcdefgh'), 10 + icmp.HEADER);
  icmp.setChecksum(bytes, 10, finish(sum(bytes, 10, 16)));
  // 0800 + 1234 + 0001 + 6162 + 6364 + 6566 + 6768 = 1ABC9 → ABCA, whose complement is 5435.
  assert.equal(Buffer.from(bytes).toString('hex'), 'a5'.repeat(10) + ECHO.replace('7cc5', '5435') + 'a5'.repeat(10));
});

test('reads back every field', () => {
  const bytes = Buffer.from('ff'.repeat(5) + ECHO, 'hex');
  assert.equal(icmp.type(bytes, 5), icmp.ECHO_REQUEST);
  assert.equal(icmp.code(bytes, 5), 0);
  assert.equal(icmp.identifier(bytes, 5), 0x1234);
  assert.equal(icmp.sequence(bytes, 5), 1);
  assert.equal(icmp.nextHopMtu(Buffer.from('0304000000000578', 'hex'), 0), 1400);
});

test('errors are the five types that must never be answered with an error', () => {
  const errors = Array.from({ length: 256 }, (_, type) => type).filter((type) => icmp.isError(type));
  assert.deepEqual(errors, [3, 4, 5, 11, 12]);
});
