import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Arena } from '../../src/runtime/arena.ts';

test('the size is rounded up to pages and the views cover all of it', () => {
  const arena = new Arena(100_000);
  assert.equal(arena.size, 131_072);
  assert.equal(arena.bytes.length, arena.size);
  assert.equal(arena.words.length * 4, arena.size);
  arena.words[2] = 0x01020304;
  assert.deepEqual(
    [...arena.bytes.subarray(8, 12)].sort((a, b) => a - b),
    [1, 2, 3, 4],
  );
});

test('no region is at offset 0 and a full arena answers -1', () => {
  const arena = new Arena(65536);
  let regions = 0;
  for (let at = arena.allocate(4096); at !== -1; at = arena.allocate(4096)) {
    assert.notEqual(at, 0);
    regions++;
  }
  assert.equal(regions, 15);
});

test('a freed region is handed out again for any request of the same power of two', () => {
  const arena = new Arena(1 << 20);
  const at = arena.allocate(5000);
  arena.free(at, 5000);
  assert.equal(arena.allocate(8192), at);
  assert.notEqual(arena.allocate(8192), at);
});

test('a request larger than the arena is refused and costs nothing', () => {
  const arena = new Arena(65536);
  assert.equal(arena.allocate(65537), -1);
  assert.equal(arena.allocate(2 ** 40), -1);
  assert.notEqual(arena.allocate(32768), -1);
});

test('regions in use never overlap, are aligned and lie inside', () => {
  const step = fc.oneof(fc.record({ allocate: fc.nat(70_000) }), fc.record({ free: fc.nat(50) }));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), (sequence) => {
      const arena = new Arena(1 << 20);
      const used: { at: number; bytes: number }[] = [];
      for (const each of sequence) {
        if ('free' in each) {
          const [region] = used.splice(each.free % Math.max(used.length, 1), 1);
          if (region) arena.free(region.at, region.bytes);
          continue;
        }
        const at = arena.allocate(each.allocate);
        if (at === -1) continue;
        assert.equal(at % 4096, 0);
        assert.ok(at > 0 && at + each.allocate <= arena.size);
        assert.ok(!used.some((other) => at < other.at + Math.max(other.bytes, 1) && other.at < at + Math.max(each.allocate, 1)));
        used.push({ at, bytes: each.allocate });
      }
    }),
  );
});
