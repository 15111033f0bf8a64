import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Arena } from '../../../src/runtime/arena.ts';
import { formatIpv4, parseIpv4 } from '../../../src/packet/address.ts';
import { LEASE_LIMIT, LEASE_TIME, LeasePool } from '../../../src/service/dhcp/lease-pool.ts';
import { FakePort } from '../../fake-port.ts';

const ARENA = new Arena(16 << 20);
const [A, B, C, D] = [0, 1, 2, 3].map((id) => new FakePort(ARENA, id)) as [FakePort, FakePort, FakePort, FakePort];
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
  assert.equal(text(leases.bind(mac(1), A)), '10.0.0.1');
  assert.equal(text(leases.bind(mac(1), A)), '10.0.0.1');
  assert.equal(text(leases.bind(mac(2), A)), '10.0.0.2');
  assert.deepEqual(
    [...leases.list()],
    [
      ['10.0.0.1', mac(1)],
      ['10.0.0.2', mac(2)],
    ],
  );
});

test('gives the static lease to its MAC only, whatever its case in the configuration', () => {
  const { pool: leases } = pool();
  assert.equal(text(leases.offer(DEVICE, A)), '192.168.127.2');
  assert.equal(text(leases.bind(DEVICE, A)), '192.168.127.2');
  assert.equal(text(leases.bind(mac(1), A)), '192.168.127.3');
  assert.equal(leases.list().get('192.168.127.2'), DEVICE);
  assert.equal(leases.size, 1);
});

test('does not list an address that was only offered', () => {
  const { pool: leases } = pool();
  leases.offer(mac(1), A);
  assert.deepEqual([...leases.list().keys()], ['192.168.127.2']);
  leases.bind(mac(1), A);
  assert.deepEqual([...leases.list().keys()], ['192.168.127.2', '192.168.127.3']);
});

test('keeps a lease a lease when its holder asks for an offer again', () => {
  const { pool: leases } = pool();
  leases.bind(mac(1), A);
  leases.offer(mac(1), A);
  assert.equal(leases.list().get('192.168.127.3'), mac(1));
});

test('remembers a lease long after it has run out while there is room', () => {
  const { pool: leases, pass } = pool();
  leases.bind(mac(1), A);
  pass(365 * 86_400_000);
  leases.bind(mac(2), A);
  assert.equal(text(leases.bind(mac(1), A)), '192.168.127.3');
});

test('never hands out network, broadcast, gateway, device or host address', () => {
  const { pool: leases } = pool();
  const given = new Set<string>();
  for (let i = 0; i < 400; i++) {
    for (const vm of [A, B, C, D]) {
      const address = text(leases.bind(mac(i), vm));
      if (address !== undefined) given.add(address);
    }
    if (i === 150) leases.detached(A);
  }
  assert.equal(given.size, 251);
  for (const last of [0, 1, 2, 254, 255]) assert.ok(!given.has(`192.168.127.${last}`), `${last}`);
});

test('has no address in a subnet of one or two', () => {
  assert.equal(pool({ subnet: '10.0.0.4', prefix: 32 }).pool.offer(mac(1), A), undefined);
  assert.equal(pool({ subnet: '10.0.0.4', prefix: 31 }).pool.offer(mac(1), A), undefined);
  const { pool: four } = pool({ subnet: '10.0.0.4', prefix: 30 });
  assert.deepEqual(
    [A, B, C].map((vm) => text(four.bind(mac(vm.id), vm))),
    ['10.0.0.5', '10.0.0.6', undefined],
  );
});

test('one VM takes half of the addresses at most, and the next VM has its pick', () => {
  const { pool: leases } = pool();
  const given = Array.from({ length: 300 }, (_, i) => leases.bind(mac(i), A)).filter((address) => address !== undefined);
  assert.equal(given.length, 126);
  assert.notEqual(leases.bind(mac(1000), B), undefined);
  assert.equal(leases.bind(mac(1001), A), undefined);
});

test('VMs one after another that take what they can leave something for one more', () => {
  const { pool: leases } = pool();
  for (const vm of [A, B]) for (let i = 0; i < 300; i++) leases.bind(mac(vm.id * 1000 + i), vm);
  assert.equal(leases.size, 126 + 63);
  assert.notEqual(leases.bind(mac(9000), C), undefined);
});

test('what VMs that have gone had is there for the next, the one gone longest first', () => {
  const { pool: leases } = pool();
  for (const vm of [A, B]) {
    for (let i = 0; i < 300; i++) leases.bind(mac(vm.id * 1000 + i), vm);
    leases.detached(vm);
  }
  // A had 126, and B, alone by then, took the 125 that were free and one of A's.
  const [[before]] = [...leases.list()].filter(([, holder]) => holder === mac(1)) as [[string, string]];
  assert.equal(leases.size, 251);
  assert.equal(text(leases.bind(mac(9000), C)), before);
  for (let i = 0; i < 300; i++) leases.bind(mac(9001 + i), C);
  assert.equal([...leases.list().values()].filter((holder) => holder >= mac(9000) && holder !== DEVICE).length, 126);
});

test('a MAC that comes back has the address it had, on whatever VM, and keeps it as a lease', () => {
  const { pool: leases } = pool();
  leases.bind(mac(1), A);
  leases.bind(mac(2), A);
  leases.detached(A);
  assert.equal(text(leases.bind(mac(3), B)), '192.168.127.5');
  assert.equal(text(leases.offer(mac(2), C)), '192.168.127.4');
  assert.equal(leases.list().get('192.168.127.4'), mac(2));
  leases.detached(C);
  assert.equal(text(leases.bind(mac(2), C)), '192.168.127.4');
});

test('an offer ends with its VM', () => {
  const { pool: leases } = pool();
  leases.offer(mac(1), A);
  leases.detached(A);
  leases.detached(B);
  assert.equal(leases.size, 0);
  assert.equal(text(leases.offer(mac(2), B)), '192.168.127.3');
});

test("a MAC of another VM that is attached gets an address of its own and does not touch the other's", () => {
  const { pool: leases, pass } = pool();
  leases.bind(mac(1), A);
  pass(10 * LEASE_TIME * 1000);
  assert.equal(text(leases.offer(mac(1), B)), '192.168.127.4');
  assert.equal(text(leases.bind(mac(1), B)), '192.168.127.4');
  assert.equal(text(leases.bind(mac(1), A)), '192.168.127.3');
  leases.detached(B);
  assert.equal(text(leases.bind(mac(1), A)), '192.168.127.3');
  leases.detached(A);
  assert.equal(leases.size, 1, 'the address of the VM that went last');
  assert.equal(text(leases.bind(mac(1), C)), '192.168.127.3');
});

test('no VM keeps another from a static lease by asking for it first', () => {
  const { pool: leases } = pool();
  assert.equal(text(leases.bind(DEVICE, B)), '192.168.127.2');
  assert.equal(text(leases.bind(DEVICE, A)), '192.168.127.2');
});

test('a full pool makes room by the lease that ran out longest ago, never by one that has not', () => {
  const { pool: leases, pass } = pool({ subnet: '10.0.0.0', prefix: 30 });
  leases.bind(mac(1), A);
  pass(1000);
  leases.bind(mac(2), B);
  pass(1000);
  leases.bind(mac(1), A);
  assert.equal(leases.bind(mac(3), C), undefined);
  pass(LEASE_TIME * 1000 - 1001);
  assert.equal(leases.bind(mac(3), C), undefined);
  pass(1);
  assert.equal(text(leases.bind(mac(3), C)), '10.0.0.2');
  assert.deepEqual([...leases.list().values()].sort(), [mac(1), mac(3)]);
});

test('a full pool takes an offer whose minute is over before a lease that has run out, and that before a fresh offer', () => {
  const { pool: leases, pass } = pool({ subnet: '10.0.0.0', prefix: 29 });
  // A has 1 to 3, B 4 and 5, D 6.
  for (let i = 1; i <= 2; i++) leases.bind(mac(i), A);
  pass(LEASE_TIME * 1000);
  leases.offer(mac(3), A);
  for (let i = 4; i <= 5; i++) leases.offer(mac(i), B);
  leases.bind(mac(6), D);
  assert.equal(leases.size, 6);
  assert.equal(text(leases.offer(mac(7), C)), '10.0.0.1', 'the oldest lease, as no offer is a minute old');
  pass(60_000);
  leases.detached(C);
  leases.bind(mac(8), C);
  leases.detached(D);
  leases.bind(mac(6), D);
  assert.equal(text(leases.offer(mac(9), D)), '10.0.0.3', 'the oldest offer');
  assert.ok(leases.list().has('10.0.0.2'));
});

test('when all is offered, room is made by a VM that has more', () => {
  const { pool: leases } = pool({ subnet: '10.0.0.0', prefix: 29 });
  for (let i = 1; i <= 3; i++) leases.offer(mac(i), A);
  for (let i = 4; i <= 5; i++) leases.offer(mac(i), B);
  leases.offer(mac(6), C);
  assert.equal(text(leases.offer(mac(7), D)), '10.0.0.1');
  assert.equal(text(leases.offer(mac(8), D)), '10.0.0.1', 'its own, as nobody is above its share by two');
});

test('a flood of 100 000 MACs that ask for offers keeps no one out and takes no lease', () => {
  const { pool: leases, pass } = pool();
  leases.bind(mac(0x900001), A);
  for (let i = 0; i < 100_000; i++) {
    assert.notEqual(leases.offer(mac(i), B), undefined);
    if (i % 100 === 0) pass(1);
  }
  assert.ok(leases.size <= 1 + 251 / 2);
  assert.equal(text(leases.bind(mac(0x900001), A)), '192.168.127.3');
  const offered = leases.offer(mac(0x900002), A);
  for (let i = 0; i < 200; i++) leases.offer(mac(100_000 + i), B);
  assert.equal(leases.bind(mac(0x900002), A), offered);
  assert.equal(leases.list().size, 3);
});

test('a flood of 100 000 MACs that take leases grows no further than its share and is over in a moment', () => {
  const { pool: leases } = pool({ subnet: '10.0.0.0', prefix: 8 });
  const started = process.hrtime.bigint();
  for (let i = 0; i < 100_000; i++) leases.bind(mac(i), A);
  assert.ok(process.hrtime.bigint() - started < 2_000_000_000n);
  assert.equal(leases.size, LEASE_LIMIT / 2);
  assert.equal(text(leases.bind(mac(0), A)), '10.0.0.1');
});

test('VMs that come, take leases and go use no more addresses than the limit', () => {
  const { pool: leases } = pool({ subnet: '10.0.0.0', prefix: 8 });
  for (let i = 0; i < 20_000; i++) {
    assert.notEqual(leases.bind(mac(i), A), undefined);
    if (i % 1000 === 0) leases.detached(A);
  }
  assert.equal(leases.size, LEASE_LIMIT);
});

test('no two MACs ever hold one address, and a lease is taken from an attached VM only when it has run out', () => {
  const step = fc.record({
    who: fc.nat(6),
    vm: fc.constantFrom(A, B, C),
    what: fc.constantFrom('offer', 'bind', 'bind', 'detach'),
    wait: fc.constantFrom(0, 0, 61_000, 3_600_000),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const { pool: leases, pass } = pool({ subnet: '10.0.0.0', prefix: 29 });
      const bound = new Map<string, { address: number; at: number; vm: FakePort }>();
      let now = 0;
      for (const { who, vm, what, wait } of steps) {
        pass(wait);
        now += wait;
        if (what === 'detach') {
          leases.detached(vm);
          for (const [key, lease] of bound) if (lease.vm === vm) bound.delete(key);
          continue;
        }
        const key = `${vm.id} ${mac(who)}`;
        const address = what === 'offer' ? leases.offer(mac(who), vm) : leases.bind(mac(who), vm);
        const mine = bound.get(key);
        if (mine !== undefined) assert.ok(address === mine.address || now - mine.at >= 3_600_000);
        if (address === undefined) continue;
        for (const [other, lease] of bound) {
          if (other === key || lease.address !== address) continue;
          assert.ok(now - lease.at >= 3_600_000, 'a lease was taken before it ran out');
          bound.delete(other);
        }
        if (what === 'bind' || bound.has(key)) bound.set(key, { address, at: now, vm });
      }
      const listed = [...leases.list().keys()];
      for (const { address, at } of bound.values()) assert.ok(now - at >= 3_600_000 || listed.includes(formatIpv4(address)));
      assert.ok(leases.size <= 6);
    }),
    { numRuns: 1000 },
  );
});
