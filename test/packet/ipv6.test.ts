import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { IpAddress } from '../../src/packet/address.ts';
import { finish, pseudoIpv6, sum } from '../../src/packet/checksum.ts';
import * as ipv6 from '../../src/packet/ipv6.ts';
import { EXTENSION_BYTES, EXTENSION_LIMIT, ExtensionFault, ExtensionWalk } from '../../src/packet/ipv6-extensions.ts';

test('writes a header byte for byte and reads back every field', () => {
  const bytes = Buffer.alloc(60, 0xa5);
  const from = IpAddress.parse('fd01:203:405:607::1')!;
  const to = IpAddress.parse('2001:db8::ff')!;
  ipv6.write(bytes, 10, 1280, 58, 255, from.w0, from.w1, from.w2, from.w3, to.w0, to.w1, to.w2, to.w3);
  assert.equal(
    bytes.toString('hex'),
    'a5'.repeat(10) + '6000000005003aff' + 'fd010203040506070000000000000001' + '20010db80000000000000000000000ff' + 'a5'.repeat(10),
  );
  assert.equal(ipv6.version(bytes, 10), 6);
  assert.equal(ipv6.payloadLength(bytes, 10), 1280);
  assert.equal(ipv6.nextHeader(bytes, 10), 58);
  assert.equal(ipv6.hopLimit(bytes, 10), 255);
  const words = [0, 1, 2, 3];
  assert.equal(
    new IpAddress(...(words.map((word) => ipv6.source(bytes, 10, word)) as [number, number, number, number])).equals(from),
    true,
  );
  assert.equal(
    new IpAddress(...(words.map((word) => ipv6.destination(bytes, 10, word)) as [number, number, number, number])).equals(to),
    true,
  );
});

test('reads back what it wrote into a fragment header', () => {
  fc.assert(
    fc.property(fc.nat(8191), fc.boolean(), fc.integer(), fc.nat(255), (piece, more, id, next) => {
      const bytes = new Uint8Array(8);
      ipv6.writeFragment(bytes, 0, next, piece * 8, more, id);
      assert.deepEqual(
        [bytes[0], bytes[1], ipv6.fragmentOffset(bytes, 0), ipv6.moreFragments(bytes, 0), ipv6.identification(bytes, 0)],
        [next, 0, piece * 8, more, id],
      );
    }),
  );
});

test('the pseudo header is summed as RFC 8200 §8.1 has it', () => {
  // 1 + 1 + 58 + 8 for ::1 to itself, 8000 + 0001 + 0001 for an echo request.
  const message = Buffer.from('8000000000010001', 'hex');
  assert.equal(finish(sum(message, 0, message.length, pseudoIpv6(0, 0, 0, 1, 0, 0, 0, 1, 58, 8))), 0x7fb9);
  fc.assert(
    fc.property(fc.array(fc.integer(), { minLength: 8, maxLength: 8 }), fc.nat(255), fc.nat(65_535), (words, protocol, length) => {
      const header = Buffer.alloc(40);
      words.forEach((word, i) => header.writeInt32BE(word, i * 4));
      header.writeUInt32BE(length, 32);
      header.writeUInt32BE(protocol, 36);
      const [a, b, c, d, e, f, g, h] = words as [number, number, number, number, number, number, number, number];
      assert.equal(finish(pseudoIpv6(a, b, c, d, e, f, g, h, protocol, length)), finish(sum(header, 0, 40)));
    }),
  );
});

test('tells addresses that no packet may have', () => {
  const kinds = (text: string): boolean[] => {
    const { w0, w1, w2 } = IpAddress.parse(text)!;
    return [ipv6.isReserved(w0, w1, w2), ipv6.isLinkLocal(w0), ipv6.isMulticast(w0)];
  };
  for (const text of ['::', '::1', '::ffff:0:0', '1.2.3.4', '::7f00:1']) assert.deepEqual(kinds(text), [true, false, false], text);
  for (const text of ['fe80::', 'febf:ffff::1']) assert.deepEqual(kinds(text), [false, true, false], text);
  for (const text of ['ff00::', 'ff02::1', 'ffff::']) assert.deepEqual(kinds(text), [false, false, true], text);
  for (const text of ['fd00::1', 'fec0::1', 'fe7f::', '2001:db8::', '64:ff9b::1', '0:0:1::', '::fffe:0:1'.replace('::', '1::')])
    assert.deepEqual(kinds(text), [false, false, false], text);
});

/** Walks a chain; the first byte says what comes first, the transport follows as `rest` bytes. */
function walk(first: number, chain: readonly number[], rest = 8): ExtensionWalk {
  const bytes = Uint8Array.from([first, ...chain, ...Array.from({ length: rest }, () => 0xee)]);
  const found = new ExtensionWalk();
  assert.equal(found.walk(bytes, 1, bytes.length, 0, true), found.fault === ExtensionFault.NONE);
  return found;
}

const PADDED = [1, 4, 0, 0, 0, 0] as const;

test('finds the transport behind options and a routing header that is used up', () => {
  const found = walk(0, [60, 0, ...PADDED, 43, 0, ...PADDED, 17, 0, 0, 0, 0, 0, 0, 0]);
  assert.deepEqual([found.fault, found.protocol, found.payload, found.pointer], [ExtensionFault.NONE, 17, 25, 17]);
  assert.deepEqual([walk(6, []).protocol, walk(6, []).payload], [6, 1]);
});

test('stops at a fragment header, which must be whole', () => {
  const found = walk(60, [44, 0, ...PADDED, 17, 0, 0, 1, 0, 0, 0, 1]);
  assert.deepEqual([found.protocol, found.payload], [44, 9]);
  assert.equal(walk(44, [17, 0, 0, 1], 0).fault, ExtensionFault.CUT);
});

test('options that are not known are passed over, or end the packet as they ask', () => {
  const option = (type: number): ExtensionWalk => walk(60, [17, 0, type, 4, 0, 0, 0, 0]);
  assert.equal(option(0x05).fault, ExtensionFault.NONE);
  assert.deepEqual([option(0x45).fault, option(0x45).pointer], [ExtensionFault.OPTION_SILENT, 3]);
  assert.equal(option(0x85).fault, ExtensionFault.OPTION);
  assert.equal(option(0xc5).fault, ExtensionFault.OPTION_UNICAST);
  assert.equal(walk(60, [17, 0, 5, 5, 0, 0, 0, 0]).fault, ExtensionFault.FIELD, 'an option longer than its header');
  assert.equal(walk(60, [17, 0, 0, 0, 0, 0, 0, 5]).fault, ExtensionFault.FIELD, 'an option without a length');
});

test('hop-by-hop options stand first or nowhere; segments that are left want a router', () => {
  assert.deepEqual(walk(60, [0, 0, ...PADDED, 17, 0, ...PADDED]).fault, ExtensionFault.NEXT_HEADER);
  assert.deepEqual(walk(0, [0, 0, ...PADDED, 17, 0, ...PADDED]).fault, ExtensionFault.NEXT_HEADER);
  const routed = walk(43, [17, 0, 0, 1, 0, 0, 0, 0]);
  assert.deepEqual([routed.fault, routed.pointer], [ExtensionFault.FIELD, 3]);
});

test('a chain has eight headers of 256 bytes at most', () => {
  const chain = (count: number): number[] => Array.from({ length: count }, (_, i) => [i === count - 1 ? 17 : 60, 0, ...PADDED]).flat();
  assert.equal(walk(60, chain(EXTENSION_LIMIT)).protocol, 17);
  assert.equal(walk(60, chain(EXTENSION_LIMIT + 1)).fault, ExtensionFault.LIMIT);
  const long = (length: number): number[] => [17, length / 8 - 1, 1, length - 6, ...Array.from({ length: length - 6 }, () => 0), 0, 0];
  assert.equal(walk(60, long(EXTENSION_BYTES)).fault, ExtensionFault.NONE);
  assert.equal(
    walk(60, [...long(EXTENSION_BYTES), ...Array.from({ length: 8 }, () => 0)].with(1, EXTENSION_BYTES / 8)).fault,
    ExtensionFault.LIMIT,
  );
});

test('never reads beyond the end, whatever the bytes', () => {
  const found = new ExtensionWalk();
  const header = fc.constantFrom(0, 43, 44, 60, 6, 59);
  fc.assert(
    fc.property(fc.array(header, { minLength: 1, maxLength: 300 }), fc.uint8Array({ maxLength: 300 }), (seeds, noise) => {
      const bytes = Uint8Array.from([...seeds, ...noise]);
      const ok = found.walk(bytes, 1, bytes.length, 0, true);
      assert.ok(!ok || (found.payload <= bytes.length && found.pointer < bytes.length));
    }),
  );
});
