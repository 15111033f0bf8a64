import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import * as dhcp from '../../src/packet/dhcpv4.ts';

function discover(options: [number, Uint8Array][] = []): dhcp.DhcpMessage {
  const hardwareAddress = new Uint8Array(16);
  hardwareAddress.set([0x5a, 0x94, 0xef, 0xe4, 0x0c, 0xee]);
  return {
    op: dhcp.BOOT_REQUEST,
    hardwareType: 1,
    hardwareLength: 6,
    xid: 0xdeadbeef,
    flags: 0x8000,
    clientAddress: 0x0a000001,
    yourAddress: 0,
    serverAddress: 0,
    relayAddress: -1,
    hardwareAddress,
    options: new Map([[dhcp.OPTION_MESSAGE_TYPE, Uint8Array.of(dhcp.DISCOVER)], ...options]),
  };
}

/** A header and cookie with these bytes as options. */
function withOptions(...bytes: number[]): Uint8Array {
  const head = dhcp.writeDhcp({ ...discover(), options: new Map() }).subarray(0, 240);
  return Uint8Array.from([...head, ...bytes]);
}

test('reads back what it wrote', () => {
  const message = discover([
    [dhcp.OPTION_HOST_NAME, Buffer.from('guest')],
    [dhcp.OPTION_CLIENT_ID, Uint8Array.of()],
  ]);
  const read = dhcp.readDhcp(dhcp.writeDhcp(message))!;
  assert.deepEqual({ ...read, options: null }, { ...message, options: null });
  assert.deepEqual([...read.options.keys()], [53, 12, 61]);
  assert.equal(Buffer.from(read.options.get(12)!).toString(), 'guest');
  assert.equal(read.options.get(61)!.length, 0);
});

test('pads a message to 300 bytes, and only a shorter one', () => {
  assert.equal(dhcp.writeDhcp(discover()).length, 300);
  assert.equal(dhcp.writeDhcp(discover([[200, new Uint8Array(100)]])).length, 240 + 3 + 102 + 1);
});

test('writes a value over 255 bytes as several options and joins them again (RFC 3396)', () => {
  const value = Uint8Array.from({ length: 600 }, (_, i) => i);
  const bytes = dhcp.writeDhcp({ ...discover(), options: new Map([[dhcp.OPTION_SEARCH, value]]) });
  assert.deepEqual(
    [bytes[240], bytes[241], bytes[240 + 257], bytes[241 + 257], bytes[240 + 514], bytes[241 + 514]],
    [119, 255, 119, 255, 119, 90],
  );
  assert.deepEqual(dhcp.readDhcp(bytes)!.options.get(dhcp.OPTION_SEARCH), value);
});

test('reads every truncation of a message as nothing or as the options that are whole', () => {
  const bytes = dhcp.writeDhcp(discover([[dhcp.OPTION_HOST_NAME, Buffer.from('guest')]]));
  for (let length = 0; length <= bytes.length; length++) {
    const read = dhcp.readDhcp(bytes.subarray(0, length));
    if (length < 240) assert.equal(read, undefined, `${length}`);
    else assert.deepEqual([...read!.options.keys()], length < 243 ? [] : length < 250 ? [53] : [53, 12], `${length}`);
  }
});

test('refuses a message without the magic cookie', () => {
  const bytes = dhcp.writeDhcp(discover());
  bytes[237]! ^= 1;
  assert.equal(dhcp.readDhcp(bytes), undefined);
});

test('reads options without an end, with padding between, and stops at one that runs past the message', () => {
  assert.deepEqual([...dhcp.readDhcp(withOptions(0, 0, 53, 1, 1, 0, 61, 0))!.options.keys()], [53, 61]);
  assert.deepEqual([...dhcp.readDhcp(withOptions(53, 1, 1, 12, 200, 65))!.options.keys()], [53]);
  assert.deepEqual([...dhcp.readDhcp(withOptions(53, 1, 1, 12))!.options.keys()], [53]);
  assert.deepEqual([...dhcp.readDhcp(withOptions(53, 1, 1, 255, 61, 1, 1))!.options.keys()], [53]);
});

test('joins thousands of pieces of one option in milliseconds', () => {
  const pieces = Array.from({ length: 21_000 }, () => [61, 1, 7]).flat();
  const bytes = withOptions(...pieces);
  const started = process.hrtime.bigint();
  assert.equal(dhcp.readDhcp(bytes)!.options.get(61)!.length, 21_000);
  // Joined pair by pair it takes seconds.
  assert.ok(process.hrtime.bigint() - started < 200_000_000n);
});

test('never throws, whatever the bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), fc.boolean(), (bytes, hasHeader) => {
      const read = dhcp.readDhcp(hasHeader ? withOptions(...bytes) : bytes);
      let length = 0;
      for (const value of read?.options.values() ?? []) length += value.length;
      assert.ok(length <= bytes.length);
    }),
  );
});
