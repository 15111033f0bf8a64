import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IpAddress } from '../../src/packet/address.ts';
import * as dhcp6 from '../../src/packet/dhcpv6.ts';
import { temporaryFolder } from '../guest/process.ts';
import { Campaign, readCorpus } from './campaign.ts';
import { GATEWAY6, global6, HOST6, linkLocal6, linkLocalOf } from './addresses6.ts';
import * as frames from './frames.ts';
import * as frames6 from './frames6.ts';
import { Judge } from './judge.ts';
import { readProgram, Step, writeProgram } from './program.ts';
import { minimize } from './vary.ts';
import { Verdict } from './verdict.ts';
import { GATEWAY, GATEWAY_MAC, HOST_ADDRESS, NEWCOMER_MAC, SUBNET, World } from './world.ts';

const SECONDS = 50;
/** Counters, of more than a hundred, that the corpus need not move. */
const SILENT = 20;

test('the corpus, and a minute of what can be made of it, finds no fault', { timeout: 180_000 }, async (t) => {
  const seed = Math.floor(Math.random() * 0x7fffffff);
  t.diagnostic(`seed ${seed}`);
  const campaign = new Campaign({
    seconds: SECONDS,
    seed,
    coverage: false,
    findings: temporaryFolder(),
    log: (line) => t.diagnostic(line),
  });
  const { finding, programs, silent } = await campaign.run();
  assert.equal(finding, null, `seed ${seed}`);
  assert.ok(programs > readCorpus().length, `${programs} programs`);
  // The corpus alone leads to nearly everything the product counts: when it doesn't any more, the fuzzer has lost its way.
  assert.ok(silent.length < SILENT, `never counted: ${silent.join(' ')}`);
});

/** A segment of a host to the first VM, as it should be. */
function segment(): Uint8Array {
  const bytes = frames.tcpBytes(
    { port: 80, remotePort: 40_000, seq: 1, ack: 1, flags: 16, window: 100 },
    new Uint8Array(0),
    new Uint8Array(9).fill(0xe1),
  );
  const frame = frames.packet({ mac: GATEWAY_MAC, source: HOST_ADDRESS, destination: SUBNET + 10 }, 6, bytes);
  frames.mendChecksums(frame);
  return frame;
}

test('the judge takes a good frame, and none with a flaw', () => {
  const good = segment();
  assert.ok(new Judge({ mtu: 1500 }).frame(good, 0, good.length) !== null);
  for (let at = 14; at < good.length; at++) {
    const flawed = Uint8Array.from(good);
    flawed[at]! ^= 0x10;
    assert.throws(() => new Judge({ mtu: 1500 }).frame(flawed, 0, flawed.length), Verdict, `byte ${at}`);
  }
  assert.throws(() => new Judge({ mtu: 1500 }).frame(good, 0, good.length - 1), Verdict, 'cut off');
  assert.throws(() => new Judge({ mtu: 48 }).frame(good, 0, good.length), Verdict, 'longer than the MTU');
});

test('the judge tells the bytes of a host from others, also in fragments', () => {
  const datagram = (value: number): Uint8Array => {
    const frame = frames.packet(
      { mac: GATEWAY_MAC, source: HOST_ADDRESS, destination: SUBNET + 10 },
      17,
      frames.udpBytes(80, 90, new Uint8Array(10).fill(value)),
    );
    frames.mendChecksums(frame);
    return frame;
  };
  assert.ok(new Judge({ mtu: 1500 }).frame(datagram(0xe0), 0, 52) !== null);
  assert.throws(() => new Judge({ mtu: 1500 }).frame(datagram(0x1f), 0, 52), /byte 31 from a host that did not send it/);
  const late = frames.packet({ mac: GATEWAY_MAC, source: HOST_ADDRESS, destination: SUBNET + 10 }, 17, new Uint8Array(8));
  late[21] = 2;
  frames.mendChecksums(late);
  late.set([0, 0], 24);
  assert.throws(() => new Judge({ mtu: 1500 }).frame(late, 0, late.length), Verdict, 'a fragment without the one before');
});

test('the judge of IPv6 takes a good packet, and none with a flaw', () => {
  const bytes = frames.tcpBytes(
    { port: 80, remotePort: 40_000, seq: 1, ack: 1, flags: 16, window: 100 },
    new Uint8Array(0),
    new Uint8Array(9).fill(0xe1),
  );
  const from = { mac: GATEWAY_MAC, source: HOST6, destination: global6(0) };
  const good = frames6.packet6(from, 6, bytes);
  frames.mendChecksums(good);
  assert.ok(new Judge({ mtu: 1500, ipv6: true }).frame(good, 0, good.length) !== null);
  assert.throws(() => new Judge({ mtu: 1500 }).frame(good, 0, good.length), /ethertype 34525/, 'where there is no IPv6');
  for (let at = 14; at < good.length; at++) {
    const flawed = Uint8Array.from(good);
    flawed[at]! ^= 0x10;
    assert.throws(() => new Judge({ mtu: 1500, ipv6: true }).frame(flawed, 0, flawed.length), Verdict, `byte ${at}`);
  }
  assert.throws(() => new Judge({ mtu: 1280, ipv6: true }).frame(frames6.packet6(from, 6, new Uint8Array(1241)), 0, 1295), /MTU 1280/);
  const late = frames6.packet6(from, 17, new Uint8Array(8), [frames6.fragment(8, false, 1)]);
  assert.throws(() => new Judge({ mtu: 1500, ipv6: true }).frame(late, 0, late.length), /a fragment at 8 behind undefined/);
});

test('the judge of IPv6 knows what a router and a neighbour say, and with how many hops', () => {
  const router = linkLocalOf(GATEWAY_MAC);
  const said = (source: IpAddress, hops: number, ...bytes: number[]): void => {
    const frame = frames6.packet6({ mac: GATEWAY_MAC, source, destination: linkLocal6(0), hops }, 58, Uint8Array.from(bytes));
    frames.mendChecksums(frame);
    new Judge({ mtu: 1500, ipv6: true }).frame(frame, 0, frame.length);
  };
  const padding = Array.from({ length: 12 }, () => 0);
  const advertisement = [134, 0, 0, 0, ...padding];
  said(router, 255, ...advertisement, 1, 1, 0, 0, 0, 0, 0, 0);
  assert.throws(() => said(router, 64, ...advertisement), /64 hops/);
  assert.throws(() => said(GATEWAY6, 255, ...advertisement), /a router at fd5a/);
  assert.throws(() => said(router, 255, ...advertisement, 1, 2, 0, 0, 0, 0, 0, 0), /malformed options/);
  assert.throws(() => said(router, 255, 137, 0, 0, 0, ...padding), /ICMPv6 type 137/);
  assert.throws(() => said(router, 64, 1, 4, 0, 0, 0, 0, 0, 0, 0x60), /quotes 1 bytes/);
});

function words({ w0, w1, w2, w3 }: IpAddress): Uint8Array {
  return dhcp6.words(w0, w1, w2, w3);
}

test('the judge hears what VMs must not hear of each other', () => {
  const mac = { hi: 0x5a94, lo: 0xefe40101 };
  const apart = new Judge({ mtu: 1500, isolation: true });
  const guarded = new Judge({ mtu: 1500, ipv6: true, guard: 'lease' });
  const datagram = (from: number, to: number, source: number): Uint8Array =>
    frames.packet({ mac, source, destination: -1 }, 17, frames.udpBytes(from, to, new Uint8Array(8)));
  const group = { mac, source: linkLocal6(1), destination: IpAddress.parse('ff02::1')! };
  const own = datagram(9, 9, SUBNET + 11);
  assert.throws(() => apart.frame(own, 0, own.length), /kept apart/);
  assert.equal(guarded.frame(own, 0, own.length), null);
  const tagged = Uint8Array.from(own);
  tagged.set([0x81, 0], 12);
  const claim = frames.arpFrame(mac, SUBNET + 10, new Step(Uint8Array.of(0, 0, 2, ...new Uint8Array(13))));
  const advertisement = Uint8Array.of(134, 0, 0, 0, ...new Uint8Array(12));
  const hidden = [{ type: 60, bytes: Uint8Array.of(0, 0, 1, 4, 0, 0, 0, 0) }];
  const forbidden: [Uint8Array, RegExp][] = [
    [datagram(9, 9, SUBNET + 10), /IPv4 of another VM's address/],
    [datagram(9, 9, GATEWAY), /IPv4 of another VM's address/],
    [datagram(67, 68, SUBNET + 11), /a DHCP server/],
    [tagged, /VLAN/],
    [claim, /ARP of another VM's address/],
    [frames6.packet6(group, 58, advertisement), /is a router/],
    [frames6.packet6(group, 58, advertisement, hidden), /is a router/],
    [frames6.packet6({ ...group, source: GATEWAY6 }, 58, new Uint8Array(8)), /from an address of the gateway/],
    [frames6.packet6(group, 58, Buffer.concat([Uint8Array.of(137), new Uint8Array(39)])), /redirects/],
    [frames6.packet6(group, 58, Buffer.concat([Uint8Array.of(136, 0, 0, 0, 0, 0, 0, 0), words(HOST6)])), /is the gateway/],
    [frames6.packet6(group, 17, frames.udpBytes(547, 546, new Uint8Array(8))), /a DHCP server/],
  ];
  const router = frames6.packet6(group, 58, advertisement);
  assert.throws(() => new Judge({ mtu: 1500, ipv6: true }).frame(router, 0, router.length), /is a router/);
  for (const [frame, why] of forbidden) assert.throws(() => guarded.frame(frame, 0, frame.length), why);
});

test('addresses of IPv6 that have been leased are gone with their VM', async () => {
  const world = new World(4);
  const [vm, leases] = [world.attach('vm', () => {})!, world.dhcp6!.leases];
  const solicit = frames6.dhcpBytes6(NEWCOMER_MAC, new Step(Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0x40, ...new Uint8Array(7))));
  const from = { mac: NEWCOMER_MAC, source: linkLocal6(0), destination: IpAddress.parse('ff02::1:2')! };
  const frame = frames6.packet6(from, 17, frames.udpBytes(546, 547, solicit));
  frames.mendChecksums(frame);
  vm.send(frame);
  world.turn();
  assert.equal(leases.size, 1);
  world.detach(vm);
  world.turn();
  assert.deepEqual([leases.size, world.gateway.neighbours.size, await world.rest()], [0, 0, []]);
});

test('a world at rest says what is left over', async () => {
  const world = new World(0);
  assert.deepEqual(await world.rest(), []);
  world.arena.lend({}, 4096);
  assert.deepEqual(await world.rest(), ['4096 lent bytes']);
  assert.equal(world.arena.outstanding, world.baseline + 4096);
  assert.equal(world.gateway.address, GATEWAY);
});

test('programs are read as they were written, and others refused', () => {
  for (const program of readCorpus()) assert.deepEqual(readProgram(writeProgram(program, 'a note')), program);
  for (const text of ['', 'world 1\nff', 'world x', `world 1\n${'g'.repeat(32)}`]) assert.throws(() => readProgram(text), TypeError);
});

test('a program is cut down to the steps that matter', async () => {
  const steps = Array.from({ length: 40 }, (_, i) => new Uint8Array(16).fill(i));
  const needed = (program: { steps: readonly Uint8Array[] }): boolean =>
    [3, 17, 39].every((i) => program.steps.some((step) => step[0] === i));
  const smallest = await minimize({ world: 0, steps }, async (program) => needed(program));
  assert.deepEqual(
    smallest.steps.map((step) => step[0]),
    [3, 17, 39],
  );
});
