import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import * as dhcp from '../../src/packet/dhcpv6.ts';

/** A SOLICIT as dhclient 4.4 sends it, its IA_NA without addresses. */
const SOLICIT =
  '01abcdef' + '0001000e000100012cd9a1b25a94efe40cee' + '0006000400170018' + '000800020000' + '0003000cefe40cee00000e1000001518';

test('reads a SOLICIT of a client', () => {
  const message = dhcp.readDhcp6(Buffer.from(SOLICIT, 'hex'))!;
  assert.deepEqual([message.type, message.transaction], [dhcp.SOLICIT, 0xabcdef]);
  const duid = dhcp.option(message.options, dhcp.OPTION_CLIENT_ID)!;
  assert.equal(dhcp.macOfDuid(duid), '5a:94:ef:e4:0c:ee');
  assert.deepEqual(dhcp.readAssociations(message.options), [{ id: 0xefe40cee | 0, renew: 3600, rebind: 5400, addresses: [] }]);
  assert.equal(dhcp.option(message.options, dhcp.OPTION_RAPID_COMMIT), undefined);
});

test('writes a REPLY byte for byte, and reads it back', () => {
  const words = [0xfd010203 | 0, 0x04050607, 0, 2] as const;
  const association = {
    id: 7,
    renew: 1800,
    rebind: 2880,
    addresses: [{ words, preferred: 3600, valid: 7200 }],
    status: { code: 0, text: 'ok' },
  };
  const bytes = dhcp.writeDhcp6({
    type: dhcp.REPLY,
    transaction: 0x123456,
    options: [
      [dhcp.OPTION_SERVER_ID, dhcp.duidOf(0x5a94, 0xefe40cdd | 0)],
      [dhcp.OPTION_IA_NA, dhcp.writeAssociation(association)],
    ],
  });
  assert.equal(
    Buffer.from(bytes).toString('hex'),
    '07123456' +
      '0002000a000300015a94efe40cdd' +
      '00030030' +
      '000000070000070800000b40' +
      '00050018fd01020304050607000000000000000200000e1000001c20' +
      '000d000400006f6b',
  );
  const { status, ...read } = association;
  assert.equal(status.text, 'ok');
  assert.deepEqual(dhcp.readAssociations(dhcp.readDhcp6(bytes)!.options), [read]);
});

test('what is cut off is no message, and an IA_NA that is cut off spoils it', () => {
  const whole = Buffer.from(SOLICIT, 'hex');
  const ends = new Set([4, 22, 30, 36, whole.length]);
  for (let length = 0; length < whole.length; length++)
    assert.equal(dhcp.readDhcp6(whole.subarray(0, length)) !== undefined, ends.has(length), `${length} bytes`);
  assert.equal(dhcp.readAssociations([[dhcp.OPTION_IA_NA, new Uint8Array(11)]]), undefined);
  assert.equal(dhcp.readAssociations([[dhcp.OPTION_IA_NA, new Uint8Array(13)]]), undefined);
});

test('only DUIDs that are made of an Ethernet address tell one', () => {
  const mac = (hex: string): string | undefined => dhcp.macOfDuid(Buffer.from(hex, 'hex'));
  assert.equal(mac('000300015a94efe40cee'), '5a:94:ef:e4:0c:ee');
  for (const other of ['', '0003', '000200015a94efe40cee', '000300065a94efe40cee', '000300015a94efe40c', '0004' + '00'.repeat(16)])
    assert.equal(mac(other), undefined, other);
});

test('reads anything without failing', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      const message = dhcp.readDhcp6(bytes);
      if (message !== undefined) dhcp.readAssociations(message.options);
    }),
  );
});
