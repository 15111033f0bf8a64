import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type FlowEntry, FlowTable } from '../../src/flow/flow-table.ts';
import { Neighbour } from '../../src/gateway/neighbour.ts';
import { Arena } from '../../src/runtime/arena.ts';
import { SeededRandom } from '../../src/runtime/clock.ts';
import { FakePort } from '../fake-port.ts';

type Key = readonly [guest: number, guestPort: number, remote: number, remotePort: number];

/** One VM may have half of a table. */
const vm = new FakePort(new Arena(2 << 20));

function entry([guest, guestPort, remote, remotePort]: Key): FlowEntry {
  return {
    guest0: 0,
    guest1: 0,
    guest2: 0xffff,
    guest3: guest,
    guestPort,
    remote0: 0,
    remote1: 0,
    remote2: 0xffff,
    remote3: remote,
    remotePort,
    neighbour: new Neighbour(0, 0, 0xffff, guest),
    vm,
    hash: 0,
    serial: 0,
  };
}

function find(table: FlowTable<FlowEntry>, [guest, guestPort, remote, remotePort]: Key): FlowEntry | null {
  return table.find(0, 0, 0xffff, guest, guestPort, 0, 0, 0xffff, remote, remotePort);
}

test('agrees with a map, whatever is added and removed', () => {
  const key = fc.tuple(fc.nat(3), fc.nat(20), fc.constantFrom(1, -1, 0x7f000001), fc.nat(20));
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), key), { maxLength: 2000 }), (steps) => {
      const table = new FlowTable<FlowEntry>(10_000, new SeededRandom(1));
      const model = new Map<string, FlowEntry>();
      for (const [add, fields] of steps) {
        const name = fields.join();
        const known = model.get(name) ?? null;
        assert.equal(find(table, fields), known);
        if (add && known === null) {
          const flow = entry(fields);
          table.add(flow);
          model.set(name, flow);
        } else if (!add && known !== null) {
          table.remove(known);
          model.delete(name);
        }
        assert.equal(table.size, model.size);
      }
      assert.deepEqual(new Set(table), new Set(model.values()));
    }),
    { numRuns: 100 },
  );
});

test('grows to its limit and shrinks again, finding everything throughout', () => {
  const table = new FlowTable<FlowEntry>(40_000, new SeededRandom(2));
  const flows = Array.from({ length: 20_000 }, (_, i) => entry([i & 255, i >> 8, 1, 80]));
  for (const flow of flows) table.add(flow);
  assert.equal(table.shares.allows(vm), false);
  assert.equal(flows[0]!.neighbour.flows, 1);
  for (const flow of flows) assert.equal(table.find(0, 0, 0xffff, flow.guest3, flow.guestPort, 0, 0, 0xffff, 1, 80), flow);
  for (const flow of flows.slice(10)) table.remove(flow);
  for (const flow of flows.slice(0, 10)) assert.equal(table.find(0, 0, 0xffff, flow.guest3, flow.guestPort, 0, 0, 0xffff, 1, 80), flow);
  assert.equal(table.size, 10);
  assert.equal(table.shares.held(vm), 10);
  assert.equal(flows[10]!.neighbour.flows, 0);
});

test('a flow that was found last is found again, and no longer once it is removed', () => {
  const table = new FlowTable<FlowEntry>(10, new SeededRandom(4));
  const [first, second] = [entry([1, 2, 3, 4]), entry([1, 3, 3, 4])];
  table.add(first);
  table.add(second);
  for (const flow of [first, first, second, second, first]) assert.equal(find(table, [1, flow.guestPort, 3, 4]), flow);
  table.remove(first);
  assert.equal(find(table, [1, 2, 3, 4]), null);
  const reborn = entry([1, 2, 3, 4]);
  table.add(reborn);
  assert.equal(find(table, [1, 2, 3, 4]), reborn);
  assert.equal(find(table, [1, 3, 3, 4]), second);
});

test('a flow that is not in the table can be removed without harm', () => {
  const table = new FlowTable<FlowEntry>(10, new SeededRandom(3));
  const flow = entry([1, 2, 3, 4]);
  table.add(flow);
  table.remove(entry([1, 2, 3, 5]));
  table.remove(flow);
  table.remove(flow);
  assert.equal(table.size, 0);
});

test('hashes depend on the secret and spread addresses that differ in one place', () => {
  const hashes = (seed: number): number[] => {
    const table = new FlowTable<FlowEntry>(10_000, new SeededRandom(seed));
    return Array.from({ length: 4096 }, (_, port) => {
      const flow = entry([1, port, 1, 80]);
      table.add(flow);
      return flow.hash;
    });
  };
  const first = hashes(1);
  assert.notDeepEqual(first, hashes(2));
  const buckets = new Int32Array(256);
  for (const hash of first) buckets[hash & 255]!++;
  // 16 each on average; a hash that is not one would pile them up.
  assert.ok(Math.max(...buckets) < 45, `${Math.max(...buckets)} in one of 256 buckets`);
});

test('the hash is HalfSipHash-2-4: the published vector of 36 bytes', () => {
  // Key 00…07, message 00…23 in hexadecimal, read as little-endian words.
  const key = [0x03020100, 0x07060504];
  const table = new FlowTable<FlowEntry>(2, { word: () => key.shift()! });
  const word = (i: number): number => (((4 * i + 3) << 24) | ((4 * i + 2) << 16) | ((4 * i + 1) << 8) | (4 * i)) >>> 0;
  const flow: FlowEntry = {
    guest0: word(0) | 0,
    guest1: word(1) | 0,
    guest2: word(2) | 0,
    guest3: word(3) | 0,
    remote0: word(4) | 0,
    remote1: word(5) | 0,
    remote2: word(6) | 0,
    remote3: word(7) | 0,
    guestPort: word(8) >>> 16,
    remotePort: word(8) & 0xffff,
    neighbour: new Neighbour(0, 0, 0, 0),
    vm,
    hash: 0,
    serial: 0,
  };
  table.add(flow);
  assert.equal(flow.hash >>> 0, 0xecc65ce7);
});

test('a guest that picks its ports and destinations in steps does not make searches long', () => {
  // Without the secret a guest can only guess patterns; each would defeat a hash that leaves bits where they were.
  const patterns: ((i: number) => Key)[] = [
    (i) => [1, i, i, 80],
    (i) => [1, i & 0xffff, (i >> 4) << 16, (i * 256) & 0xffff],
    (i) => [1, 80, i << 20, 80],
    (i) => [1, i ^ 0xffff, 7, i],
  ];
  for (const pattern of patterns) {
    const table = new FlowTable<FlowEntry>(8192, new SeededRandom(9));
    const keys = new Map(Array.from({ length: 4096 }, (_, i) => [pattern(i).join(), pattern(i)]));
    const taken = new Uint8Array(8192);
    let worst = 0;
    for (const fields of keys.values()) {
      const flow = entry(fields);
      table.add(flow);
      let slot = flow.hash & 8191;
      let probes = 1;
      for (; taken[slot] === 1; probes++) slot = (slot + 1) & 8191;
      taken[slot] = 1;
      worst = Math.max(worst, probes);
    }
    // Linear probing at half load: a good hash needs some tens at worst, a pattern that gets through needs hundreds.
    assert.ok(worst < 60, `${worst} probes`);
  }
});
