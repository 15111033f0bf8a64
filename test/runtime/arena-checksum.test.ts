import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { sum as plain } from '../../src/packet/checksum.ts';
import { Arena } from '../../src/runtime/arena.ts';
import { arenaSum } from '../../src/runtime/arena-checksum.ts';
import { SeededRandom } from '../../src/runtime/clock.ts';

const arena = new Arena(1 << 20);
const sum = arenaSum(arena);
const initials = fc.oneof(
  fc.constant(0),
  fc.nat(0xffff),
  fc.nat(0x7fffffff),
  fc.constantFrom(0xffff, 0x10000, 0xffff0000 >>> 1, 0x7fffffff),
);

/** A second oracle that shares no line with the product: BigInt words, folded to the end. */
function slow(at: number, length: number, initial: number): number {
  let total = BigInt(initial);
  for (let i = 0; i < length; i++) total += BigInt(arena.bytes[at + i]!) << (i % 2 === 0 ? 8n : 0n);
  while (total > 0xffffn) total = (total & 0xffffn) + (total >> 16n);
  return Number(total);
}

test('any content at any offset and length sums as the plain twin and the definition do', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 700 }), fc.nat(200), initials, (content, offset, initial) => {
      const at = 8192 + offset;
      arena.bytes.fill(0xa5, 8000, 9300);
      arena.bytes.set(content, at);
      const result = sum(at, content.length, initial);
      assert.equal(result, slow(at, content.length, initial));
      assert.equal(result, plain(arena.bytes, at, content.length, initial));
    }),
    { numRuns: 2000 },
  );
});

test('every length from 0 to 300 at every alignment of a vector agrees with the plain twin', () => {
  const random = new SeededRandom(3);
  for (let i = 0; i < 400; i++) arena.bytes[16_384 + i] = random.word();
  for (let offset = 0; offset < 16; offset++) {
    for (let length = 0; length <= 300; length++) {
      assert.equal(sum(16_384 + offset, length, 1), plain(arena.bytes, 16_384 + offset, length, 1), `${offset} ${length}`);
    }
  }
});

test('megabytes of ones overflow no lane', () => {
  arena.bytes.fill(0xff);
  for (const length of [65_535, 65_536, 65_600, 200_001, arena.size]) {
    for (const initial of [0, 1, 0xffff, 0x7fffffff]) {
      assert.equal(sum(0, length, initial), plain(arena.bytes, 0, length, initial), `${length} ${initial}`);
    }
  }
});

test('a sum of zeros is 0 and any other sum that is a multiple of 65535 is 65535, never 0', () => {
  arena.bytes.fill(0, 4096, 8192);
  assert.equal(sum(4096, 1000, 0), 0);
  arena.bytes[4100] = 0xff;
  arena.bytes[4101] = 0xff;
  assert.equal(sum(4096, 1000, 0), 0xffff);
  assert.equal(sum(4096, 1000, 0xffff), 0xffff);
});

test('the example of RFC 1071 sums to ddf2', () => {
  arena.bytes.set([0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7], 4097);
  assert.equal(sum(4097, 8, 0), 0xddf2);
});

test('the last bytes of the arena are summed and nothing behind them is touched', () => {
  arena.bytes.fill(1, arena.size - 100);
  for (let length = 0; length <= 100; length++) {
    const at = arena.size - length;
    assert.equal(sum(at, length, 0), plain(arena.bytes, at, length, 0));
  }
});

test('it is the vector routine that is tested, and without SIMD the plain twin stands in', (t) => {
  assert.match(String(sum), /native code/);
  const assembly = (globalThis as unknown as { WebAssembly: { validate(code: Uint8Array): boolean } }).WebAssembly;
  t.mock.method(assembly, 'validate', () => false);
  const standIn = arenaSum(arena);
  assert.doesNotMatch(String(standIn), /native code/);
  assert.equal(standIn(4097, 333, 77), sum(4097, 333, 77));
});
