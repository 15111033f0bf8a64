import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatIpv4, parseIpv4 } from '../../../src/packet/address.ts';
import { LEASE_LIMIT, LEASE_TIME, LeasePool } from '../../../src/service/dhcp/lease-pool.ts';

const DEVICE = '5a:94:ef:e4:0c:ee';

function word(address: string): number {
  return parseIpv4(address)!;
}

/** gvproxy's default network, or another one without reservations. */
function pool(options: { subnet?: string; prefix?: number } = {}): { pool: LeasePool; pass: (ms: number) => void } {
  let now = 0;
  const isDefault = options.subnet === undefined;
  const made = new LeasePool({
    subnet: word(options.subnet ?? '192.168.127.0'),
    mask: -1 << (32 - (options.prefix ?? 24)),
    reserved: isDefault ? ['192.168.127.1', '192.168.127.2', '192.168.127.254'].map(word) : [],
    statics: new Map(isDefault ? [[word('192.168.127.2'), DEVICE.toUpperCase()]] : []),
    now: () => now,
  });
  return { pool: made, pass: (ms) => void (now += ms) };
}

function mac(index: number): string {
  return `02:00:00:${[index >>> 16, (index >>> 8) & 255, index & 255].map((byte) => byte.toString(16).padStart(2, '0')).join(':')}`;
}

function text(address: number | undefined): string | undefined {
  return address === undefined ? undefined : formatIpv4(address);
}

test('gives the same MAC the same address and the next MAC the next', () => {
  const { pool: leases } = pool({ subnet: '10.0.0.0', prefix: 8 });
  assert.equal(text(leases.bind(mac(1))), '10.0.0.1');
  assert.equal(text(leases.bind(mac(1))), '10.0.0.1');
  assert.equal(text(leases.bind(mac(2))), '10.0.0.2');
  assert.deepEqual(
    [...leases.list()],
    [
      ['10.0.0.1', mac(1)],
      ['10.0.0.2', mac(2)],
    ],
  );
});

test('hands a released address out again before higher ones', () => {
  const { pool: leases } = pool({ subnet: '10.0.0.0', prefix: 8 });
  for (let i = 1; i <= 4; i++) leases.bind(mac(i));
  leases.release(mac(3));
  leases.release(mac(2));
  leases.release(mac(99));
  assert.equal(text(leases.bind(mac(5))), '10.0.0.2');
  assert.equal(text(leases.bind(mac(6))), '10.0.0.3');
  assert.equal(text(leases.bind(mac(7))), '10.0.0.5');
});

test('gives the static lease to its MAC only, whatever its case in the configuration', () => {
  const { pool: leases } = pool();
  assert.equal(text(leases.offer(DEVICE)), '192.168.127.2');
  assert.equal(text(leases.bind(DEVICE)), '192.168.127.2');
  assert.equal(text(leases.bind(mac(1))), '192.168.127.3');
  assert.equal(leases.list().get('192.168.127.2'), DEVICE);
  assert.equal(leases.size, 1);
});

test('never hands out network, broadcast, gateway, device or host address', () => {
  const { pool: leases } = pool();
  const given = new Set<string>();
  for (let i = 0; i < 400; i++) {
    const address = text(leases.bind(mac(i)));
    if (address !== undefined) given.add(address);
  }
  assert.equal(given.size, 251);
  for (const last of [0, 1, 2, 254, 255]) assert.ok(!given.has(`192.168.127.${last}`), `${last}`);
});

test('has no address in a subnet of one or two', () => {
  assert.equal(pool({ subnet: '10.0.0.4', prefix: 32 }).pool.offer(mac(1)), undefined);
  assert.equal(pool({ subnet: '10.0.0.4', prefix: 31 }).pool.offer(mac(1)), undefined);
  const { pool: four } = pool({ subnet: '10.0.0.4', prefix: 30 });
  assert.deepEqual(
    [1, 2, 3].map((i) => text(four.bind(mac(i)))),
    ['10.0.0.5', '10.0.0.6', undefined],
  );
});

test('does not list an address that was only offered', () => {
  const { pool: leases } = pool();
  leases.offer(mac(1));
  assert.deepEqual([...leases.list().keys()], ['192.168.127.2']);
  leases.bind(mac(1));
  assert.deepEqual([...leases.list().keys()], ['192.168.127.2', '192.168.127.3']);
});

test('keeps a lease a lease when its holder asks for an offer again', () => {
  const { pool: leases } = pool();
  leases.bind(mac(1));
  leases.offer(mac(1));
  assert.equal(leases.list().get('192.168.127.3'), mac(1));
});

test('remembers a lease long after it has run out while there is room', () => {
  const { pool: leases, pass } = pool();
  leases.bind(mac(1));
  pass(365 * 86_400_000);
  leases.bind(mac(2));
  assert.equal(text(leases.bind(mac(1))), '192.168.127.3');
});

test('a full pool makes room by the lease that ran out longest ago, never by one that has not', () => {
  const { pool: leases, pass } = pool({ subnet: '10.0.0.0', prefix: 30 });
  leases.bind(mac(1));
  pass(1000);
  leases.bind(mac(2));
  pass(1000);
  leases.bind(mac(1));
  assert.equal(leases.bind(mac(3)), undefined);
  pass(LEASE_TIME * 1000 - 1001);
  assert.equal(leases.bind(mac(3)), undefined);
  pass(1);
  assert.equal(text(leases.bind(mac(3))), '10.0.0.2');
  assert.deepEqual([...leases.list().values()].sort(), [mac(1), mac(3)]);
});

test('a full pool takes an offer whose minute is over before a lease that has run out, and that before a fresh offer', () => {
  const { pool: leases, pass } = pool({ subnet: '10.0.0.0', prefix: 29 });
  leases.bind(mac(1));
  leases.bind(mac(2));
  pass(LEASE_TIME * 1000);
  for (let i = 3; i <= 6; i++) leases.offer(mac(i));
  assert.equal(text(leases.offer(mac(7))), '10.0.0.1', 'the oldest lease, as no offer is a minute old');
  pass(60_000);
  assert.equal(text(leases.offer(mac(8))), '10.0.0.3', 'the oldest offer');
  assert.deepEqual([...leases.list().keys()], ['10.0.0.2']);
});

test('a flood of 100 000 MACs that ask for offers keeps no one out and takes no lease', () => {
  const { pool: leases, pass } = pool();
  leases.bind(mac(0x900001));
  for (let i = 0; i < 100_000; i++) {
    assert.notEqual(leases.offer(mac(i)), undefined);
    if (i % 100 === 0) pass(1);
  }
  assert.equal(leases.size, 251);
  assert.equal(text(leases.bind(mac(0x900001))), '192.168.127.3');
  const offered = leases.offer(mac(0x900002));
  for (let i = 0; i < 200; i++) leases.offer(mac(100_000 + i));
  assert.equal(leases.bind(mac(0x900002)), offered);
  assert.equal(leases.list().size, 3);
});

test('a flood of 100 000 MACs that take leases grows no further than the limit and is over in a moment', () => {
  const { pool: leases } = pool({ subnet: '10.0.0.0', prefix: 8 });
  assert.equal(text(leases.bind(mac(0x900001))), '10.0.0.1');
  const started = process.hrtime.bigint();
  for (let i = 0; i < 100_000; i++) leases.bind(mac(i));
  assert.ok(process.hrtime.bigint() - started < 2_000_000_000n);
  assert.equal(leases.size, LEASE_LIMIT);
  assert.equal(text(leases.bind(mac(0x900001))), '10.0.0.1');
});

test('no two MACs ever hold one address', () => {
  const step = fc.record({
    who: fc.nat(12),
    what: fc.constantFrom('offer', 'bind', 'release'),
    wait: fc.constantFrom(0, 0, 61_000, 3_600_000),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const { pool: leases, pass } = pool({ subnet: '10.0.0.0', prefix: 29 });
      const bound = new Map<string, { address: number; at: number }>();
      let now = 0;
      for (const { who, what, wait } of steps) {
        pass(wait);
        now += wait;
        const name = mac(who);
        if (what === 'release') {
          leases.release(name);
          bound.delete(name);
          continue;
        }
        const address = what === 'offer' ? leases.offer(name) : leases.bind(name);
        if (address === undefined) continue;
        for (const [other, lease] of bound) {
          if (other === name) assert.ok(lease.address === address || now - lease.at >= 3_600_000);
          else if (lease.address === address) {
            assert.ok(now - lease.at >= 3_600_000, 'a lease was taken before it ran out');
            bound.delete(other);
          }
        }
        if (what === 'bind' || bound.has(name)) bound.set(name, { address, at: now });
      }
      const listed = [...leases.list().values()];
      assert.equal(new Set(listed).size, listed.length);
      assert.ok(leases.size <= 6);
    }),
  );
});
