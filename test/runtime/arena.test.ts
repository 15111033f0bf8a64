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

/** Bytes that a region asked for with `bytes` takes. */
function regionSize(bytes: number): number {
  let size = 4096;
  while (size < bytes) size *= 2;
  return size;
}

/** The largest region of an arena from which nothing is taken: it begins at its own size, since none begins at 0. */
function largestRegion(arena: Arena): number {
  let size = 4096;
  while (4 * size <= arena.size) size *= 2;
  return size;
}

test('regions in use never overlap, are aligned and lie inside, and all merge again once they are free', () => {
  const step = fc.oneof(fc.record({ allocate: fc.nat(300_000) }), fc.record({ free: fc.nat(50) }));
  fc.assert(
    fc.property(fc.integer({ min: 65_536, max: 3 << 20 }), fc.array(step, { maxLength: 150 }), (bytes, sequence) => {
      const arena = new Arena(bytes);
      const used: { at: number; bytes: number }[] = [];
      for (const each of sequence) {
        if ('free' in each) {
          const [region] = used.splice(each.free % Math.max(used.length, 1), 1);
          if (region) arena.free(region.at, region.bytes);
          continue;
        }
        const at = arena.allocate(each.allocate);
        if (at === -1) continue;
        const end = at + regionSize(each.allocate);
        assert.equal(at % regionSize(each.allocate), 0);
        assert.ok(at > 0 && end <= arena.size);
        assert.ok(!used.some((other) => at < other.at + regionSize(other.bytes) && other.at < end));
        used.push({ at, bytes: each.allocate });
      }
      for (const region of used) arena.free(region.at, region.bytes);
      assert.notEqual(arena.allocate(largestRegion(arena)), -1);
    }),
  );
});

test('a request is refused only when no free region is large enough', () => {
  const step = fc.oneof(fc.nat(9), fc.integer({ min: -50, max: -1 }));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const arena = new Arena(1 << 20);
      const taken = new Uint8Array(arena.size / 4096).fill(1, 0, 1);
      const used: { at: number; order: number }[] = [];
      const mark = (at: number, order: number, value: number): void => void taken.fill(value, at / 4096, at / 4096 + 2 ** order);
      for (const order of steps) {
        if (order < 0) {
          const [region] = used.splice(-order % Math.max(used.length, 1), 1);
          if (!region) continue;
          arena.free(region.at, 4096 << region.order);
          mark(region.at, region.order, 0);
          continue;
        }
        const at = arena.allocate(4096 << order);
        if (at < 0) {
          for (let unit = 0; unit < taken.length; unit += 2 ** order) assert.ok(taken.subarray(unit, unit + 2 ** order).includes(1));
          continue;
        }
        used.push({ at, order });
        mark(at, order, 1);
      }
    }),
  );
});

test('small regions that were freed serve a large request', () => {
  const arena = new Arena(256 << 20);
  const small: number[] = [];
  for (let at = arena.allocate(512 << 10); at >= 0; at = arena.allocate(512 << 10)) small.push(at);
  assert.equal(arena.allocate(1 << 20), -1);
  for (const at of small) arena.free(at, 512 << 10);
  assert.notEqual(arena.allocate(128 << 20), -1);
});

test('what is freed twice, with another size or in the middle of a region is refused and changes nothing', () => {
  const arena = new Arena(1 << 20);
  const at = arena.allocate(32_768);
  for (const [where, bytes] of [
    [at, 16_384],
    [at, 65_536],
    [at + 16_384, 16_384],
    [at + 1, 32_768],
    [-1, 4096],
    [0, 4096],
    [1 << 20, 4096],
  ] as const) {
    assert.throws(() => arena.free(where, bytes), /no region of \d+ bytes is in use/);
  }
  arena.free(at, 32_768);
  assert.throws(() => arena.free(at, 32_768), /no region of 32768 bytes is in use/);
  const all: number[] = [];
  for (let region = arena.allocate(4096); region >= 0; region = arena.allocate(4096)) all.push(region);
  assert.equal(new Set(all).size, 255);
});

test('half of the arena is lent at most, no owner gets more than is left for others, and all of it comes back', () => {
  const arena = new Arena(8 << 20);
  const owners = [{}, {}, {}, {}];
  const lent = owners.map((owner) => {
    const regions: number[] = [];
    for (let at = arena.lend(owner, 10_000); at >= 0; at = arena.lend(owner, 10_000)) regions.push(at);
    return regions;
  });
  assert.deepEqual(
    lent.map((regions) => regions.length),
    [128, 64, 32, 16],
  );
  assert.equal(arena.lent, 240 * 16_384);
  assert.notEqual(arena.allocate(2 << 20), -1);
  owners.forEach((owner, i) => {
    for (const at of lent[i]!) arena.takeBack(owner, at, 10_000);
  });
  assert.equal(arena.lent, 0);
});

test('an arena that is full lends nothing and counts nothing', () => {
  const arena = new Arena(1 << 20);
  while (arena.allocate(4096) >= 0);
  assert.equal(arena.lend({}, 4096), -1);
  assert.equal(arena.lend({}, 2 ** 40), -1);
  assert.equal(arena.lent, 0);
});
