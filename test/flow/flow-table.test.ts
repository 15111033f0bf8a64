import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type FlowEntry, FlowTable } from '../../src/flow/flow-table.ts';
import { SeededRandom } from '../../src/runtime/clock.ts';

type Key = readonly [guest: number, guestPort: number, remote: number, remotePort: number];

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
    hash: 0,
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
  const table = new FlowTable<FlowEntry>(20_000, new SeededRandom(2));
  const flows = Array.from({ length: 20_000 }, (_, i) => entry([i & 255, i >> 8, 1, 80]));
  for (const flow of flows) table.add(flow);
  assert.equal(table.full, true);
  for (const flow of flows) assert.equal(table.find(0, 0, 0xffff, flow.guest3, flow.guestPort, 0, 0, 0xffff, 1, 80), flow);
  for (const flow of flows.slice(10)) table.remove(flow);
  for (const flow of flows.slice(0, 10)) assert.equal(table.find(0, 0, 0xffff, flow.guest3, flow.guestPort, 0, 0, 0xffff, 1, 80), flow);
  assert.equal(table.size, 10);
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
    const table = new FlowTable<FlowEntry>(5000, new SeededRandom(seed));
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
