import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as arp from '../../src/packet/arp.ts';

/** A request of 192.168.127.2 at 5a:94:ef:e4:0c:ee for 192.168.127.1. */
const REQUEST = '0001080006040001' + '5a94efe40ceec0a87f02' + '000000000000c0a87f01';

test('writes a request byte for byte, touching nothing around it', () => {
  const bytes = new Uint8Array(arp.LENGTH + 20).fill(0xa5);
  arp.write(bytes, 10, arp.REQUEST, 0x5a94, 0xefe40cee | 0, 0xc0a87f02 | 0, 0, 0, 0xc0a87f01 | 0);
  assert.equal(Buffer.from(bytes).toString('hex'), 'a5'.repeat(10) + REQUEST + 'a5'.repeat(10));
});

test('reads back every field', () => {
  const bytes = Buffer.from('ff'.repeat(3) + REQUEST, 'hex');
  assert.equal(arp.isIpv4OverEthernet(bytes, 3), true);
  assert.equal(arp.operation(bytes, 3), arp.REQUEST);
  assert.equal(arp.senderMacHi(bytes, 3), 0x5a94);
  assert.equal(arp.senderMacLo(bytes, 3), 0xefe40cee | 0);
  assert.equal(arp.senderAddress(bytes, 3), 0xc0a87f02 | 0);
  assert.equal(arp.targetAddress(bytes, 3), 0xc0a87f01 | 0);
});

test('any other hardware type, protocol type or address length is not ours', () => {
  for (let at = 0; at < 6; at++) {
    const bytes = Buffer.from(REQUEST, 'hex');
    bytes[at]! ^= 1;
    assert.equal(arp.isIpv4OverEthernet(bytes, 0), false, `byte ${at}`);
  }
});
