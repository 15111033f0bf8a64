import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Neighbour } from '../../src/gateway/neighbour.ts';
import { IpAddress } from '../../src/packet/address.ts';
import { FakePort } from '../fake-port.ts';
import {
  advertisement,
  Bench6,
  decode6,
  frame6,
  GATEWAY,
  groupOf,
  GUEST,
  GUEST_LOCAL,
  HOST,
  icmp6,
  OUTSIDE,
  ROUTER,
  solicitation,
  SOURCE_OPTION,
  words,
} from './bench6.ts';

function known(bench: Bench6, text: string): Neighbour | null {
  const { w0, w1, w2, w3 } = IpAddress.parse(text)!;
  return bench.gateway.neighbours.lookup(w0, w1, w2, w3);
}

test('answers solicitations for its addresses, to who asks, and learns who that is', () => {
  for (const target of [GATEWAY, HOST, ROUTER]) {
    for (const destination of [groupOf(target), target]) {
      const bench = new Bench6();
      bench.input(solicitation(target, { source: GUEST_LOCAL, destination }));
      const [answer, ...more] = bench.answers();
      assert.deepEqual(more, []);
      assert.deepEqual([answer!.to, answer!.source, answer!.destination, answer!.hops], ['5a94efe40cee', target, GUEST_LOCAL, 255]);
      assert.equal(answer!.payload.toString('hex', 4), 'e0000000' + words(target).toString('hex') + '02015a94efe40cdd');
      assert.deepEqual([answer!.payload[0], answer!.payload[1]], [136, 0]);
      assert.equal(known(bench, GUEST_LOCAL)!.macLo, 0xefe40cee | 0);
    }
  }
});

test('who tests an address before he uses it hears of us when it is ours, and is not taken for its owner', () => {
  const bench = new Bench6();
  bench.input(solicitation(GATEWAY, { source: '::', options: Buffer.alloc(0) }));
  const [answer] = bench.answers();
  assert.deepEqual([answer!.to, answer!.source, answer!.destination], ['333300000001', GATEWAY, 'ff02::1']);
  assert.equal(answer!.payload.readUInt32BE(4), 0xa0000000, 'not solicited');
  bench.input(solicitation(GUEST, { source: '::', options: Buffer.alloc(0) }));
  assert.deepEqual(bench.answers(), []);
  assert.equal(bench.gateway.neighbours.size, 0);
  // Its group is not ours; of one that shares a group with us the target tells.
  bench.input(solicitation('fd01:2:3:4:5::1', { source: GUEST_LOCAL }));
  assert.equal(bench.ipv6.discovery.counters.notOurs, 1);
  assert.deepEqual(bench.answers(), []);
});

test('what RFC 4861 does not allow is dropped: hop limit, code, length, options, addresses, fragments', () => {
  const bench = new Bench6();
  const bad = {
    'hop limit': solicitation(GATEWAY, { hops: 254 }),
    code: solicitation(GATEWAY, { code: 1 }),
    'an option without length': solicitation(GATEWAY, { options: Buffer.from('0100000000000000', 'hex') }),
    'an option beyond the end': solicitation(GATEWAY, { options: Buffer.from('0102000000000000', 'hex') }),
    'half an option': solicitation(GATEWAY, { options: Buffer.from('01', 'hex') }),
    'a group as target': solicitation('ff02::1', { destination: GATEWAY }),
    'a test with the address of who tests': solicitation(GATEWAY, { source: '::', options: SOURCE_OPTION }),
    'a test that goes to one host': solicitation(GATEWAY, { source: '::', destination: GATEWAY, options: Buffer.alloc(0) }),
    'cut off': icmp6(135, Buffer.alloc(19)),
    'an advertisement of nobody': advertisement(GUEST, { source: '::', destination: 'ff02::1' }, 0x20000000),
    'an advertisement to all that was asked for': advertisement(GUEST, { destination: 'ff02::1' }, 0x60000000),
    'an advertisement that is cut off': icmp6(136, Buffer.alloc(19)),
    'a router solicitation from afar': icmp6(133, Buffer.alloc(4), { hops: 64 }),
    'a router solicitation of nobody with an address': icmp6(133, Buffer.concat([Buffer.alloc(4), SOURCE_OPTION]), {
      source: '::',
      destination: 'ff02::2',
    }),
    'a redirect from afar': icmp6(137, Buffer.alloc(36), { hops: 1 }),
  };
  let count = 0;
  for (const [name, frame] of Object.entries(bad)) {
    bench.input(frame);
    assert.equal(bench.ipv6.discovery.counters.malformed, ++count, name);
    assert.deepEqual(bench.answers(), [], name);
  }
  // RFC 6980: the only fragment is one, too.
  const whole = solicitation(GATEWAY);
  const fragmented = Buffer.concat([whole.subarray(0, 54), Buffer.from('3a00000000000001', 'hex'), whole.subarray(54)]);
  fragmented.writeUInt16BE(whole.length - 54 + 8, 18);
  fragmented[20] = 44;
  bench.input(fragmented);
  assert.equal(bench.ipv6.discovery.counters.malformed, ++count);
  assert.deepEqual(bench.answers(), []);
});

test('a checksum that is wrong is no message', () => {
  const bench = new Bench6();
  const frame = solicitation(GATEWAY);
  frame[56]! ^= 1;
  bench.input(frame);
  assert.deepEqual(bench.answers(), []);
  assert.equal(bench.ipv6.icmpInput.counters.dropChecksum, 1);
});

test('tells who asks for a router of itself, its prefix, its resolver and the MTU', () => {
  const bench = new Bench6(1400);
  bench.input(icmp6(133, Buffer.concat([Buffer.alloc(4), SOURCE_OPTION]), { source: GUEST_LOCAL, destination: 'ff02::2' }));
  const [answer] = bench.answers();
  assert.deepEqual([answer!.to, answer!.source, answer!.destination, answer!.hops], ['5a94efe40cee', ROUTER, GUEST_LOCAL, 255]);
  assert.equal(
    answer!.payload.toString('hex', 4),
    '40c0ffff' +
      '0000000000000000' +
      '01015a94efe40cdd' +
      '0501000000000578' +
      '030440c0ffffffffffffffff00000000fd010002000300040000000000000000' +
      '190300000000fffffd010002000300040000000000000001' +
      '1f0200000000ffff036c616e00000000',
  );
  // Without an address: to all, on this port.
  bench.input(icmp6(133, Buffer.alloc(4), { source: '::', destination: 'ff02::2' }));
  const [second] = bench.answers();
  assert.deepEqual([second!.to, second!.destination, second!.payload[0]], ['333300000001', 'ff02::1', 134]);
  assert.deepEqual(bench.broadcasts, []);
});

test('tells everybody every few minutes, once it has begun and until it ends', () => {
  const bench = new Bench6();
  bench.timers.advance(3_600_000);
  assert.deepEqual(bench.broadcasts, []);
  bench.ipv6.advertiser.start();
  const times: number[] = [];
  for (let now = 3_600_000; now <= 3_600_000 + 86_400_000; now += 5000) {
    bench.timers.advance(now);
    for (const frame of bench.broadcasts.splice(0)) {
      times.push(now);
      const { to, source, destination, hops, payload } = decode6(frame);
      assert.deepEqual([to, source, destination, hops, payload[0]], ['333300000001', ROUTER, 'ff02::1', 255, 134]);
    }
  }
  const apart = times.slice(1).map((time, i) => (time - times[i]!) / 1000);
  assert.ok(Math.min(...apart) >= 195 && Math.max(...apart) <= 605 && new Set(apart).size > 20, apart.join(' '));
  bench.ipv6.advertiser.stop();
  bench.timers.advance(200_000_000);
  assert.deepEqual(bench.broadcasts, []);
});

test('routers and redirects of guests, and who listens to what, are counted and change nothing', () => {
  const bench = new Bench6();
  bench.input(icmp6(134, Buffer.alloc(20), { source: GUEST_LOCAL, destination: 'ff02::1' }));
  bench.input(icmp6(137, Buffer.alloc(36), { source: GUEST_LOCAL }));
  for (const type of [130, 131, 132, 143])
    bench.input(icmp6(type, Buffer.alloc(20), { source: GUEST_LOCAL, destination: 'ff02::16', hops: 1 }));
  assert.deepEqual([bench.ipv6.discovery.counters.foreignRouters, bench.ipv6.discovery.counters.redirects], [1, 1]);
  assert.equal(bench.ipv6.icmpInput.counters.listeners, 4);
  assert.deepEqual(bench.answers(), []);
});

test('looks for a guest with three solicitations a second apart, then gives up; an advertisement finds him', () => {
  const bench = new Bench6();
  const results: (Neighbour | null)[] = [];
  const { w0, w1, w2, w3 } = IpAddress.parse(GUEST)!;
  bench.gateway.neighbours.resolve(w0, w1, w2, w3, (found) => results.push(found));
  for (const [time, asked] of [
    [990, 1],
    [1010, 2],
    [2030, 3],
    [2990, 3],
  ] as const) {
    bench.timers.advance(time);
    assert.equal(bench.broadcasts.length, asked, `at ${time} ms`);
  }
  const { to, source, destination, hops, payload } = decode6(bench.broadcasts[0]!);
  assert.deepEqual([to, source, destination, hops], ['3333ff000002', GATEWAY, groupOf(GUEST), 255]);
  assert.equal(payload.toString('hex', 4), '00000000' + words(GUEST).toString('hex') + '01015a94efe40cdd');
  assert.equal(payload[0], 135);
  bench.timers.advance(3050);
  assert.deepEqual(results.splice(0), [null]);
  bench.gateway.neighbours.resolve(w0, w1, w2, w3, (found) => results.push(found));
  // From another address of his: it is the target that counts.
  bench.input(advertisement(GUEST, { source: GUEST_LOCAL }));
  assert.equal(results[0]!.macLo, 0xefe40cee | 0);
  const local = IpAddress.parse('fe80::7')!;
  bench.gateway.neighbours.resolve(local.w0, local.w1, local.w2, local.w3, () => {});
  assert.equal(decode6(bench.broadcasts.at(-1)!).source, ROUTER);
});

test("another VM can take an address neither by advertisement nor by packet while its user is there; none takes the gateway's", () => {
  const bench = new Bench6();
  const thief = new FakePort(bench.arena, 1);
  const mac = '5a94efe40caa';
  bench.input(frame6({}));
  assert.equal(known(bench, GUEST)!.port, bench.port);
  bench.input(advertisement(GUEST, { source: 'fe80::bad', mac }), thief);
  assert.equal(bench.ipv6.discovery.counters.refused, 1);
  bench.input(frame6({ mac }), thief);
  bench.input(solicitation(GATEWAY, { mac }), thief);
  assert.equal(bench.ipv6.counters.dropSpoofed, 2);
  assert.deepEqual([known(bench, GUEST)!.port, bench.delivered.length], [bench.port, 1]);
  for (const ours of [GATEWAY, HOST, ROUTER, OUTSIDE, 'fd01:2:3:4::'])
    bench.input(advertisement(ours, { source: 'fe80::bad', mac }), thief);
  assert.equal(bench.ipv6.discovery.counters.refused, 6);
  for (const ours of [GATEWAY, HOST, ROUTER, OUTSIDE]) assert.equal(known(bench, ours), null, ours);
  bench.timers.advance(31_000);
  bench.input(frame6({ mac }), thief);
  assert.equal(known(bench, GUEST)!.port, thief, 'an address that was given up can be taken');
  bench.gateway.detached(thief);
  assert.equal(known(bench, GUEST), null);
});

test('a guest that makes addresses up fills its own share of the table only', () => {
  const bench = new Bench6();
  const other = new FakePort(bench.arena, 1);
  bench.input(frame6({ source: 'fd01:2:3:4::77', mac: '5a94efe40caa' }), other);
  for (let i = 3; i < 5000; i++) bench.input(frame6({ source: `fd01:2:3:4::1:${i.toString(16)}` }));
  assert.equal(bench.gateway.neighbours.size, 1025);
  assert.equal(known(bench, 'fd01:2:3:4::77')!.port, other);
});
