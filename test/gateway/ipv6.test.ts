import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatAddress, IpAddress } from '../../src/packet/address.ts';
import * as icmpv4 from '../../src/packet/icmpv4.ts';
import * as ipv6 from '../../src/packet/ipv6.ts';
import { type GuestReport, ReportKind } from '../../src/gateway/guest-report.ts';
import type { Neighbour } from '../../src/gateway/neighbour.ts';
import { InboundPacket } from '../../src/gateway/packet.ts';
import { FakePort } from '../fake-port.ts';
import { ipFrame } from './bench.ts';
import {
  Bench6,
  decode6,
  type Fields6,
  frame6,
  GATEWAY,
  GUEST,
  GUEST_LOCAL,
  HOST,
  icmp6,
  OUTSIDE,
  type Packet6,
  ROUTER,
  solicitation,
} from './bench6.ts';

const ECHO = Buffer.concat([Buffer.from('00070001', 'hex'), Buffer.from('the payload of a ping')]);
/** A UDP datagram of 20 bytes. */
const DATAGRAM = Buffer.from('1388003500140000' + '000102030405060708090a0b', 'hex');

test('answers pings to its own addresses, with the payload, from the address that was pinged', () => {
  const bench = new Bench6();
  for (const [destination, source, from] of [
    [GATEWAY, GUEST, GATEWAY],
    [ROUTER, GUEST_LOCAL, ROUTER],
    ['ff02::1', GUEST_LOCAL, ROUTER],
    ['ff02::1', GUEST, GATEWAY],
  ] as const) {
    bench.input(icmp6(128, ECHO, { destination, source, hops: 64 }));
    const [reply] = bench.answers();
    assert.deepEqual([reply!.source, reply!.destination, reply!.payload[0], reply!.hops], [from, source, 129, 64]);
    assert.deepEqual(reply!.payload.subarray(4), ECHO);
  }
  bench.input(icmp6(128, ECHO, { destination: HOST }));
  bench.input(icmp6(128, ECHO, { destination: OUTSIDE }));
  assert.deepEqual(bench.answers(), []);
  const { echoAnswered, echoForwarded } = bench.ipv6.icmpInput.counters;
  assert.deepEqual([echoAnswered, echoForwarded], [4, 2]);
});

test('a ping of nobody goes nowhere: its answer would have no address', () => {
  const bench = new Bench6();
  for (const destination of [GATEWAY, HOST, OUTSIDE, 'ff02::1']) bench.input(icmp6(128, ECHO, { source: '::', destination }));
  assert.deepEqual(bench.answers(), []);
  const { echoAnswered, echoForwarded, dropOther } = bench.ipv6.icmpInput.counters;
  assert.deepEqual([echoAnswered, echoForwarded, dropOther], [0, 0, 4]);
});

test('a ping larger than the MTU is put together, and its answer fragmented', () => {
  const bench = new Bench6(1400);
  const large = Buffer.concat([Buffer.from('00070001', 'hex'), Buffer.alloc(5000, 'x')]);
  for (const frame of fragments(icmp6(128, large), 1240)) bench.input(frame);
  const pieces = bench.answers();
  assert.ok(pieces.length === 4 && pieces.every(({ next, payload }) => next === 44 && payload.length <= 1360), `${pieces.length}`);
  const whole = Buffer.concat(pieces.map(({ payload }) => payload.subarray(8)));
  assert.deepEqual([whole[0], whole.length], [129, 5008]);
  assert.deepEqual(whole.subarray(4), large);
  const headers = pieces.map(({ payload }) => [payload[0], payload.readUInt16BE(2) & ~7, payload[3]! & 1, payload.readUInt32BE(4)]);
  const id = headers[0]![3];
  assert.deepEqual(headers, [
    [58, 0, 1, id],
    [58, 1352, 1, id],
    [58, 2704, 1, id],
    [58, 4056, 0, id],
  ]);
});

/** Cuts a packet behind its header into pieces of `size` bytes. */
function fragments(frame: Buffer, size: number, id = 7): Buffer[] {
  const payload = frame.subarray(54);
  const pieces: Buffer[] = [];
  for (let at = 0; at < payload.length; at += size)
    pieces.push(piece(frame, at, payload.subarray(at, at + size), at + size < payload.length, id));
  return pieces;
}

function piece(frame: Buffer, at: number, data: Uint8Array, more: boolean, id: number, next = frame[20]!): Buffer {
  const header = Buffer.alloc(8);
  ipv6.writeFragment(header, 0, next, at, more, id);
  const made = Buffer.concat([frame.subarray(0, 54), header, data]);
  made.writeUInt16BE(made.length - 54, 18);
  made[20] = 44;
  return made;
}

function fragment(at: number, length: number, more: boolean, fields: Fields6 = {}, id = 9): Buffer {
  return piece(frame6({ ...fields, payload: Buffer.alloc(0) }), at, Buffer.alloc(length, 0x11), more, id);
}

test('hands on exactly the payload, behind padding and extension headers', () => {
  const bench = new Bench6();
  bench.input(frame6({ payload: DATAGRAM, padding: 30 }));
  bench.input(frame6({ next: 0, payload: Buffer.concat([Buffer.from('3c00010400000000' + '1100010400000000', 'hex'), DATAGRAM]) }));
  assert.deepEqual(
    bench.delivered.map(({ protocol, payload }) => [protocol, payload.toString('hex')]),
    [
      [17, DATAGRAM.toString('hex')],
      [17, DATAGRAM.toString('hex')],
    ],
  );
});

test('a length that lies is dropped', () => {
  const bench = new Bench6();
  const whole = frame6({ payload: DATAGRAM });
  for (let length = 14; length < whole.length; length++) bench.input(whole.subarray(0, length));
  const { dropShort, dropPayloadLength } = bench.ipv6.counters;
  assert.deepEqual([dropShort, dropPayloadLength], [40, 20]);
  const other = Buffer.from(whole);
  other[14] = 0x45;
  bench.input(other);
  assert.equal(bench.ipv6.counters.dropVersion, 1);
  assert.deepEqual(bench.delivered, []);
});

test('refuses packets whose addresses make no sense', () => {
  const bench = new Bench6();
  const sources = [
    '::',
    '::1',
    '::ffff:192.168.127.2',
    '192.168.127.2',
    'ff02::1',
    GATEWAY,
    HOST,
    ROUTER,
    'fd01:2:3:4::',
    'fd01:2:3:5::2',
    OUTSIDE,
  ];
  for (const source of sources) bench.input(frame6({ source, payload: DATAGRAM }));
  assert.equal(bench.ipv6.counters.dropSource, sources.length);
  const destinations = ['::', '::1', '10.0.0.1', '::a00:1', 'fe80::9'];
  for (const destination of destinations) bench.input(frame6({ destination, payload: DATAGRAM }));
  assert.equal(bench.ipv6.counters.dropDestination, destinations.length);
  assert.deepEqual(bench.answers(), []);
  for (const group of ['ff02::fb', 'ff02::1:ff00:99', 'ff05::1', 'ff0e::1']) bench.input(frame6({ destination: group, payload: DATAGRAM }));
  assert.equal(bench.ipv6.counters.otherGroups, 4);
  // Of groups that it is in, nothing is heard but ICMPv6 and DHCPv6.
  bench.input(frame6({ destination: 'ff02::1', payload: DATAGRAM }));
  const dhcp = Buffer.from(DATAGRAM);
  dhcp.writeUInt16BE(547, 2);
  bench.input(frame6({ destination: 'ff02::1', payload: dhcp }));
  assert.deepEqual(bench.delivered, []);
  bench.input(frame6({ destination: 'ff02::1:2', payload: dhcp }));
  assert.equal(bench.delivered.length, 1);
});

test('other guests are not behind the gateway, and link-local addresses have nothing beyond it', () => {
  const bench = new Bench6();
  bench.input(frame6({ destination: 'fd01:2:3:4::99', payload: DATAGRAM }));
  bench.input(frame6({ source: GUEST_LOCAL, payload: DATAGRAM }));
  const told = bench.answers().map(({ source, destination, payload }) => [source, destination, payload[0], payload[1]]);
  assert.deepEqual(told, [
    ['fd01:2:3:4::99', GUEST, 1, 3],
    [ROUTER, GUEST_LOCAL, 1, 0],
  ]);
  assert.deepEqual(bench.delivered, []);
});

test('what was let through speaks for no packet that is not the same', () => {
  const bench = new Bench6();
  const other = new FakePort(bench.arena, 1);
  const senders: Neighbour[] = [];
  bench.gateway.transport(17, { input: ({ neighbour }) => void senders.push(neighbour) });
  bench.input(frame6({ payload: DATAGRAM }));
  assert.equal(senders.length, 1);
  const refused: Fields6[] = [
    { source: GUEST_LOCAL },
    { source: 'fd02:2:3:4::2' },
    { source: 'fd01:2:3:5::2' },
    { source: GATEWAY },
    { destination: '::1' },
    { destination: 'ff02::1' },
    { destination: 'fd01:2:3:4::1:1' },
    { source: GUEST_LOCAL, destination: 'fe80::1' },
  ];
  for (const fields of refused) {
    bench.input(frame6({ ...fields, payload: DATAGRAM }));
    assert.equal(senders.length, 1, `${JSON.stringify(fields)} got through`);
    bench.input(frame6({ payload: DATAGRAM }));
    assert.equal(senders.pop()?.port, bench.port);
  }
  bench.input(frame6({ payload: DATAGRAM }), other);
  assert.equal(bench.ipv6.counters.dropSpoofed, 1);
  bench.input(frame6({ payload: DATAGRAM, mac: '5a94efe40caa' }));
  assert.equal(senders.pop()?.macLo, 0xefe40caa | 0, 'its MAC address is followed');
  bench.gateway.detached(bench.port);
  bench.input(frame6({ payload: DATAGRAM, mac: '5a94efe40caa' }), other);
  assert.equal(senders.pop()?.port, other, 'the address is free when its VM has gone');
});

test('chains of headers that are wrong are dropped, and told of where the RFC has it', () => {
  const cases: [name: string, next: number, hex: string, told: string | undefined][] = [
    ['hop-by-hop options behind others', 60, '0000010400000000' + '1100010400000000', '4/1 40'],
    ['segments left', 43, '1100000100000000', '4/0 42'],
    ['an unknown option', 60, '1100850400000000', '4/2 42'],
    ['one that is to be told to one', 60, '1100c50400000000', '4/2 42'],
    ['one that is not to be told', 60, '1100450400000000', undefined],
    ['cut off', 60, '1105010400000000', undefined],
    ['too many', 60, '3c00010400000000'.repeat(8) + '1100010400000000', undefined],
    ['fragments of fragments', 44, '2c00000000000001' + '1100000000000001', undefined],
    ['a protocol that nobody speaks', 60, 'fd00010400000000', '4/1 40'],
    ['nothing more', 59, '', undefined],
  ];
  for (const [name, next, hex, told] of cases) {
    const bench = new Bench6();
    bench.input(frame6({ next, payload: Buffer.concat([Buffer.from(hex, 'hex'), DATAGRAM]) }));
    const found = bench.answers().map(({ payload }) => `${payload[0]}/${payload[1]} ${payload.readUInt32BE(4)}`);
    assert.deepEqual(found, told === undefined ? [] : [told], name);
    assert.deepEqual(bench.delivered, [], name);
  }
  const bench = new Bench6();
  const toGroup = (option: string): void =>
    bench.input(frame6({ destination: 'ff02::1', next: 60, payload: Buffer.from(`3a00${option}0400000000`, 'hex') }));
  toGroup('c5');
  assert.deepEqual(bench.answers(), []);
  toGroup('85');
  const [answer] = bench.answers();
  assert.deepEqual([answer!.source, answer!.payload[0]], [GATEWAY, 4]);
});

test('fragments are put together in every order; the protocol is the first one’s', () => {
  const data = Buffer.from(Array.from({ length: 3000 }, (_, i) => i % 251));
  const pieces = fragments(frame6({ payload: data }), 1000);
  for (const order of [
    [0, 1, 2],
    [2, 1, 0],
    [1, 2, 0],
  ]) {
    const bench = new Bench6();
    for (const index of order) bench.input(pieces[index]!);
    assert.deepEqual(bench.delivered, [{ protocol: 17, payload: data, reassembled: true }]);
    assert.equal(bench.ipv6.fragments.reassembly.size, 0);
  }
  // Extension headers behind the fragment header.
  const bench = new Bench6();
  const options = Buffer.from('1100010400000000', 'hex');
  for (const frame of fragments(frame6({ next: 60, payload: Buffer.concat([options, data]) }), 1000)) bench.input(frame);
  assert.deepEqual(bench.delivered, [{ protocol: 17, payload: data, reassembled: true }]);
});

test('fragments that overlap end their datagram (RFC 5722); the only one is whole, whatever came before (RFC 6946)', () => {
  const bench = new Bench6();
  bench.input(fragment(0, 1000, true));
  bench.input(fragment(992, 1000, false));
  bench.input(fragment(1000, 1000, false));
  assert.equal(bench.delivered.length, 0);
  assert.deepEqual([bench.ipv6.fragments.reassembly.counters.overlapping, bench.ipv6.fragments.reassembly.counters.swallowed], [1, 1]);
  bench.input(fragment(0, 500, false));
  assert.deepEqual(
    bench.delivered.map(({ payload, reassembled }) => [payload.length, reassembled]),
    [[500, false]],
  );
});

test('fragments of other guests, addresses, identifications and VMs do not meet', () => {
  const bench = new Bench6();
  const other = new FakePort(bench.arena, 1);
  bench.input(fragment(0, 16, true));
  bench.input(fragment(16, 16, false, {}, 10));
  bench.input(fragment(16, 16, false, { destination: '2001:db8::2' }));
  bench.input(fragment(16, 16, false, { source: 'fd01:2:3:4::3' }));
  bench.input(fragment(16, 16, false, { source: 'fd01:2:3:4:7::2' }));
  bench.input(fragment(16, 16, false, { source: 'fd01:2:3:4::4', mac: '5a94efe40caa' }), other);
  assert.deepEqual(bench.delivered, []);
  assert.equal(bench.ipv6.fragments.reassembly.size, 6);
  bench.timers.advance(31_000);
  assert.deepEqual([bench.ipv6.fragments.reassembly.size, bench.ipv6.fragments.reassembly.counters.timedOut], [0, 6]);
});

test('a first fragment holds all headers (RFC 7112), others are multiples of eight, and none ends beyond 64 KiB', () => {
  const bench = new Bench6();
  const chain = Buffer.from('3c00010400000000' + '1101010400000000', 'hex');
  const head = frame6({ next: 60, payload: Buffer.alloc(0) });
  bench.input(piece(head, 0, chain, true, 5));
  bench.input(piece(head, 0, Buffer.from('1100010400000000' + '00000000', 'hex'), true, 6));
  bench.input(fragment(0, 15, true));
  bench.input(fragment(8, 16, true));
  bench.input(fragment(65_528, 16, false));
  assert.equal(bench.ipv6.fragments.reassembly.counters.malformed, 5);
  assert.equal(bench.ipv6.fragments.reassembly.size, 0);
});

/** A packet as engines know it, to be answered with an error. */
function packetOf(bench: Bench6, frame: Buffer): InboundPacket {
  const seen: InboundPacket[] = [];
  bench.gateway.transport(17, { input: (packet) => void seen.push(Object.assign(new InboundPacket(), packet)) });
  bench.input(frame);
  return seen[0]!;
}

function code({ source, payload }: Packet6): string {
  return `${payload[0]}/${payload[1]} ${payload.readUInt32BE(4)} from ${source}`;
}

test('errors have the codes of their version, quote what fits the smallest MTU, and are limited', () => {
  const bench = new Bench6();
  const packet = packetOf(bench, frame6({ payload: Buffer.concat([DATAGRAM, Buffer.alloc(1400)]) }));
  const { icmp } = bench.gateway;
  for (const [given, told] of [
    [icmpv4.CODE_NET, 0],
    [icmpv4.CODE_HOST, 3],
    [icmpv4.CODE_PORT, 4],
    [icmpv4.CODE_PROHIBITED, 1],
  ] as const) {
    icmp.unreachable(packet, given);
    const [error] = bench.answers();
    assert.equal(code(error!), `1/${told} 0 from ${OUTSIDE}`);
    assert.equal(error!.payload.length, 1240);
    assert.deepEqual(error!.payload.subarray(8 + 40, 8 + 60), DATAGRAM);
  }
  icmp.relay(packet, 2, 0, 1300, null);
  icmp.relay(packet, 3, 0, 0, IpAddress.parse('2001:db8::5')!);
  assert.deepEqual(bench.answers().map(code), [`2/0 1300 from ${GATEWAY}`, '3/0 0 from 2001:db8::5']);
  for (let i = 0; i < 1000; i++) icmp.unreachable(packet, icmpv4.CODE_PORT);
  const sent = bench.answers().length;
  assert.ok(sent > 0 && sent < 60, `${sent}`);
  assert.ok(bench.ipv6.icmp.suppressed > 900);
});

test('nothing is said about errors, redirects, groups and nobody', () => {
  const bench = new Bench6();
  const packet = packetOf(bench, frame6({ payload: DATAGRAM }));
  const { icmp } = bench.gateway;
  const about = (changes: Partial<InboundPacket>): void =>
    icmp.unreachable(Object.assign(new InboundPacket(), packet, changes), icmpv4.CODE_PORT);
  about({ destination0: 0xff020000 | 0 });
  about({ source0: 0xff020000 | 0 });
  about({ source0: 0, source1: 0, source2: 0, source3: 0 });
  for (const type of [1, 127, 137]) {
    bench.arena.bytes[packet.payload] = type;
    about({ protocol: 58 });
  }
  assert.deepEqual(bench.answers(), []);
  bench.arena.bytes[packet.payload] = 128;
  about({ protocol: 58 });
  assert.equal(bench.answers().length, 1);
});

test('tells of what guests report about packets they were sent', () => {
  const bench = new Bench6();
  const heard: string[] = [];
  bench.gateway.onReport((report: GuestReport) => {
    const source = formatAddress(report.source0, report.source1, report.source2, report.source3);
    const destination = formatAddress(report.destination0, report.destination1, report.destination2, report.destination3);
    const { kind, mtu, protocol, sourcePort, destinationPort } = report;
    heard.push(`${kind} ${mtu} ${protocol} ${source} ${sourcePort} ${destination} ${destinationPort}`);
  });
  const quoted = frame6({ source: OUTSIDE, destination: GUEST, payload: DATAGRAM }).subarray(14);
  const report = (type: number, body: Uint8Array, about: Uint8Array = quoted): void =>
    bench.input(icmp6(type, Buffer.concat([body, about]), { hops: 64 }, type === 1 ? 4 : 0));
  report(1, Buffer.alloc(4));
  report(2, Buffer.from('00000500', 'hex'));
  report(3, Buffer.alloc(4));
  const about = `17 ${OUTSIDE} 5000 ${GUEST} 53`;
  assert.deepEqual(heard, [
    `${ReportKind.PORT_UNREACHABLE} 0 ${about}`,
    `${ReportKind.TOO_BIG} 1280 ${about}`,
    `${ReportKind.OTHER} 0 ${about}`,
  ]);
  report(1, Buffer.alloc(4), frame6({ source: OUTSIDE, destination: 'fd01:2:3:4::3', payload: DATAGRAM }).subarray(14));
  report(1, Buffer.alloc(4), quoted.subarray(0, 43));
  assert.equal(heard.length, 3);
  assert.equal(bench.ipv6.icmpInput.counters.dropMalformed, 2);
});

test('without IPv6 its frames are of a type that is not spoken, and IPv4 goes on beside it', () => {
  const bench = new Bench6();
  bench.input(ipFrame({}));
  bench.input(frame6({ payload: DATAGRAM }));
  bench.input(ipFrame({}));
  assert.deepEqual(
    bench.delivered.map(({ payload }) => payload.length),
    [20, 20, 20],
  );
  assert.deepEqual([bench.gateway.counters.delivered, bench.ipv6.counters.delivered, bench.gateway.unknownEtherType], [2, 1, 0]);
});

test('whatever the frames, nothing fails, and every answer is well formed', () => {
  const seeds = [
    solicitation(GATEWAY),
    icmp6(128, ECHO),
    icmp6(133, Buffer.alloc(4), { destination: 'ff02::2' }),
    frame6({ next: 0, payload: Buffer.concat([Buffer.from('3c00010400000000' + '1100010400000000', 'hex'), DATAGRAM]) }),
    fragment(0, 64, true),
    fragment(64, 64, false),
    icmp6(1, Buffer.concat([Buffer.alloc(4), frame6({ source: OUTSIDE, destination: GUEST }).subarray(14)])),
  ];
  const bench = new Bench6();
  const change = fc.tuple(fc.nat(200), fc.nat(255));
  fc.assert(
    fc.property(fc.constantFrom(...seeds), fc.array(change, { maxLength: 4 }), fc.nat(20), (seed, changes, cut) => {
      const frame = Buffer.from(seed.subarray(0, Math.max(seed.length - cut, 14)));
      // Not the destination of the frame, which is the switch's, nor who sent it.
      for (const [at, value] of changes) if (14 + at < frame.length) frame[14 + at] = value;
      bench.input(frame);
      for (const answer of bench.port.take()) decode6(answer);
    }),
    { numRuns: 4000 },
  );
});
