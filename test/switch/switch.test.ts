import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Port } from '../../src/link/port.ts';
import { parseMac } from '../../src/packet/mac.ts';
import { Arena } from '../../src/runtime/arena.ts';
import { Switch, type SwitchOptions } from '../../src/switch/switch.ts';
import { FakePort } from '../fake-port.ts';

const GATEWAY = '5a94efe40cdd';
const BROADCAST = 'ffffffffffff';

class Bench {
  readonly arena: Arena = new Arena(32 << 20);
  readonly gateway: Buffer[] = [];
  now = 0;
  readonly ports: FakePort[];
  readonly switch: Switch;
  readonly #at: number = this.arena.allocate(1 << 18);

  constructor(count: number, options: Partial<SwitchOptions> = {}) {
    this.switch = new Switch({
      ...options,
      bytes: this.arena.bytes,
      gatewayMac: parseMac('5a:94:ef:e4:0c:dd')!,
      now: () => this.now,
      gateway: {
        input: (_port: Port, at: number, length: number) => void this.gateway.push(Buffer.from(this.arena.bytes.subarray(at, at + length))),
        endOfBatch: () => {},
        drained: () => {},
        detached: () => {},
      },
    });
    this.ports = Array.from({ length: count }, (_, i) => new FakePort(this.arena, i));
    for (const port of this.ports) this.switch.attached(port);
  }

  send(from: number, to: string, source: string, body = 'body'): void {
    const frame = Buffer.concat([Buffer.from(to + source + '0800', 'hex'), Buffer.from(body)]);
    this.arena.bytes.set(frame, this.#at);
    this.switch.frame(this.ports[from]!, this.#at, frame.length);
  }

  /** How many frames each port got, then the gateway. */
  counts(): number[] {
    return [...this.ports.map((port) => port.take().length), this.gateway.splice(0).length];
  }
}

const mac = (n: number): string => `0254000000${n.toString(16).padStart(2, '0')}`;

test('broadcasts reach every other port and the gateway, multicast every other port', () => {
  const bench = new Bench(3);
  bench.send(0, BROADCAST, mac(0));
  assert.deepEqual(bench.counts(), [0, 1, 1, 1]);
  bench.send(1, '01005e0000fb', mac(1));
  assert.deepEqual(bench.counts(), [1, 0, 1, 0]);
});

test('unicast goes where the address was last seen; unknown addresses and hairpins go nowhere', () => {
  const bench = new Bench(3);
  bench.send(0, GATEWAY, mac(0));
  bench.send(1, mac(0), mac(1), 'to zero');
  assert.deepEqual(bench.ports[0]!.frames[0]!.subarray(14).toString(), 'to zero');
  assert.deepEqual(bench.counts(), [1, 0, 0, 1]);
  bench.send(1, mac(9), mac(1));
  bench.send(1, mac(1), mac(1));
  assert.deepEqual(bench.counts(), [0, 0, 0, 0]);
  assert.deepEqual([bench.switch.counters.unknownUnicast, bench.switch.counters.hairpin], [1, 1]);
  bench.now += 2000;
  bench.send(2, GATEWAY, mac(0));
  bench.send(1, mac(0), mac(1));
  assert.deepEqual(bench.counts(), [0, 0, 1, 1], 'the address has moved');
});

test('a full port loses frames and delays nobody', () => {
  const bench = new Bench(3);
  bench.ports[1]!.full = true;
  bench.send(0, BROADCAST, mac(0));
  assert.deepEqual(bench.counts(), [0, 0, 1, 1]);
  assert.equal(bench.ports[1]!.counters.txDropped, 1);
});

test('frames below 14 bytes, and sources that are groups, zero or the gateway, are dropped and counted', () => {
  const bench = new Bench(2);
  for (let length = 0; length < 14; length++) bench.switch.frame(bench.ports[0]!, 4096, length);
  assert.equal(bench.switch.counters.runts, 14);
  for (const source of ['ffffffffffff', '01005e000001', '000000000000', GATEWAY]) bench.send(0, BROADCAST, source);
  assert.equal(bench.switch.counters.badSource, 4);
  assert.equal(bench.ports[0]!.counters.rxDropped, 18);
  assert.deepEqual(bench.counts(), [0, 0, 0]);
});

test('a port that makes up addresses fills its own share only', () => {
  const bench = new Bench(2);
  bench.send(1, GATEWAY, mac(1));
  for (let i = 0; i < 10_000; i++) bench.send(0, GATEWAY, `02${i.toString(16).padStart(10, '0')}`);
  assert.equal(bench.switch.macs.size, 65);
  bench.gateway.length = 0;
  bench.send(0, mac(1), `02${(9999).toString(16).padStart(10, '0')}`);
  assert.deepEqual(bench.counts(), [0, 1, 0]);
});

test('an address not heard of for five minutes is forgotten, one of a detached port at once', () => {
  const bench = new Bench(3);
  bench.send(0, GATEWAY, mac(0));
  bench.send(1, GATEWAY, mac(1));
  bench.now = 299_000;
  bench.send(1, GATEWAY, mac(1));
  bench.now = 301_000;
  bench.counts();
  bench.send(2, mac(0), mac(2));
  bench.send(2, mac(1), mac(2));
  assert.deepEqual(bench.counts(), [0, 1, 0, 0]);
  bench.switch.detached(bench.ports[1]!);
  bench.send(2, mac(1), mac(2));
  assert.deepEqual(bench.counts(), [0, 0, 0, 0]);
});

test('agrees with a simple model, whatever is sent', () => {
  const frames = fc.array(fc.record({ from: fc.nat(3), to: fc.integer({ min: -2, max: 5 }), source: fc.nat(5) }), { maxLength: 200 });
  fc.assert(
    fc.property(frames, (list) => {
      const bench = new Bench(4);
      const where = new Map<number, number>();
      for (const { from, to, source } of list) {
        where.set(source, from);
        // Learning is renewed once a second per address.
        bench.now += 1000;
        bench.send(from, to === -1 ? BROADCAST : to === -2 ? GATEWAY : mac(to), mac(source));
        const expected = [0, 0, 0, 0, 0];
        if (to === -2) expected[4] = 1;
        else if (to === -1) [0, 1, 2, 3, 4].forEach((i) => (expected[i] = i === from ? 0 : 1));
        else if (where.has(to) && where.get(to) !== from) expected[where.get(to)!] = 1;
        assert.deepEqual(bench.counts(), expected);
      }
    }),
    { numRuns: 200 },
  );
});
