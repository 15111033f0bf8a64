/**
 * What was wrong with libslirp, tried on a whole network. Each class has a test here; some have one in greater detail elsewhere.
 *
 * | CVE, or version of the fix | input | test here | in detail |
 * |---|---|---|---|
 * | 2014-3640, 2021-3594 | UDP with port or address 0; UDP lengths that lie | datagrams | flow/udp/engine.test.ts |
 * | 2017-13711 | a flow goes while frames of it wait | frames of a flow that has gone | |
 * | 2018-11806, 2019-14378, 2019-15890, 2020-1983 | fragments: too long, too large a first, twice, empty, tiny then huge | fragments | gateway/gateway.test.ts |
 * | 2019-6778, 2019-9824, 2020-7039, 2020-8608 | ident, IRC, FTP, format strings: helpers that rewrite payload | text of old protocols | |
 * | 2020-7211, 2021-3595 | TFTP | TFTP | |
 * | 2020-10756 | ICMP in a packet that says it is longer than its frame | lengths beyond the frame | gateway/gateway.test.ts |
 * | 2020-29129 | short NC-SI | ethertypes | |
 * | 2020-29130 | short ARP | short ARP | gateway/gateway.test.ts |
 * | 2021-3592 | short BOOTP | short DHCP | service/dhcp/server.test.ts, packet/dhcpv4.test.ts |
 * | 2021-3593 | UDP over IPv6 with a length that lies | ethertypes (no IPv6 here) | libslirp-cves-ipv6.test.ts |
 * | 2026-9539 | TCP urgent pointer beyond the data | urgent pointers | flow/tcp/receive.test.ts |
 * | 4.8.0 | overlapping TCP segments at the end of the list | segments that overlap | flow/tcp/receive.test.ts |
 * | 4.8.0 | domain search entries that can't be encoded | | service/dhcp/server.test.ts |
 * | port conflict leaves half a forward | | | network.test.ts |
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseMac } from '../../src/packet/mac.ts';
import * as dhcp from '../../src/packet/dhcpv4.ts';
import * as icmp from '../../src/packet/icmpv4.ts';
import * as ipv4 from '../../src/packet/ipv4.ts';
import * as tcp from '../../src/packet/tcp.ts';
import * as udp from '../../src/packet/udp.ts';
import type { MemoryPort } from '../../src/link/memory-port.ts';
import * as frames from './frames.ts';
import { Judge } from './judge.ts';
import { Step } from './program.ts';
import type { Packet } from './verdict.ts';
import { GATEWAY, HOST_ADDRESS, SUBNET, World } from './world.ts';

const MAC = parseMac('5a:94:ef:e4:01:00')!;
const ADDRESS = SUBNET + 10;
const NOTHING = new Uint8Array(0);

/** One VM of a world: frames to it are judged, and kept. */
class Guest {
  readonly world: World = new World(0);
  readonly port: MemoryPort;
  readonly heard: Packet[] = [];
  /** What hosts got. */
  written: Buffer = Buffer.alloc(0);
  seq = 1000;
  ack = 0;

  constructor() {
    const judge = new Judge(this.world);
    this.port = this.world.attach('guest', (bytes, at, length) => {
      const packet = judge.frame(bytes, at, length);
      if (packet !== null) this.heard.push(packet);
    })!;
    this.world.host.onWritten = (_handler, bytes, at, length) => {
      this.written = Buffer.concat([this.written, bytes.subarray(at, at + length)]);
    };
  }

  raw(frame: Uint8Array): void {
    this.port.send(frame);
    this.world.turn();
  }

  frame(destination: number, protocol: number, payload: Uint8Array, source = ADDRESS): Uint8Array {
    const frame = frames.packet({ mac: MAC, source, destination }, protocol, payload);
    frames.mendChecksums(frame);
    return frame;
  }

  send(destination: number, protocol: number, payload: Uint8Array, source = ADDRESS): void {
    this.raw(this.frame(destination, protocol, payload, source));
  }

  /** One fragment, `at` bytes into its datagram. */
  fragment(id: number, at: number, payload: Uint8Array, more: boolean): void {
    const frame = frames.packet({ mac: MAC, source: ADDRESS, destination: HOST_ADDRESS }, ipv4.PROTOCOL_UDP, payload);
    const word = (at >>> 3) | (more ? ipv4.FLAG_MF : 0);
    ipv4.write(frame, 14, frame.length - 14, id, word, 64, ipv4.PROTOCOL_UDP, ADDRESS, HOST_ADDRESS);
    this.raw(frame);
  }

  segment(flags: number, data: Uint8Array = NOTHING, seq = this.seq, port = 80): Uint8Array {
    return frames.tcpBytes({ port: 40_000, remotePort: port, seq, ack: this.ack, flags, window: 0xffff }, NOTHING, data);
  }

  connect(port: number): void {
    this.send(HOST_ADDRESS, ipv4.PROTOCOL_TCP, this.segment(tcp.SYN, NOTHING, this.seq, port));
    this.seq++;
    this.ack = tcp.sequence(this.heard.at(-1)!.payload, 0) + 1;
    this.send(HOST_ADDRESS, ipv4.PROTOCOL_TCP, this.segment(tcp.ACK, NOTHING, this.seq, port));
  }

  /** Nothing has come since the last call. */
  silence(what: string): void {
    assert.deepEqual(this.heard.splice(0), [], what);
  }
}

test('datagrams with ports and addresses of zero, or lengths that lie, open nothing', () => {
  const guest = new Guest();
  for (const [from, to] of [
    [0, 80],
    [40_000, 0],
    [0, 0],
  ] as const) {
    guest.send(HOST_ADDRESS, ipv4.PROTOCOL_UDP, frames.udpBytes(from, to, frames.tagged(0, 20)));
    guest.send(HOST_ADDRESS, ipv4.PROTOCOL_UDP, frames.udpBytes(from, to, frames.tagged(0, 20)), 0);
  }
  for (const length of [0, 1, 7, 29, 0xffff]) {
    const bytes = frames.udpBytes(40_000, 80, frames.tagged(0, 20));
    bytes.set([length >>> 8, length], 4);
    guest.send(HOST_ADDRESS, ipv4.PROTOCOL_UDP, bytes);
  }
  for (let length = 0; length < udp.HEADER; length++) guest.send(HOST_ADDRESS, ipv4.PROTOCOL_UDP, new Uint8Array(length));
  assert.equal(guest.world.udp.size, 0);
  assert.equal(guest.written.length, 0);
  guest.silence('to datagrams that are none');
});

test('frames of a flow that has gone are still whole when the VM reads them', () => {
  const guest = new Guest();
  guest.connect(80);
  guest.heard.length = 0;
  guest.port.pause();
  guest.world.host.streams[0]!.put(100_000);
  guest.world.turn();
  guest.send(HOST_ADDRESS, ipv4.PROTOCOL_TCP, guest.segment(tcp.RST));
  assert.equal(guest.world.tcp.size, 0);
  guest.port.resume();
  guest.world.turn();
  // Judged as they come: checksums, and bytes of the host only.
  assert.ok(guest.heard.length > 5, `${guest.heard.length} segments`);
});

test('fragments that are too long, too many, empty, tiny or there twice reach no host, and a good datagram still does', () => {
  const guest = new Guest();
  const piece = (length: number): Uint8Array => frames.tagged(0, length);
  const hostile: [string, () => void][] = [
    ['beyond 64 KiB', () => [0, 65_528].forEach((at) => guest.fragment(1, at, piece(1480), at === 0))],
    ['a first one of 64 KiB, and more', () => [0, 65_000].forEach((at) => guest.fragment(2, at, piece(65_000), at === 0))],
    ['empty', () => [0, 0, 8].forEach((at) => guest.fragment(3, at, NOTHING, true))],
    ['twice, then overlapping', () => [0, 0, 8, 1480].forEach((at) => guest.fragment(4, at, piece(1480), true))],
    ['tiny, then huge', () => Array.from({ length: 300 }, (_, i) => guest.fragment(5, i * 8, piece(8), true))],
    ['huge behind tiny', () => guest.fragment(5, 2400, piece(60_000), false)],
  ];
  for (const [what, run] of hostile) {
    run();
    assert.equal(guest.written.length, 0, what);
  }
  const whole = frames.udpBytes(40_000, 80, frames.tagged(0, 3000));
  guest.fragment(6, 1480, whole.subarray(1480, 2960), true);
  guest.fragment(6, 2960, whole.subarray(2960), false);
  guest.fragment(6, 0, whole.subarray(0, 1480), true);
  assert.deepEqual(guest.written, Buffer.from(frames.tagged(0, 3000)));
});

test('text of old protocols passes as it is: nobody here reads or rewrites it', () => {
  const texts = [
    'USER x x x :%s%n%s%n\r\nPRIVMSG a :\x01DCC SEND f 3232235777 1024 1\x01\r\n',
    'PORT 192,168,127,2,4,1\r\n',
    `${'1234,'.repeat(400)}\r\n`,
    '%s'.repeat(700),
  ];
  for (const port of [21, 113, 514, 543, 544, 6667, 6668, 7070]) {
    const guest = new Guest();
    guest.connect(port);
    for (const text of texts) {
      guest.send(HOST_ADDRESS, ipv4.PROTOCOL_TCP, guest.segment(tcp.ACK | tcp.PSH, Buffer.from(text), guest.seq, port));
      guest.seq += text.length;
    }
    assert.equal(guest.written.toString(), texts.join(''), `port ${port}`);
    assert.equal(guest.world.host.open, 1, 'no connection of a helper');
  }
});

test('TFTP is refused, whatever is asked: no file of the host can be named', () => {
  const names = ['..\\..\\secret', '../../etc/passwd', '/etc/passwd', 'a\0', 'ü\u0301', 'x'.repeat(600)];
  const requests = [
    ...names.map((name) => Buffer.from(`\0\x01${name}\0octet\0`)),
    ...[0, 1, 2, 3].map((length) => Buffer.alloc(length, 1)),
  ];
  for (const request of requests) {
    const guest = new Guest();
    guest.send(GATEWAY, ipv4.PROTOCOL_UDP, frames.udpBytes(40_000, 69, request));
    const [answer, ...more] = guest.heard;
    assert.equal(more.length, 0);
    assert.deepEqual(
      [answer!.protocol, icmp.type(answer!.payload, 0), icmp.code(answer!.payload, 0)],
      [1, icmp.UNREACHABLE, icmp.CODE_PORT],
    );
    assert.equal(guest.world.host.open, 0);
  }
});

test('lengths beyond the frame: nothing behind it is sent back, to the VM or to a host', () => {
  const guest = new Guest();
  const payloads: [number, number, Uint8Array][] = [
    [GATEWAY, ipv4.PROTOCOL_ICMP, frames.echoBytes(new Step(new Uint8Array(16)), frames.tagged(0, 20))],
    [HOST_ADDRESS, ipv4.PROTOCOL_UDP, frames.udpBytes(40_000, 80, frames.tagged(0, 20))],
    [HOST_ADDRESS, ipv4.PROTOCOL_TCP, guest.segment(tcp.SYN)],
    [GATEWAY, ipv4.PROTOCOL_UDP, frames.udpBytes(40_000, 53, frames.dnsBytes(new Step(new Uint8Array(16))))],
  ];
  for (const [destination, protocol, payload] of payloads) {
    for (const beyond of [1, 8, 100, 1400, 60_000]) {
      const frame = guest.frame(destination, protocol, payload);
      const total = frame.length - 14 + beyond;
      frame.set([total >>> 8, total], 16);
      guest.raw(frame);
    }
  }
  guest.silence('to a packet longer than its frame');
  assert.equal(guest.written.length, 0);
  assert.equal(guest.world.gateway.counters.dropTotalLength, 20);
});

test('ethertypes nobody here speaks, IPv6 and NC-SI among them, are dropped at every length', () => {
  const guest = new Guest();
  let sent = 0;
  for (const type of [0x86dd, 0x88f8, 0x8100, 0x0835, 0]) {
    for (let length = 0; length < 100; length++) {
      const frame = new Uint8Array(14 + length).fill(0x60, 14);
      frame.set(guest.frame(GATEWAY, 1, NOTHING).subarray(0, 12));
      frame.set([type >>> 8, type], 12);
      guest.raw(frame);
      sent++;
    }
  }
  guest.silence('to another protocol');
  assert.equal(guest.world.gateway.unknownEtherType, sent);
});

test('short ARP is dropped at every length', () => {
  const guest = new Guest();
  const whole = frames.arpFrame(MAC, ADDRESS, new Step(Uint8Array.of(0, 0, 2, ...new Uint8Array(13))));
  guest.raw(whole);
  assert.equal(guest.port.counters.txFrames, 1);
  // What is missing of each lies behind it in memory, from the whole one.
  for (let length = 14; length < whole.length; length++) guest.raw(whole.subarray(0, length));
  assert.equal(guest.port.counters.txFrames, 1);
  assert.equal(guest.world.gateway.arp.counters.dropped, whole.length - 14);
});

test('short DHCP is not answered, and no answer has a byte that was not put there', () => {
  const guest = new Guest();
  const discover = frames.dhcpBytes(MAC, new Step(Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0)));
  const ask = (message: Uint8Array): Buffer[] => {
    // What lay in the arena before must not come out.
    guest.raw(guest.frame(HOST_ADDRESS, 200, new Uint8Array(1400).fill(0xab)));
    guest.heard.length = 0;
    guest.send(-1, ipv4.PROTOCOL_UDP, frames.udpBytes(68, 67, message), 0);
    return guest.heard.splice(0).map(({ payload }) => Buffer.from(payload.subarray(udp.HEADER)));
  };
  const [wanted] = ask(discover);
  assert.equal(dhcp.readDhcp(wanted!)?.options.get(dhcp.OPTION_MESSAGE_TYPE)?.[0], dhcp.OFFER);
  assert.equal(wanted!.includes(0xab), false);
  // Up to the message type, nothing: then the same answer, whatever padding is missing.
  for (let length = 0; length < discover.length; length++) {
    const answers = ask(discover.subarray(0, length));
    if (length < 243) assert.deepEqual(answers, [], `${length} bytes`);
    else assert.deepEqual(answers, [wanted], `${length} bytes`);
  }
  const noCookie = Uint8Array.from(discover);
  noCookie[236] = 0;
  assert.deepEqual(ask(noCookie), []);
  const pastTheEnd = Uint8Array.from(discover.subarray(0, 245));
  pastTheEnd.set([12, 255], 243);
  for (const answer of ask(pastTheEnd)) assert.equal(answer.includes(0xab), false);
});

test('urgent pointers, to everywhere and nowhere, change nothing about the data', () => {
  const guest = new Guest();
  guest.connect(80);
  let expected = Buffer.alloc(0);
  for (const pointer of [0, 1, 5, 6, 0x7fff, 0xffff]) {
    for (const data of ['', 'hello']) {
      const segment = guest.segment(tcp.ACK | tcp.URG, Buffer.from(data));
      segment.set([pointer >>> 8, pointer], 18);
      guest.send(HOST_ADDRESS, ipv4.PROTOCOL_TCP, segment);
      guest.seq += data.length;
      expected = Buffer.concat([expected, Buffer.from(data)]);
    }
  }
  assert.deepEqual(guest.written, expected);
  guest.heard.length = 0;
  guest.world.host.streams[0]!.put(10);
  guest.world.turn();
  assert.equal(guest.heard.at(-1)!.payload.length, tcp.HEADER + 10, 'and the host sends what it has, no more');
});

test('segments that overlap at the end of what is kept are put together once', () => {
  const guest = new Guest();
  guest.connect(80);
  const data = Buffer.from('abcdefghijklmnopqrstuvwxyz');
  for (const [from, to] of [
    [10, 20],
    [15, 26],
    [18, 20],
    [10, 26],
    [5, 12],
    [0, 6],
  ] as const) {
    guest.send(HOST_ADDRESS, ipv4.PROTOCOL_TCP, guest.segment(tcp.ACK, data.subarray(from, to), guest.seq + from));
  }
  assert.equal(guest.written.toString(), data.toString());
});
