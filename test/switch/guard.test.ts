import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseIpv4 } from '../../src/packet/address.ts';
import { SILENCE } from '../../src/switch/switch.ts';
import { address, Bench, BROADCAST, GATEWAY, mac, MULTICAST, openAt } from './guard-bench.ts';

test('a MAC address stays with the VM that uses it, and moves once that has been silent or has gone', () => {
  const bench = new Bench(3, { guard: 'mac' });
  assert.ok(bench.send(0, GATEWAY, mac(0)));
  bench.now = SILENCE - 1;
  assert.equal(bench.send(1, GATEWAY, mac(0)), false);
  assert.equal(bench.switch.counters.dropForeignMac, 1);
  assert.deepEqual([bench.ports[1]!.counters.rxDropped, bench.ports[1]!.counters.rxForged], [1, 1]);
  bench.send(2, mac(0), mac(2));
  bench.send(2, mac(0), mac(2));
  assert.equal(bench.switch.portOf(0x0254, 0)!.id, 0);
  bench.now = SILENCE;
  assert.ok(bench.send(1, GATEWAY, mac(0)), 'it is silent: the VM has moved');
  assert.equal(bench.send(0, GATEWAY, mac(0)), false);
  bench.switch.detached(bench.ports[1]!);
  assert.ok(bench.send(0, GATEWAY, mac(0)));
  assert.deepEqual(bench.told, ['0 of 0 refused to 1'], 'once a minute');
});

test('who is refused an address doesn’t renew it, and keeps its own', () => {
  const bench = new Bench(2, { guard: 'mac' });
  bench.send(0, GATEWAY, mac(0));
  for (bench.now = 0; bench.now < SILENCE; bench.now += 1000) assert.equal(bench.send(1, GATEWAY, mac(0)), false);
  assert.ok(bench.send(1, GATEWAY, mac(1)));
  assert.ok(bench.send(1, GATEWAY, mac(0)));
});

test('without the guard an address moves at once, as with gvproxy', () => {
  const bench = new Bench(2, {});
  bench.send(0, GATEWAY, mac(0));
  assert.ok(bench.send(1, GATEWAY, mac(0)));
  assert.deepEqual(bench.told, ['0 moved from 0 to 1']);
});

test('with leases a MAC address never moves from a VM that is attached', () => {
  const bench = new Bench(2, { guard: 'lease' });
  bench.send(0, GATEWAY, mac(0));
  bench.now = 3_600_000 * 24;
  assert.equal(bench.switch.portOf(0x0254, 0)!.id, 0);
  assert.equal(bench.send(1, GATEWAY, mac(0)), false);
});

/** IPv4 with 20 bytes of header; `rest` is what follows. */
function ipv4(source: string, protocol: number, rest: string, fragment = '0000'): string {
  const length = (20 + rest.length / 2).toString(16).padStart(4, '0');
  return `08004500${length}0000${fragment}40${protocol.toString(16).padStart(2, '0')}0000${source}08080808${rest}`;
}

function udp(from: number, to: number): string {
  const port = (value: number): string => value.toString(16).padStart(4, '0');
  return `${port(from)}${port(to)}00080000`;
}

function arp(operation: number, hardware: string, sender: string): string {
  return `0806000108000604000${operation}${hardware}${sender}000000000000${address(1)}`;
}

test('a VM with a lease sends from its own IPv4 address and no other', () => {
  const bench = new Bench(3, { guard: 'lease' });
  bench.lease(0, 2);
  bench.lease(1, 3);
  for (const body of [
    ipv4(address(2), 6, ''),
    ipv4(address(2), 17, udp(5000, 53)),
    ipv4(address(2), 1, '0800000000000000'),
    ipv4(address(2), 17, udp(68, 67)),
  ])
    assert.ok(bench.send(0, GATEWAY, mac(0), body), body);
  for (const source of [address(3), address(4), address(1), '08080808', 'ffffffff']) {
    assert.equal(bench.send(0, GATEWAY, mac(0), ipv4(source, 6, '')), false, source);
    assert.equal(bench.send(0, GATEWAY, mac(0), arp(2, mac(0), source)), false, source);
  }
  assert.equal(bench.send(0, GATEWAY, mac(9), ipv4(address(2), 6, '')), false, 'from another MAC address than the leased one');
  assert.equal(bench.send(0, GATEWAY, '025600000000', ipv4(address(2), 6, '')), false, 'which differs at its beginning alone');
  assert.equal(bench.switch.counters.dropUnleased, 12);
  assert.equal(bench.ports[0]!.counters.rxForged, 12);
});

test('a VM without a lease may ask for one, and nothing else', () => {
  const bench = new Bench(2, { guard: 'lease' });
  const none = '00000000';
  assert.ok(bench.send(0, BROADCAST, mac(0), ipv4(none, 17, udp(68, 67))));
  assert.ok(bench.send(0, BROADCAST, mac(0), arp(1, mac(0), none)), 'a probe');
  for (const body of [
    ipv4(none, 17, udp(68, 53)),
    ipv4(none, 17, udp(67, 68)),
    ipv4(none, 17, udp(5000, 67)),
    ipv4(none, 17, '0044004300', '0000'),
    ipv4(none, 17, udp(68, 67), '0001'),
    ipv4(none, 6, udp(68, 67)),
    ipv4(address(2), 17, udp(68, 67)),
    arp(2, mac(0), none),
    arp(1, mac(0), address(2)),
    '0800',
    '08006500' + '00'.repeat(16),
    '0806' + '00'.repeat(28),
    '08060001080006040001',
  ])
    assert.equal(bench.send(0, BROADCAST, mac(0), body), false, body);
});

test('ARP in the name of another hardware address is dropped', () => {
  const bench = new Bench(2, { guard: 'lease' });
  bench.lease(0, 2);
  assert.ok(bench.send(0, BROADCAST, mac(0), arp(1, mac(0), address(2))));
  assert.ok(bench.send(0, BROADCAST, mac(0), arp(2, mac(0), address(2))));
  assert.equal(bench.send(0, BROADCAST, mac(0), arp(1, mac(1), address(2))), false);
});

test('no VM is a DHCP server or a router, whatever it hides it in', () => {
  const bench = new Bench(2, { guard: 'lease' });
  bench.lease(0, 2);
  const ipv6 = (next: string, rest: string): string => `86dd600000000000${next}40${'00'.repeat(32)}${rest}`;
  const hidden = [
    ipv4(address(2), 17, udp(67, 68)),
    ipv4(address(2), 17, udp(5000, 68)),
    ipv4(address(2), 17, '0043'),
    ipv6('11', udp(547, 546)),
    ipv6('11', udp(5000, 546)),
    ipv6('3a', '86000000'),
    ipv6('00', '3a00000000000000' + '86000000'),
    ipv6('3c', '2b00000000000000' + '3a00000000000000' + '86000000'),
    ipv6('2c', '1100000000000000' + udp(547, 546)),
    ipv6('3c', '3c00000000000000'.repeat(9)),
    ipv6('3a', ''),
    '86dd6000',
    '81000000' + ipv4(address(3), 6, ''),
    '88a80000' + ipv4(address(3), 6, ''),
    '0024aaaa03000000' + arp(2, mac(0), address(3)),
  ];
  for (const body of hidden) assert.equal(bench.send(0, BROADCAST, mac(0), body), false, body);
  const open = [
    ipv6('3a', '87000000'),
    ipv6('11', udp(546, 547)),
    ipv6('06', ''),
    ipv6('2c', '1100000800000000' + '0223'),
    ipv6('2c', '3a00000000000000' + '86000000'),
    ipv4(address(2), 17, '0043', '0001'),
    '88b5',
    '0026424203' + '00'.repeat(35),
    '0001',
  ];
  for (const body of open) assert.ok(bench.send(0, BROADCAST, mac(0), body), body);
});

test('no VM has what was looked at written over by whoever completes its checksum', () => {
  const bench = new Bench(2, { guard: 'lease' }, { offload: true, largestFrame: 65_549 });
  bench.lease(0, 2);
  bench.lease(1, 3);
  const ipv6 = (next: string, rest: string): string => `86dd600000000000${next}40${'00'.repeat(32)}${rest}`;
  const options = ipv4(address(2), 17, `01010101${udp(5000, 53)}`).replace('08004500', '08004600');
  const closed: [body: string, field: number][] = [
    [arp(2, mac(0), address(2)), 28],
    [arp(2, mac(0), address(2)), 30],
    [ipv4(address(2), 6, '00'.repeat(20)), 26],
    [ipv4(address(2), 6, '00'.repeat(20)), 28],
    [ipv4(address(2), 17, udp(5000, 53)), 33],
    [ipv4(address(2), 17, udp(5000, 53)), 34],
    [ipv4(address(2), 17, udp(5000, 53)), 36],
    [ipv4(address(2), 17, udp(5000, 53)), 37],
    [options, 40],
    [ipv6('3a', '87000000'), 20],
    [ipv6('3a', '87000000'), 54],
    [ipv6('11', udp(5000, 53)), 56],
    [ipv6('00', '3a00000000000000' + '87000000'), 62],
    [ipv6('2c', '1100000800000000' + '0223'), 58],
    ['0040424203000000' + arp(2, mac(0), address(3)), 14],
    ['0040424203000000' + arp(2, mac(0), address(3)), 15],
  ];
  for (const [body, field] of closed) assert.equal(bench.send(0, BROADCAST, mac(0), body, openAt(14, field)), false, `${field} of ${body}`);
  const open: [body: string, field: number][] = [
    [ipv4(address(2), 6, '00'.repeat(20)), 50],
    [ipv4(address(2), 17, udp(5000, 53)), 40],
    [options, 44],
    [ipv6('3a', '87000000'), 56],
    [ipv6('11', udp(5000, 53)), 60],
    ['88b5' + '00'.repeat(20), 20],
    ['0040424203000000' + arp(2, mac(0), address(3)), 16],
  ];
  for (const [body, field] of open) assert.ok(bench.send(0, BROADCAST, mac(0), body, openAt(14, field)), `${field} of ${body}`);
});

test('a lease goes with its MAC address to a VM that comes back, and with its address to whom it is given next', () => {
  const bench = new Bench(3, { guard: 'lease' });
  const packet = ipv4(address(2), 6, '');
  bench.lease(0, 2, 7);
  assert.ok(bench.send(0, GATEWAY, mac(7), packet));
  bench.switch.detached(bench.ports[0]!);
  assert.ok(bench.send(1, GATEWAY, mac(7), packet), 'the same machine on a new link');
  bench.lease(2, 2, 8);
  assert.equal(bench.send(1, GATEWAY, mac(7), packet), false);
  assert.ok(bench.send(2, GATEWAY, mac(8), packet));
  bench.switch.leases!.reserve(parseIpv4('192.168.127.9')!, 0x0254, 8);
  assert.ok(bench.send(2, GATEWAY, mac(8), ipv4(address(9), 6, '')), 'a static lease counts without being asked for');
  assert.equal(bench.send(1, GATEWAY, mac(7), ipv4(address(9), 6, '')), false);
  bench.switch.leases!.lease(parseIpv4('192.168.127.9')!, 0x0254, 8, bench.ports[2]!);
  assert.equal(bench.switch.leases!.size, 2);
});

test('with isolation VMs reach the gateway and not each other', () => {
  const bench = new Bench(3, { isolation: true });
  for (const from of [0, 1, 2]) {
    bench.send(from, GATEWAY, mac(from));
    const frame = (to: string): number[] => {
      bench.arena.bytes.set(Buffer.from(to + mac(from) + '88b5', 'hex'), 8192 * 64);
      bench.switch.frame(bench.ports[from]!, 8192 * 64, 14);
      return bench.counts();
    };
    assert.deepEqual(frame(GATEWAY), [0, 0, 0, 1]);
    assert.deepEqual(frame(BROADCAST), [0, 0, 0, 1], 'a broadcast is the gateway’s alone');
    assert.deepEqual(frame(MULTICAST), [0, 0, 0, 0]);
    for (const to of [0, 1, 2]) assert.deepEqual(frame(mac(to)), [0, 0, 0, 0]);
  }
  assert.equal(bench.switch.counters.dropIsolated, 6, 'three multicasts, and to VMs that had been heard of');
  bench.switch.broadcast(null, 8192 * 64, 14);
  assert.deepEqual(bench.counts(), [1, 1, 1, 0], 'the gateway still finds its guests');
});

test('a flood of broadcasts is copied so often and no more, however many VMs there are', () => {
  const bench = new Bench(64, {});
  const copies = (ms: number, body: string): number => {
    bench.now += ms;
    const before = bench.switch.counters.copies;
    for (let i = 0; i < 5000; i++) bench.send(0, BROADCAST, mac(0), body);
    return bench.switch.counters.copies - before;
  };
  const burst = copies(0, '88b5');
  assert.ok(burst >= 50_000 && burst < 52_000, `${burst}`);
  const second = copies(100, '88b5');
  assert.ok(second >= 20_000 && second < 21_000, `${second} in a tenth of a second`);
  const large = copies(100, `88b5${'00'.repeat(1024 * 10)}`);
  assert.ok(large >= 1900 && large < 2100, `${large} of 10 KiB`);
  assert.ok(bench.switch.counters.dropStorm > 0);
  assert.equal(bench.ports[0]!.counters.rxDropped, bench.switch.counters.dropStorm);
  assert.ok(bench.send(1, BROADCAST, mac(1)), 'another VM has its own share');
  assert.deepEqual(bench.send(0, mac(1), mac(0)), true, 'what goes to one VM is not limited');
});

test('between two VMs a multicast stream is not limited', () => {
  const bench = new Bench(2, {});
  for (let i = 0; i < 100_000; i++) bench.send(0, MULTICAST, mac(0));
  assert.equal(bench.switch.counters.copies, 100_000);
});
