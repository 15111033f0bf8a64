import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as vnet from '../../src/packet/vnet-header.ts';

function header(fields: Partial<Record<'flags' | 'gso' | 'size' | 'start' | 'offset', number>>): Buffer {
  const bytes = Buffer.alloc(vnet.VNET_HEADER);
  bytes[0] = fields.flags ?? 0;
  bytes[1] = fields.gso ?? 0;
  bytes.writeUInt16LE(fields.size ?? 0, 4);
  bytes.writeUInt16LE(fields.start ?? 0, 6);
  bytes.writeUInt16LE(fields.offset ?? 0, 8);
  return bytes;
}

test('what is written reads back, and stands where virtio says', () => {
  const bytes = Buffer.alloc(vnet.VNET_HEADER, 0xff);
  vnet.write(bytes, 0, vnet.GSO_TCPV4, 54, 1460, 34, 16);
  assert.equal(bytes.toString('hex'), '01013600b405220010000100');
  assert.deepEqual(
    [
      vnet.flags(bytes, 0),
      vnet.gsoType(bytes, 0),
      vnet.gsoSize(bytes, 0),
      vnet.checksumStart(bytes, 0),
      vnet.checksumOffset(bytes, 0),
      vnet.isPossible(bytes, 0, 4000),
    ],
    [vnet.NEEDS_CHECKSUM, vnet.GSO_TCPV4, 1460, 34, 16, true],
  );
  vnet.clear(bytes, 0);
  assert.equal(bytes.toString('hex'), '000000000000000000000100');
  assert.ok(vnet.isPossible(bytes, 0, 14));
});

test('CWR beside a type is not a type of its own', () => {
  assert.equal(vnet.gsoType(header({ gso: vnet.GSO_TCPV6 | vnet.GSO_ECN }), 0), vnet.GSO_TCPV6);
});

const LENGTH = 100;
const impossible: [string, Parameters<typeof header>[0]][] = [
  ['segments without a checksum to complete', { gso: vnet.GSO_TCPV4, size: 1460 }],
  ['a checksum inside the Ethernet header', { flags: 1, start: 13, offset: 16 }],
  ['a checksum field beyond the frame', { flags: 1, start: LENGTH - 17, offset: 16 }],
  ['a start and an offset that would wrap around', { flags: 1, start: 65_535, offset: 65_535 }],
  ['segments of no bytes', { flags: 1, gso: vnet.GSO_TCPV4, start: 34, offset: 16 }],
  ['a type that is not known', { flags: 1, gso: 3, size: 1460, start: 34, offset: 6 }],
];

for (const [name, fields] of impossible) {
  test(`${name}: not possible`, () => assert.equal(vnet.isPossible(header(fields), 0, LENGTH), false));
}

test('a checksum field that ends with the frame is possible', () => {
  assert.ok(vnet.isPossible(header({ flags: 1, start: LENGTH - 18, offset: 16 }), 0, LENGTH));
});
