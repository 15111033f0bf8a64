/**
 * What was wrong with libslirp, and can be wrong with IPv6, tried on a whole network (libslirp-cves.test.ts has the table). What
 * IPv6 has instead of ARP and DHCP is here in their place.
 *
 * | CVE, or version of the fix | input | test here |
 * |---|---|---|
 * | 2014-3640, 2021-3593 | UDP with port 0 or from ::; UDP lengths that lie | datagrams |
 * | 2017-13711 | a flow goes while frames of it wait | frames of a flow that has gone |
 * | 2018-11806, 2019-14378, 2019-15890, 2020-1983 | fragments | fragments |
 * | 2020-7211, 2021-3595 | TFTP | TFTP |
 * | 2020-10756 | a payload length beyond the frame | lengths beyond the frame |
 * | 2020-29129, 2020-29130 | short frames: IPv6, neighbour discovery | short packets |
 * | 2021-3592 | short DHCPv6 | short DHCPv6 |
 * | 2026-9539 | TCP urgent pointer beyond the data | urgent pointers |
 * | assertion on :: | source or destination :: | addresses |
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseMac } from '../../src/packet/mac.ts';
import { IpAddress } from '../../src/packet/address.ts';
import * as dhcp from '../../src/packet/dhcpv6.ts';
import * as icmp from '../../src/packet/icmpv6.ts';
import * as ipv4 from '../../src/packet/ipv4.ts';
import * as ipv6 from '../../src/packet/ipv6.ts';
import * as ndp from '../../src/packet/ndp.ts';
import * as tcp from '../../src/packet/tcp.ts';
import * as udp from '../../src/packet/udp.ts';
import type { MemoryPort } from '../../src/link/memory-port.ts';
import { GATEWAY6, global6, HOST6, linkLocal6 } from './addresses6.ts';
import * as frames from './frames.ts';
import * as frames6 from './frames6.ts';
import { Judge } from './judge.ts';
import { Step } from './program.ts';
import type { Packet } from './verdict.ts';
import { World } from './world.ts';

const NOTHING = new Uint8Array(0);
const BLANK = new Step(new Uint8Array(16));
const ALL_DHCP = IpAddress.parse('ff02::1:2')!;
const ELSEWHERE = IpAddress.parse('2001:db8::1')!;
const { PROTOCOL_ICMPV6 } = ipv6;
const { PROTOCOL_TCP, PROTOCOL_UDP } = ipv4;

/** One VM of a world: frames to it are judged, and kept. */
class Guest {
  readonly world: World;
  readonly number: number;
  readonly mac: ReturnType<typeof parseMac> & object;
  readonly port: MemoryPort;
  readonly heard: Packet[] = [];
  /** What hosts got. */
  written: Buffer = Buffer.alloc(0);
  seq = 1000;
  ack = 0;

  constructor(world: World = new World(4), number = 0) {
    const judge = new Judge(world);
    this.world = world;
    this.number = number;
    this.mac = parseMac(`5a:94:ef:e4:01:0${number}`)!;
    this.port = world.attach('guest', (bytes, at, length) => {
      const packet = judge.frame(bytes, at, length);
      if (packet !== null) this.heard.push(packet);
    })!;
    world.host.onWritten = (_handler, bytes, at, length) => {
      this.written = Buffer.concat([this.written, bytes.subarray(at, at + length)]);
    };
  }

  raw(frame: Uint8Array): void {
    this.port.send(frame);
    this.world.turn();
  }

  frame(destination: IpAddress, protocol: number, payload: Uint8Array, source = global6(this.number), hops = 64): Uint8Array {
    const frame = frames6.packet6({ mac: this.mac, source, destination, hops }, protocol, payload);
    frames.mendChecksums(frame);
    return frame;
  }

  send(destination: IpAddress, protocol: number, payload: Uint8Array, source?: IpAddress, hops?: number): void {
    this.raw(this.frame(destination, protocol, payload, source, hops));
  }

  /** One fragment, `at` bytes into its datagram. */
  fragment(id: number, at: number, payload: Uint8Array, more: boolean): void {
    const from = { mac: this.mac, source: global6(this.number), destination: HOST6 };
    this.raw(frames6.packet6(from, PROTOCOL_UDP, payload, [frames6.fragment(at, more, id)]));
  }

  segment(flags: number, data: Uint8Array = NOTHING): Uint8Array {
    const fields = { port: 40_000, remotePort: 80, seq: this.seq, ack: this.ack, flags, window: 0xffff };
    return frames.tcpBytes(fields, NOTHING, data);
  }

  connect(): void {
    this.send(HOST6, PROTOCOL_TCP, this.segment(tcp.SYN));
    this.seq++;
    this.ack = tcp.sequence(this.heard.at(-1)!.payload, 0) + 1;
    this.send(HOST6, PROTOCOL_TCP, this.segment(tcp.ACK));
  }

  /** Nothing has come since the last call. */
  silence(what: string): void {
    assert.deepEqual(this.heard.splice(0), [], what);
  }
}

test('datagrams over IPv6 with ports of zero, from nobody, or with lengths that lie, open nothing', () => {
  const guest = new Guest();
  for (const [from, to] of [
    [0, 80],
    [40_000, 0],
    [0, 0],
  ] as const) {
    guest.send(HOST6, PROTOCOL_UDP, frames.udpBytes(from, to, frames.tagged(0, 20)));
  }
  guest.send(HOST6, PROTOCOL_UDP, frames.udpBytes(40_000, 80, frames.tagged(0, 20)), frames6.UNSPECIFIED);
  for (const length of [0, 1, 7, 29, 0xffff]) {
    const bytes = frames.udpBytes(40_000, 80, frames.tagged(0, 20));
    bytes.set([length >>> 8, length], 4);
    guest.send(HOST6, PROTOCOL_UDP, bytes);
  }
  for (let length = 0; length < udp.HEADER; length++) guest.send(HOST6, PROTOCOL_UDP, new Uint8Array(length));
  assert.equal(guest.world.udp.size, 0);
  assert.equal(guest.written.length, 0);
  guest.silence('to datagrams that are none');
});

test('packets from and to addresses that no host has are dropped, whatever is in them', () => {
  const guest = new Guest();
  const nobody = ['::', '::1', '::ffff:127.0.0.1', '::127.0.0.1'].map((text) => IpAddress.parse(text)!);
  const payloads: [number, Uint8Array][] = [
    [PROTOCOL_ICMPV6, frames6.echoBytes6(BLANK, frames.tagged(0, 20))],
    [PROTOCOL_UDP, frames.udpBytes(40_000, 80, frames.tagged(0, 20))],
    [PROTOCOL_TCP, guest.segment(tcp.SYN)],
    [253, frames.tagged(0, 20)],
  ];
  const sources = [...nobody, GATEWAY6, HOST6, ELSEWHERE, IpAddress.parse('ff02::1')!, IpAddress.parse('fd5a:94ef:e4:1::')!];
  for (const [protocol, payload] of payloads) {
    for (const source of sources) for (const to of [GATEWAY6, HOST6, ELSEWHERE]) guest.send(to, protocol, payload, source);
    for (const to of nobody) guest.send(to, protocol, payload);
  }
  guest.silence('to nobody, from nobody');
  assert.equal(guest.world.host.open, 0);
  assert.equal(guest.written.length, 0);
});

test('frames of an IPv6 flow that has gone are still whole when the VM reads them', () => {
  const guest = new Guest();
  guest.connect();
  guest.heard.length = 0;
  guest.port.pause();
  guest.world.host.streams[0]!.put(100_000);
  guest.world.turn();
  guest.send(HOST6, PROTOCOL_TCP, guest.segment(tcp.RST));
  assert.equal(guest.world.tcp.size, 0);
  guest.port.resume();
  guest.world.turn();
  // Judged as they come: checksums, and bytes of the host only.
  assert.ok(guest.heard.length > 5, `${guest.heard.length} segments`);
});

test('fragments of IPv6 that are too long, too many, empty, tiny or there twice reach no host, and a good datagram still does', () => {
  const guest = new Guest();
  const piece = (length: number): Uint8Array => frames.tagged(0, length);
  const hostile: [string, () => void][] = [
    ['beyond 64 KiB', () => [0, 65_528].forEach((at) => guest.fragment(1, at, piece(1480), at === 0))],
    ['a first one of 64 KiB, and more', () => [0, 65_000].forEach((at) => guest.fragment(2, at, piece(65_000), at === 0))],
    ['empty', () => [0, 0, 8].forEach((at) => guest.fragment(3, at, NOTHING, true))],
    ['twice, then overlapping', () => [0, 0, 8, 1440].forEach((at) => guest.fragment(4, at, piece(1440), true))],
    ['tiny, then huge', () => Array.from({ length: 300 }, (_, i) => guest.fragment(5, i * 8, piece(8), true))],
    ['huge behind tiny', () => guest.fragment(5, 2400, piece(60_000), false)],
    ['overlapping, with a hole as large', () => holed().forEach(([at, bytes]) => guest.fragment(8, at, bytes, at < 48))],
    ['in fragments themselves', () => guest.raw(nested(guest))],
  ];
  for (const [what, run] of hostile) {
    run();
    assert.equal(guest.written.length, 0, what);
  }
  const whole = frames.udpBytes(40_000, 80, frames.tagged(0, 3000));
  guest.fragment(6, 1440, whole.subarray(1440, 2880), true);
  guest.fragment(6, 2880, whole.subarray(2880), false);
  guest.fragment(6, 0, whole.subarray(0, 1440), true);
  assert.deepEqual(guest.written, Buffer.from(frames.tagged(0, 3000)));
});

/** Pieces as long together as their datagram, one of them twice, and one that never comes. */
function holed(): [number, Uint8Array][] {
  const whole = frames.udpBytes(40_000, 80, frames.tagged(0, 56));
  return [
    [0, whole.subarray(0, 32)],
    [16, whole.subarray(16, 32)],
    [48, whole.subarray(48)],
  ];
}

/** A fragment header behind a fragment header: of a packet that is its only piece, twice. */
function nested(guest: Guest): Uint8Array {
  const from = { mac: guest.mac, source: global6(0), destination: HOST6 };
  const headers = [frames6.fragment(0, false, 7), frames6.fragment(0, false, 8)];
  return frames6.packet6(from, PROTOCOL_UDP, frames.udpBytes(40_000, 80, frames.tagged(0, 20)), headers);
}

test('TFTP over IPv6 is refused, whatever is asked', () => {
  for (const request of ['\0\x01../../etc/passwd\0octet\0', '\0\x01/etc/passwd\0octet\0', '\0\x01', '']) {
    const guest = new Guest();
    guest.send(GATEWAY6, PROTOCOL_UDP, frames.udpBytes(40_000, 69, Buffer.from(request)));
    const [answer, ...more] = guest.heard;
    assert.equal(more.length, 0);
    assert.deepEqual([answer!.protocol, answer!.payload[0], answer!.payload[1]], [PROTOCOL_ICMPV6, icmp.UNREACHABLE, icmp.CODE_PORT]);
    assert.equal(guest.world.host.open, 0);
  }
});

test('payload lengths beyond the frame: nothing behind it is sent back, to the VM or to a host', () => {
  const guest = new Guest();
  const payloads: [IpAddress, number, Uint8Array][] = [
    [GATEWAY6, PROTOCOL_ICMPV6, frames6.echoBytes6(BLANK, frames.tagged(0, 20))],
    [HOST6, PROTOCOL_UDP, frames.udpBytes(40_000, 80, frames.tagged(0, 20))],
    [HOST6, PROTOCOL_TCP, guest.segment(tcp.SYN)],
    [GATEWAY6, PROTOCOL_UDP, frames.udpBytes(40_000, 53, frames.dnsBytes(BLANK))],
    [ALL_DHCP, PROTOCOL_UDP, frames.udpBytes(546, 547, frames6.dhcpBytes6(guest.mac, BLANK))],
  ];
  for (const [destination, protocol, payload] of payloads) {
    for (const beyond of [1, 8, 100, 1400, 60_000]) {
      const frame = guest.frame(destination, protocol, payload);
      const length = payload.length + beyond;
      frame.set([length >>> 8, length], 18);
      guest.raw(frame);
    }
  }
  guest.silence('to a packet longer than its frame');
  assert.equal(guest.written.length, 0);
  assert.equal(guest.world.gateway.ipv6!.counters.dropPayloadLength, 25);
});

test('short packets are dropped at every length: of IPv6, of its extension headers, of neighbour discovery', () => {
  const guest = new Guest();
  const message = frames6.discovery(0, guest.mac, new Step(Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 1, ...new Uint8Array(7))));
  const options = { type: ipv6.DESTINATION_OPTIONS, bytes: Uint8Array.of(0, 2, 1, 20, ...new Uint8Array(20)) };
  const from = { mac: guest.mac, source: message.source, destination: message.destination, hops: message.hops };
  const whole = frames6.packet6(from, PROTOCOL_ICMPV6, message.bytes, [options]);
  frames.mendChecksums(whole);
  guest.raw(whole);
  assert.equal(guest.heard.splice(0).length, 1, 'the whole one is answered');
  // What is missing of each lies behind it in memory, from the whole one; the header tells the truth, then not.
  for (let length = 14; length < whole.length; length++) {
    const cut = whole.slice(0, length);
    guest.raw(cut);
    if (length < 54) continue;
    cut.set([0, length - 54], 18);
    guest.raw(cut);
    frames.mendChecksums(cut);
    // Without its option it is a solicitation all the same; cut within the option it is none.
    if (length !== whole.length - 8) guest.raw(cut);
  }
  guest.silence('to what is cut off');
});

test('short DHCPv6 is not answered, and no answer has a byte that was not put there', () => {
  const guest = new Guest();
  const solicit = frames6.dhcpBytes6(guest.mac, BLANK);
  const ask = (message: Uint8Array): Buffer[] => {
    // What lay in the arena before must not come out.
    guest.raw(guest.frame(HOST6, 200, new Uint8Array(1400).fill(0xab)));
    guest.heard.length = 0;
    guest.send(ALL_DHCP, PROTOCOL_UDP, frames.udpBytes(546, 547, message), linkLocal6(0));
    return guest.heard.splice(0).map(({ payload }) => Buffer.from(payload.subarray(udp.HEADER)));
  };
  const [wanted] = ask(solicit);
  assert.equal(dhcp.readDhcp6(wanted!)?.type, dhcp.ADVERTISE);
  const { options } = dhcp.readDhcp6(solicit)!;
  // Between options it is a message, answered once it has said who asks.
  const boundaries = new Set<number>();
  let end = 4;
  for (const [, value] of options) boundaries.add((end += 4 + value.length));
  for (let length = 0; length <= solicit.length; length++) {
    const answers = ask(solicit.subarray(0, length));
    assert.equal(answers.length, boundaries.has(length) ? 1 : 0, `${length} bytes`);
    for (const answer of answers) assert.equal(answer.includes(0xab), false, `${length} bytes`);
  }
});

test('urgent pointers over IPv6, to everywhere and nowhere, change nothing about the data', () => {
  const guest = new Guest();
  guest.connect();
  let expected = Buffer.alloc(0);
  for (const pointer of [0, 1, 5, 6, 0x7fff, 0xffff]) {
    for (const data of ['', 'hello']) {
      const segment = guest.segment(tcp.ACK | tcp.URG, Buffer.from(data));
      segment.set([pointer >>> 8, pointer], 18);
      guest.send(HOST6, PROTOCOL_TCP, segment);
      guest.seq += data.length;
      expected = Buffer.concat([expected, Buffer.from(data)]);
    }
  }
  assert.deepEqual(guest.written, expected);
});

/** Two VMs of one world: the second is the one that suffers. */
function pair(): [Guest, Guest] {
  const world = new World(4);
  return [new Guest(world, 0), new Guest(world, 1)];
}

test('who makes addresses up by the thousand pushes out only its own', () => {
  const [flooder, victim] = pair();
  victim.send(GATEWAY6, PROTOCOL_ICMPV6, frames6.echoBytes6(BLANK, NOTHING));
  victim.heard.length = 0;
  const { neighbours, ipv6: gateway } = flooder.world.gateway;
  const step = new Step(Uint8Array.of(0, 0, 1, ...new Uint8Array(13)));
  for (let i = 0; i < 5000; i++) {
    const { source, bytes, hops } = frames6.discovery(0, flooder.mac, step, i);
    bytes.set(dhcp.words(GATEWAY6.w0, GATEWAY6.w1, 0x0a000000, 0x0a000000 | i), ndp.TARGET);
    flooder.send(GATEWAY6, PROTOCOL_ICMPV6, bytes, source, hops);
  }
  assert.equal(gateway!.discovery.counters.advertisements, 5000, 'all of them were read');
  assert.ok(neighbours.size <= 1024 + 2, `${neighbours.size} neighbours`);
  // The victim's address is refused to the flooder, and still leads to the victim.
  const { w0, w1, w2, w3 } = global6(1);
  assert.equal(neighbours.lookup(w0, w1, w2, w3)?.port, victim.port);
  const claim = frames6.discovery(0, flooder.mac, step);
  claim.bytes.set(dhcp.words(w0, w1, w2, w3), ndp.TARGET);
  flooder.send(GATEWAY6, PROTOCOL_ICMPV6, claim.bytes, claim.source, 255);
  assert.equal(gateway!.discovery.counters.refused, 1);
  assert.equal(neighbours.lookup(w0, w1, w2, w3)?.port, victim.port);
});

test('router solicitations of nobody are answered to the VM that sent them alone', () => {
  const [flooder, victim] = pair();
  for (let i = 0; i < 100; i++)
    flooder.send(IpAddress.parse('ff02::2')!, PROTOCOL_ICMPV6, Uint8Array.of(133, 0, 0, 0, 0, 0, 0, 0), frames6.UNSPECIFIED, 255);
  assert.equal(flooder.heard.filter(({ payload }) => payload[0] === ndp.ROUTER_ADVERTISEMENT).length, 100);
  victim.silence('to those of another');
});

test('who asks for leases as ten thousand clients gets some, and leaves some', () => {
  const [flooder, victim] = pair();
  const request = (guest: Guest, client: number): void => {
    const duid = Buffer.concat([Uint8Array.of(0, 4), dhcp.words(client, 1, 2, 3)]);
    const association = dhcp.writeAssociation({ id: client, renew: 0, rebind: 0, addresses: [] });
    const options = [
      [dhcp.OPTION_CLIENT_ID, duid],
      [dhcp.OPTION_RAPID_COMMIT, NOTHING],
      [dhcp.OPTION_IA_NA, association],
    ] as const;
    const message = dhcp.writeDhcp6({ type: dhcp.SOLICIT, transaction: client, options });
    guest.send(ALL_DHCP, PROTOCOL_UDP, frames.udpBytes(546, 547, message), linkLocal6(guest.number));
  };
  for (let client = 0; client < 10_000; client++) request(flooder, client);
  const { leases } = flooder.world.dhcp6!;
  assert.ok(leases.size <= 2048, `${leases.size} leases`);
  request(victim, 1);
  const { payload } = victim.heard.at(-1)!;
  const { options } = dhcp.readDhcp6(payload.subarray(udp.HEADER))!;
  assert.equal(dhcp.readAssociations(options)![0]!.addresses.length, 1);
});

test('who begins datagrams by the thousand and ends none leaves memory for the others', () => {
  const [flooder, victim] = pair();
  for (let id = 0; id < 1000; id++) flooder.fragment(id, 0, frames.udpBytes(40_000, 80, frames.tagged(0, 1000)), true);
  const { reassembly } = flooder.world.gateway.ipv6!.fragments;
  assert.ok(reassembly.size <= 64, `${reassembly.size} datagrams`);
  const whole = frames.udpBytes(40_000, 80, frames.tagged(1, 2400));
  victim.fragment(1, 0, whole.subarray(0, 1200), true);
  for (let id = 0; id < 1000; id++) flooder.fragment(id, 0, frames.udpBytes(40_000, 80, frames.tagged(0, 1000)), true);
  victim.fragment(1, 1200, whole.subarray(1200), false);
  assert.deepEqual(victim.written, Buffer.from(frames.tagged(1, 2400)));
});
