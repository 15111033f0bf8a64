import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { IpAddress } from '../../src/packet/address.ts';
import type { Guard } from '../../src/switch/switch.ts';
import type { FakePortOptions } from '../fake-port.ts';
import { Bench, GATEWAY, mac, openAt } from './guard-bench.ts';

const PREFIX = 'fd01:2:3:4';
const ROUTER = 'fe80::5894:efff:fee4:cdd';
const OURS = [`${PREFIX}::1`, ROUTER, `${PREFIX}::254`];
/** Who comes first gets it. */
const FREE = `${PREFIX}::aaaa`;
const ALL_NODES = '333300000001';

/** What the kernel of VM `n` makes of its MAC address. */
const derived = (n: number, prefix = PREFIX): string => `${prefix}:54:ff:fe00:${n.toString(16)}`.replace('fe80:54:', 'fe80::54:');

function words(text: string): string {
  const { w0, w1, w2, w3 } = IpAddress.parse(text)!;
  return [w0, w1, w2, w3].map((word) => (word >>> 0).toString(16).padStart(8, '0')).join('');
}

/** An IPv6 packet with its ethertype. */
function ipv6(source: string, next: string, rest: string, destination = 'ff02::1'): string {
  const length = (rest.length / 2).toString(16).padStart(4, '0');
  return `86dd60000000${length}${next}ff${words(source)}${words(destination)}${rest}`;
}

const tcp = (source: string): string => ipv6(source, '06', '00'.repeat(20));

/** Messages of neighbour discovery; `link` is an option of 8 bytes in hex. */
function solicitation(source: string, target: string, link = ''): string {
  return ipv6(source, '3a', `8700000000000000${words(target)}${link}`);
}

function advertisement(source: string, target: string, link = '', flags = '20000000'): string {
  return ipv6(source, '3a', `88000000${flags}${words(target)}${link}`);
}

const linkOf = (n: number, option = '01'): string => `${option}01${mac(n)}`;
const ROUTER_ADVERTISEMENT = (source: string): string => ipv6(source, '3a', '86000000' + '00'.repeat(12));

class World extends Bench {
  constructor(guard: Guard, count = 3, first: FakePortOptions = {}) {
    super(count, { guard, ipv6: OURS.map((text) => IpAddress.parse(text)!) }, first);
    // Their MAC addresses are known.
    for (let n = 0; n < count; n++) this.send(n, GATEWAY, mac(n));
  }

  /** Whether a packet of VM `n` goes to the others. */
  says(n: number, body: string, header = ''): boolean {
    return this.send(n, ALL_NODES, mac(n), body, header);
  }
}

test('an address is the first VM’s that sends from it, answers for it or tests it, until that has gone', () => {
  for (const first of [tcp(FREE), advertisement(`fe80::99`, FREE, linkOf(0, '02')), solicitation('::', FREE)]) {
    const world = new World('lease');
    assert.ok(world.says(0, first), first);
    assert.equal(world.says(1, tcp(FREE)), false, first);
    assert.equal(world.says(1, advertisement(derived(1, 'fe80'), FREE)), false, first);
    world.now = 86_400_000;
    assert.equal(world.says(1, tcp(FREE)), false, 'however long the VM is silent');
    assert.ok(world.says(0, tcp(FREE)));
    world.switch.detached(world.ports[0]!);
    assert.ok(world.says(1, tcp(FREE)));
    assert.equal(world.says(2, tcp(FREE)), false);
  }
});

test('nobody sends from what is the gateway’s, of no network of it, or no host’s', () => {
  const world = new World('lease');
  const before = world.switch.counters.dropUnleased;
  const sources = [...OURS, `${PREFIX}::`, 'fd01:2:3:5::7', '2001:db8::7', 'ff02::1', '::1', '::ffff:10.0.0.1', 'fec0::7'];
  for (const source of sources) {
    assert.equal(world.says(0, tcp(source)), false, source);
    assert.equal(world.says(0, advertisement(derived(0), source)), false, source);
  }
  assert.equal(world.switch.counters.dropUnleased - before, 2 * sources.length);
  assert.equal(world.ports[0]!.counters.rxForged, 2 * sources.length);
  assert.equal(world.send(0, GATEWAY, mac(0), tcp('2001:db8::7')), false, 'to the gateway neither');
  assert.ok(world.says(0, tcp('fe80::7')) && world.says(0, tcp(`${PREFIX}::7`)));
});

test('what a kernel makes of a MAC address is that VM’s, though another came first', () => {
  const world = new World('lease');
  for (const address of [derived(0), derived(0, 'fe80')]) {
    for (const body of [tcp(address), solicitation('::', address), advertisement(derived(1), address)])
      assert.equal(world.says(1, body), false, body);
    assert.ok(world.says(0, solicitation('::', address)));
    assert.ok(world.says(0, tcp(address)));
  }
  // A VM that isn't there yet keeps nothing; when it comes, it gets what is its own.
  const late = derived(9);
  assert.ok(world.says(1, tcp(late)));
  world.send(2, GATEWAY, mac(9));
  // Look-ups are put off for so long.
  world.now += 1000;
  assert.equal(world.says(1, tcp(late)), false);
  assert.ok(world.send(2, ALL_NODES, mac(9), solicitation('::', late)));
  assert.ok(world.says(2, tcp(late)), 'also with another MAC address of that VM');
});

test('a lease and a reservation go before who came first', () => {
  const world = new World('lease');
  const { holders } = world.switch.leases!.ipv6!;
  assert.ok(world.says(1, tcp(FREE)));
  holders.lease(IpAddress.parse(FREE)!, world.ports[0]!);
  assert.deepEqual([world.says(1, tcp(FREE)), world.says(0, tcp(FREE))], [false, true]);
  holders.reserve(IpAddress.parse(`${PREFIX}::2`)!, 0x0254, 2);
  for (const body of [tcp(`${PREFIX}::2`), solicitation('::', `${PREFIX}::2`)]) {
    assert.equal(world.says(1, body), false);
    assert.equal(world.send(1, ALL_NODES, '025600000002', body), false, 'of a MAC address that differs at its beginning alone');
  }
  assert.ok(world.says(2, tcp(`${PREFIX}::2`)));
});

test('who has no address asks for routers, tests addresses and tells of groups, and nothing else', () => {
  const world = new World('lease');
  const open = [
    ipv6('::', '3a', '8500000000000000'),
    solicitation('::', `${PREFIX}::5`),
    ipv6('::', '3a', '8300000000000000' + words('ff02::5')),
    ipv6('::', '3a', '8f00000000000000'),
    ipv6('::', '00', '3a00050200000000' + '8f00000000000000'),
  ];
  for (const body of open) assert.ok(world.says(0, body), body);
  const closed = [
    tcp('::'),
    ipv6('::', '11', '0222022300080000'),
    ipv6('::', '3a', '8000000000000000'),
    ipv6('::', '3a', '8200000000000000'),
    advertisement('::', FREE),
    ipv6('::', '2c', '3a00000000000000' + `8700000000000000${words(FREE)}`),
    ipv6('::', '2c', '3a00000800000000' + '00'.repeat(8)),
  ];
  for (const body of closed) assert.equal(world.says(0, body), false, body);
});

test('messages of discovery name the sender’s own MAC address and addresses, or go nowhere', () => {
  const world = new World('lease');
  const own = derived(0);
  const open = [
    solicitation(own, derived(1), linkOf(0)),
    solicitation(own, derived(1), '0e01010203040506' + linkOf(0)),
    advertisement(own, own, linkOf(0, '02')),
    ipv6(own, '3a', '8500000000000000' + linkOf(0)),
    ipv6(own, '3a', '8500000000000000'),
    // Nobody takes these (RFC 6980).
    ipv6(own, '2c', '3a00000000000000' + `8800000020000000${words(derived(1))}`),
  ];
  for (const body of open) assert.ok(world.says(0, body), body);
  const closed = [
    solicitation(own, derived(1), linkOf(1)),
    solicitation(own, derived(1), linkOf(0) + linkOf(1)),
    solicitation(own, derived(1), '0102' + mac(0) + '00'.repeat(8)),
    solicitation(own, derived(1), '0100'),
    solicitation(own, derived(1), '01'),
    solicitation(own, derived(1), '0e02010203040506'),
    advertisement(own, own, linkOf(1, '02')),
    advertisement(own, derived(1), linkOf(0, '02')),
    advertisement(own, ROUTER, linkOf(0, '02')),
    advertisement(own, `${PREFIX}::1`),
    ipv6(own, '3a', '8500000000000000' + linkOf(1)),
    ipv6(own, '3a', '85000000'),
    ipv6(own, '3a', `8700000000000000${words(FREE).slice(0, 24)}`),
    // The destination reads as an option.
    ipv6(own, '3a', '8900000000000000' + words(FREE) + words('e02::1')),
    ROUTER_ADVERTISEMENT(own),
    // The header says more than there is.
    solicitation(own, derived(1)).replace('600000000018', '600000000020'),
    ipv6(own, '3c', '3a00000000000000' + `8800000020000000${words(derived(1))}`),
  ];
  for (const body of closed) assert.equal(world.says(0, body), false, body);
  const offload = new World('lease', 2, { offload: true, largestFrame: 65_549 });
  const asked = solicitation(own, derived(1), linkOf(0));
  assert.ok(offload.says(0, asked, openAt(14, 56)), 'its checksum is completed on the way');
  for (const field of [58, 60, 70, 80, 84]) assert.equal(offload.says(0, asked, openAt(14, field)), false, `${field} is written over`);
});

test('a test of another’s address reaches him to be answered, but not while he tests it himself', () => {
  const world = new World('lease');
  assert.ok(world.says(0, solicitation('::', FREE)));
  assert.equal(world.says(1, solicitation('::', FREE)), false, 'who hears this gives the address up');
  world.now = 2000;
  assert.ok(world.says(1, solicitation('::', FREE)));
  assert.ok(world.says(0, advertisement(FREE, FREE, linkOf(0, '02'))), 'and says that he has it');
  assert.equal(world.says(1, tcp(FREE)), false);
  world.now = 50_000;
  assert.ok(world.says(0, solicitation('::', FREE)), 'after its interface was down');
  assert.equal(world.says(1, solicitation('::', FREE)), false);
  for (const ours of OURS) assert.ok(world.says(1, solicitation('::', ours)), 'the gateway answers for itself');
  assert.equal(world.says(1, solicitation('::', '2001:db8::5')), false);
});

test('who makes addresses up pushes out its own, and takes no other’s', () => {
  const world = new World('lease');
  const { holders } = world.switch.leases!.ipv6!;
  assert.ok(world.says(0, tcp(FREE)));
  const used = `${PREFIX}::b`;
  for (let i = 0; i < 5000; i++) {
    world.now += 10;
    world.says(1, tcp(`${PREFIX}::1:${i.toString(16)}`));
    if (i % 20 === 0) assert.ok(world.says(1, tcp(used)));
  }
  assert.equal(holders.size, 65);
  assert.equal(world.says(2, tcp(used)), false, 'one in use stays');
  assert.equal(world.says(2, tcp(FREE)), false);
  assert.ok(world.says(2, tcp(`${PREFIX}::1:0`)), 'one that made room is free');
});

test('with the guard by MAC address no router but the gateway is heard of by VMs, where guests have IPv6', () => {
  const world = new World('mac');
  const hidden = [
    ROUTER_ADVERTISEMENT('fe80::7'),
    ipv6('fe80::7', '00', '3a00000000000000' + '86000000'),
    ipv6('fe80::7', '3c', '3c00000000000000'.repeat(9)),
    ipv6('fe80::7', '3a', ''),
  ];
  for (const body of hidden) {
    assert.equal(world.says(0, body), false, body);
    assert.equal(world.send(0, mac(1), mac(0), body), false, body);
  }
  assert.deepEqual([world.switch.counters.dropRouter, world.ports[0]!.counters.rxForged], [8, 8]);
  assert.ok(world.send(0, GATEWAY, mac(0), ROUTER_ADVERTISEMENT('fe80::7')), 'the gateway counts them itself');
  for (const body of [solicitation('fe80::7', FREE), tcp('2001:db8::7'), ipv6('fe80::7', '2c', '3a00000000000000' + '86000000'), '0800'])
    assert.ok(world.says(0, body), body);
  const offload = new World('mac', 2, { offload: true, largestFrame: 65_549 });
  const echo = ipv6('fe80::7', '3a', '8000000000000000');
  assert.deepEqual(
    [54, 56].map((field) => offload.says(0, echo, openAt(14, field))),
    [false, true],
    'its type is not written over',
  );
  assert.ok(new World('off').says(0, ROUTER_ADVERTISEMENT('fe80::7')));
  const without = new Bench(2, { guard: 'mac' });
  assert.ok(without.send(0, ALL_NODES, mac(0), ROUTER_ADVERTISEMENT('fe80::7')), 'whose IPv6 is their own affair');
});

test('no VM’s router advertisement goes by in a priority tag or a SNAP header (CVE-2021-27853)', () => {
  const advertisement = ROUTER_ADVERTISEMENT('fe80::7');
  const snap = (body: string, length = '0040'): string => `${length}aaaa03000000${body}`;
  const hidden = [
    `81000000${advertisement}`,
    `8100e000${advertisement}`,
    `88a80000${advertisement}`,
    `81000000${'81000000'.repeat(20)}${advertisement}`,
    `88a8000081000000${advertisement}`,
    snap(advertisement),
    snap(advertisement, '0000'),
    snap(advertisement, '05dc'),
    `81000000${snap(advertisement)}`,
    snap(`81000000${advertisement}`),
    `81000000${ipv6('fe80::7', '3c', '3a00000000000000' + '86000000')}`,
  ];
  const open = [
    // Of VLANs, guests have their own routers.
    `81000005${advertisement}`,
    `81000000${solicitation('fe80::7', FREE)}`,
    `810000000800${'00'.repeat(20)}`,
    '81000000',
    '8100',
    '0040aaaa0300000086',
    `004042420300000086dd${advertisement}`,
    '88b5',
  ];
  for (const [bodies, goes] of [
    [hidden, false],
    [open, true],
  ] as const) {
    for (const body of bodies) {
      const world = new World('mac');
      assert.equal(world.says(0, body), goes, body);
      assert.equal(world.send(0, mac(1), mac(0), body), goes, body);
      assert.equal(world.switch.counters.dropRouter, goes ? 0 : 2);
    }
  }
  const offload = new World('mac', 2, { offload: true, largestFrame: 65_549 });
  const written = (body: string): boolean[] =>
    [14, 16, 18, 20, 22, 80].map((field) => offload.says(0, body + '00'.repeat(40), openAt(14, field)));
  assert.deepEqual(written(`8100000588b5`), [false, false, true, true, true, true], 'what makes it one is not written either');
  assert.deepEqual(written(`00404242030000000000`), [false, false, false, false, true, true]);
});

test('whatever VMs send, nothing is thrown, each has its share of addresses, and nobody has what is made of another’s MAC address', () => {
  const world = new World('lease');
  const { holders } = world.switch.leases!.ipv6!;
  const own = fc.constantFrom(derived(0), derived(1), derived(1, 'fe80'), FREE, '::', `${PREFIX}::1`);
  const made = fc.integer({ min: 0, max: 0xffff }).map((n) => `${PREFIX}::2:${n.toString(16)}`);
  const address = fc.oneof(own, made);
  const link = fc.constantFrom('', linkOf(0), linkOf(1), '01', '0100', 'ff02' + '00'.repeat(14));
  const body = fc.oneof(
    address.map(tcp),
    fc.tuple(address, address, link).map(([source, target, option]) => solicitation(source, target, option)),
    fc.tuple(address, address, link).map(([source, target, option]) => advertisement(source, target, option)),
  );
  const change = fc.record({ at: fc.nat({ max: 90 }), value: fc.integer({ min: 0, max: 255 }) });
  const said = new Set<number>();
  fc.assert(
    fc.property(fc.nat({ max: 1 }), body, fc.option(change), fc.nat({ max: 3000 }), (vm, text, changed, time) => {
      const bytes = Buffer.from(text, 'hex');
      if (changed !== null && changed.at < bytes.length) bytes[changed.at] = changed.value;
      world.now += time;
      const admitted = world.says(vm, bytes.toString('hex'));
      assert.ok(holders.size <= 2 * 64, `${holders.size}`);
      const source = bytes.toString('hex', 10, 26);
      if (!admitted || !bytes.toString('hex').startsWith('86dd') || /^0+$/.test(source)) return;
      // Of others one may have pushed out its own.
      const owner = [0, 1].find((n) => source === words(derived(n)));
      if (owner === undefined) return;
      assert.equal(vm, owner);
      said.add(owner);
    }),
    { numRuns: 10_000 },
  );
  assert.ok(said.size === 2 && world.switch.counters.dropUnleased > 1000, `${said.size}`);
});
