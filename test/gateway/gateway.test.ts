import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Neighbour, NeighbourTable } from '../../src/gateway/neighbour.ts';
import { Arena } from '../../src/runtime/arena.ts';
import { TimerWheel } from '../../src/runtime/timer-wheel.ts';
import { FakePort } from '../fake-port.ts';
import * as arp from '../../src/packet/arp.ts';
import { MAPPED } from '../../src/packet/address.ts';
import { pseudoIpv4, sum } from '../../src/packet/checksum.ts';
import * as ipv4 from '../../src/packet/ipv4.ts';
import { address, echoRequest, GatewayBench, ipFrame } from './bench.ts';

const ARP_REQUEST = 'ffffffffffff5a94efe40cee08060001080006040001' + '5a94efe40ceec0a87f02' + '000000000000c0a87f01';
const ARP_REPLY = '5a94efe40cee5a94efe40cdd08060001080006040002' + '5a94efe40cddc0a87f01' + '5a94efe40ceec0a87f02';

function arpFor(target: string, sender = 'c0a87f02'): Buffer {
  return Buffer.from(ARP_REQUEST.replace('5a94efe40ceec0a87f02', `5a94efe40cee${sender}`).replace(/c0a87f01$/, target), 'hex');
}

test('answers ARP for its addresses with 42 bytes, byte for byte', () => {
  const bench = new GatewayBench();
  bench.input(Buffer.from(ARP_REQUEST, 'hex'));
  assert.deepEqual(
    bench.port.take().map((frame) => frame.toString('hex')),
    [ARP_REPLY],
  );
  bench.input(arpFor('c0a87ffe'));
  assert.equal(bench.port.take().length, 1, 'the host address');
  for (const other of ['c0a87f02', 'c0a87f03', '08080808', 'c0a87f00']) {
    bench.input(arpFor(other));
    assert.deepEqual(bench.port.take(), [], other);
  }
});

test('learns guests from ARP and from packets, not the gateway, broadcast or strangers', () => {
  const bench = new GatewayBench();
  const known = (text: string): boolean => bench.gateway.neighbours.lookup(0, 0, MAPPED, address(text)) !== null;
  bench.input(Buffer.from(ARP_REQUEST, 'hex'));
  assert.equal(known('192.168.127.2'), true);
  bench.input(ipFrame({ source: '192.168.127.7' }));
  assert.equal(known('192.168.127.7'), true);
  for (const sender of ['c0a87f01', 'c0a87fff', 'c0a87f00', '0a000001', '00000000']) bench.input(arpFor('c0a87f01', sender));
  assert.equal(bench.gateway.neighbours.size, 2);
});

test('ARP of every length and with every field wrong is dropped and counted (CVE-2020-29130)', () => {
  const bench = new GatewayBench();
  const good = Buffer.from(ARP_REQUEST, 'hex');
  for (let length = 14; length < 42; length++) bench.input(good.subarray(0, length));
  assert.equal(bench.gateway.arp.counters.dropped, 28);
  for (const at of [14, 15, 16, 17, 18, 19, 21]) {
    const bad = Buffer.from(good);
    bad[at] = 0x77;
    bench.input(bad);
  }
  assert.equal(bench.gateway.arp.counters.dropped, 35);
  assert.deepEqual(bench.port.take(), []);
});

test('so many may wait for neighbours, whichever; who is known is not waited for', () => {
  const asked: number[] = [];
  const timers = new TimerWheel(0);
  const table = new NeighbourTable(timers, (_w0, _w1, _w2, w3) => asked.push(w3), 3);
  const results: string[] = [];
  const resolve = (w3: number, name: string): void =>
    table.resolve(0, 0, MAPPED, w3, (found) => results.push(`${name} ${found === null ? 'nobody' : 'found'}`));
  for (const [w3, name] of [
    [1, 'a'],
    [1, 'b'],
    [2, 'c'],
    [1, 'd'],
    [3, 'e'],
  ] as const)
    resolve(w3, name);
  assert.deepEqual(results, ['d nobody', 'e nobody']);
  assert.deepEqual(asked, [1, 2]);
  const port = new FakePort(new Arena(2 << 20));
  table.learn(0, 0, MAPPED, 1, port, 0x5a94, 1);
  assert.deepEqual(results.splice(0), ['d nobody', 'e nobody', 'a found', 'b found']);
  resolve(3, 'f');
  resolve(3, 'g');
  resolve(3, 'h');
  resolve(1, 'i');
  assert.deepEqual(results.splice(0), ['h nobody', 'i found']);
  for (let seconds = 1; seconds <= 4; seconds++) timers.advance(seconds * 1010);
  assert.deepEqual(results.splice(0), ['c nobody', 'f nobody', 'g nobody']);
  resolve(4, 'j');
  table.close();
  assert.deepEqual(results, ['j nobody']);
});

test('resolves a neighbour with three broadcasts a second apart, then gives up', () => {
  const bench = new GatewayBench();
  const results: unknown[] = [];
  bench.gateway.neighbours.resolve(0, 0, MAPPED, address('192.168.127.9'), (neighbour) => results.push(neighbour));
  bench.gateway.neighbours.resolve(0, 0, MAPPED, address('192.168.127.9'), (neighbour) => results.push(neighbour));
  assert.equal(bench.broadcasts.length, 1);
  for (const [time, asked] of [
    [990, 1],
    [1010, 2],
    [2030, 3],
    [2990, 3],
  ] as const) {
    bench.timers.advance(time);
    assert.equal(bench.broadcasts.length, asked, `at ${time} ms`);
  }
  bench.timers.advance(3050);
  assert.deepEqual([...results], [null, null]);
  bench.gateway.neighbours.resolve(0, 0, MAPPED, address('192.168.127.9'), (neighbour) => results.push(neighbour));
  bench.input(arpFor('c0a87f01', 'c0a87f09'));
  assert.equal((results[2] as Neighbour).macLo, 0xefe40cee | 0);
});

test('answers pings to its own address only, with the payload, and verifies their checksum', () => {
  const bench = new GatewayBench();
  const payload = Buffer.from('the payload of a ping');
  bench.input(ipFrame({ destination: '192.168.127.1', protocol: 1, payload: echoRequest(payload) }));
  const [reply] = bench.port.take();
  assert.equal(sum(reply!, 34, reply!.length - 34), 0xffff);
  assert.equal(reply![34], 0);
  assert.deepEqual(reply!.subarray(42), payload);
  assert.equal(reply!.readUInt16BE(38), 7);
  const bad = echoRequest(payload);
  bad[10]! ^= 1;
  bench.input(ipFrame({ destination: '192.168.127.1', protocol: 1, payload: bad }));
  bench.input(ipFrame({ destination: '192.168.127.254', protocol: 1, payload: echoRequest(payload) }));
  assert.deepEqual(bench.port.take(), []);
  assert.equal(bench.gateway.icmpInput.counters.dropChecksum, 1);
  assert.equal(bench.gateway.icmpInput.counters.echoForwarded, 1);
});

test('trims padding, follows options, and hands on exactly the payload', () => {
  const bench = new GatewayBench();
  bench.input(ipFrame({ payload: Buffer.from('12345678abc'), padding: 26 }));
  assert.equal(bench.delivered[0]!.payload.toString(), '12345678abc');
  const plain = ipFrame({ payload: Buffer.from('12345678abc') });
  const options = Buffer.concat([plain.subarray(0, 34), Buffer.from('01010101', 'hex'), plain.subarray(34)]);
  options[14] = 0x46;
  options.writeUInt16BE(ipv4.HEADER + 4 + 11, 16);
  bench.input(options);
  assert.equal(bench.delivered[1]!.payload.toString(), '12345678abc');
});

test('refuses packets whose addresses make no sense', () => {
  const bench = new GatewayBench();
  const sources = [
    '127.0.0.1',
    '0.0.0.0',
    '0.0.0.5',
    '255.255.255.255',
    '224.0.0.1',
    '192.168.127.1',
    '192.168.127.255',
    '192.168.127.0',
    '10.0.0.9',
  ];
  for (const source of sources) bench.input(ipFrame({ source }));
  assert.equal(bench.gateway.counters.dropSource, sources.length);
  const destinations = ['127.0.0.1', '0.0.0.0', '224.0.0.251', '240.0.0.1', '255.255.255.255', '192.168.127.255'];
  for (const destination of destinations) bench.input(ipFrame({ destination }));
  assert.equal(bench.gateway.counters.dropDestination, destinations.length);
  assert.deepEqual(bench.delivered, []);
});

test('lets a guest without an address reach DHCP and nothing else', () => {
  const bench = new GatewayBench();
  const udp = Buffer.alloc(16);
  udp.writeUInt16BE(68, 0);
  udp.writeUInt16BE(67, 2);
  udp.writeUInt16BE(16, 4);
  bench.input(ipFrame({ source: '0.0.0.0', destination: '255.255.255.255', payload: udp }));
  assert.equal(bench.delivered.length, 1);
  udp.writeUInt16BE(53, 2);
  bench.input(ipFrame({ source: '0.0.0.0', destination: '192.168.127.1', payload: udp }));
  bench.input(ipFrame({ source: '0.0.0.0', destination: '192.168.127.1', protocol: 6 }));
  assert.equal(bench.delivered.length, 1);
});

test('lying lengths are dropped: nothing beyond the frame is ever read (CVE-2020-10756)', () => {
  const bench = new GatewayBench();
  const good = ipFrame({ payload: Buffer.alloc(40) });
  let inputs = 0;
  for (let length = 14; length < good.length; length++, inputs++) bench.input(good.subarray(0, length));
  for (const [at, value] of [
    [16, 0],
    [16, 0xff],
    [14, 0x44],
    [14, 0x4f + 0x10],
    [14, 0x65],
    [14, 0x40],
  ] as const) {
    const bad = Buffer.from(good);
    bad[at] = value;
    if (at === 16 && value === 0) bad[17] = 10;
    bench.input(bad);
    inputs++;
  }
  assert.equal(bench.refused, inputs);
  assert.deepEqual(bench.delivered, []);
});

test('an unknown protocol is answered with protocol unreachable, quoting the packet', () => {
  const bench = new GatewayBench();
  const packet = ipFrame({ protocol: 99, payload: Buffer.from('quoted') });
  bench.input(packet);
  const [error] = bench.port.take();
  assert.deepEqual([error![34], error![35]], [3, 2]);
  assert.equal(error!.subarray(42).toString('hex'), packet.subarray(14).toString('hex'));
  assert.equal(ipv4.source(error!, 14), address('10.0.0.1'));
});

test('ICMP errors are limited to 50 at once and 1000 a second, and never answer errors, fragments or groups', () => {
  const bench = new GatewayBench();
  for (let i = 0; i < 500; i++) bench.input(ipFrame({ protocol: 99 }));
  assert.equal(bench.port.take().length, 50);
  bench.timers.advance(100);
  for (let i = 0; i < 500; i++) bench.input(ipFrame({ protocol: 99 }));
  assert.equal(bench.port.take().length, 50);
  bench.timers.advance(1000);
  const error = echoRequest(Buffer.alloc(8));
  error[0] = 3;
  error.writeUInt16BE(0, 2);
  bench.input(ipFrame({ protocol: 1, payload: error }));
  assert.deepEqual(bench.port.take(), []);
});

test('reassembles fragments in any order; what is whole arrives once, byte for byte', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 24, maxLength: 8000 }),
      fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1 }),
      fc.integer(),
      (data, sizes, seed) => {
        const bench = new GatewayBench();
        const pieces: { start: number; end: number }[] = [];
        for (let start = 0, i = 0; start < data.length; i++) {
          const end = Math.min(start + Math.max(sizes[i % sizes.length]! * 8, 16), data.length);
          pieces.push({ start, end });
          start = end;
        }
        fc.pre(pieces.length > 1 && pieces.length <= 200);
        const order = pieces.map((piece, i) => ({ piece, key: Math.sin(seed + i) })).toSorted((a, b) => a.key - b.key);
        for (const { piece } of order) {
          const fragment = (piece.start >> 3) | (piece.end < data.length ? ipv4.FLAG_MF : 0);
          assert.equal(bench.delivered.length, 0);
          const frame = ipFrame({ fragment, payload: data.subarray(piece.start, piece.end) });
          bench.input(frame);
          // An exact duplicate changes nothing.
          if (bench.delivered.length === 0) bench.input(frame);
        }
        assert.equal(bench.delivered.length, 1);
        assert.deepEqual(bench.delivered[0]!.payload, Buffer.from(data));
        assert.equal(bench.gateway.reassembly.size, 0);
      },
    ),
    { numRuns: 100 },
  );
});

test('overlapping fragments end the datagram (teardrop, CVE-2019-14378, CVE-2019-15890)', () => {
  const bench = new GatewayBench();
  const piece = (start: number, length: number, more: boolean): void =>
    bench.input(ipFrame({ fragment: (start >> 3) | (more ? ipv4.FLAG_MF : 0), payload: Buffer.alloc(length, start) }));
  piece(0, 800, true);
  piece(400, 800, true);
  piece(800, 400, false);
  assert.deepEqual(bench.delivered, []);
  assert.equal(bench.gateway.reassembly.counters.overlapping, 1);
  bench.timers.advance(31_000);
  assert.equal(bench.gateway.reassembly.size, 0);
});

test('tiny, empty, odd-sized and endless fragments are dropped (CVE-2018-11806, RFC 1858)', () => {
  const bench = new GatewayBench();
  const cases: [number, number, boolean][] = [
    [0, 8, true],
    [8, 16, true],
    [16, 0, true],
    [16, 13, true],
    [65_528, 100, false],
    [65_000, 600, true],
  ];
  for (const [start, length, more] of cases)
    bench.input(ipFrame({ id: start, fragment: (start >> 3) | (more ? ipv4.FLAG_MF : 0), payload: Buffer.alloc(length) }));
  assert.equal(bench.gateway.reassembly.counters.malformed, cases.length);
  assert.equal(bench.gateway.reassembly.size, 0);
});

test('a flood of first fragments is bounded and times out', () => {
  const bench = new GatewayBench();
  for (let id = 0; id < 5000; id++) bench.input(ipFrame({ id, fragment: ipv4.FLAG_MF, payload: Buffer.alloc(64) }));
  assert.equal(bench.gateway.reassembly.size, 64);
  bench.timers.advance(30_100);
  assert.equal(bench.gateway.reassembly.size, 0);
});

test('what it fragments can be put together again: DF clear, one ID, payloads of eight', () => {
  for (const [mtu, length] of [
    [1500, 1481],
    [1500, 65_000],
    [576, 5000],
    [68, 1000],
  ] as const) {
    const bench = new GatewayBench(mtu);
    const at = bench.arena.allocate(65_536);
    for (let i = 0; i < length; i++) bench.arena.bytes[at + i] = (i * 7) & 255;
    const guest = new Neighbour(0, 0, MAPPED, address('192.168.127.2'));
    guest.port = bench.port;
    assert.equal(bench.gateway.sendIpv4(guest, address('10.0.0.1'), guest.w3, 17, at, length), true);
    const whole = Buffer.alloc(length);
    const ids = new Set<number>();
    for (const frame of bench.port.take()) {
      const word = ipv4.fragment(frame, 14);
      assert.equal(word & ipv4.FLAG_DF, 0);
      assert.ok(frame.length - 14 <= mtu);
      assert.equal(sum(frame, 14, 20), 0xffff);
      if (word & ipv4.FLAG_MF) assert.equal((frame.length - 34) % 8, 0);
      frame.copy(whole, (word & ipv4.OFFSET_MASK) * 8, 34);
      ids.add(ipv4.identification(frame, 14));
    }
    assert.equal(ids.size, 1);
    assert.deepEqual(whole, Buffer.from(bench.arena.bytes.subarray(at, at + length)));
  }
});

test('garbage of every length and shape never throws, and every frame is accounted for', () => {
  const bench = new GatewayBench();
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 14, maxLength: 200 }),
      fc.constantFrom(0x0800, 0x0806, 0x86dd, 0x88f8),
      fc.boolean(),
      (bytes, type, plausible) => {
        const frame = Buffer.from(bytes);
        frame.writeUInt16BE(type, 12);
        if (plausible && frame.length > 34) {
          frame[14] = 0x45;
          frame.writeUInt16BE(frame.length - 14, 16);
          frame.writeInt32BE(address('192.168.127.2'), 26);
        }
        bench.input(frame);
      },
    ),
    { numRuns: 5000 },
  );
  bench.port.take();
});

function announcement(sender: string, mac: string): Buffer {
  const frame = Buffer.alloc(42);
  frame.write('ffffffffffff' + mac + '0806', 'hex');
  arp.write(frame, 14, arp.REQUEST, 0x5a94, 1, address(sender), 0, 0, address(sender));
  frame.write(mac, 22, 'hex');
  return frame;
}

test('another VM can take an address neither by ARP nor by IP while its user is there', () => {
  const bench = new GatewayBench();
  const thief = new FakePort(bench.arena, 1);
  const owner = (): unknown => bench.gateway.neighbours.lookup(0, 0, MAPPED, address('192.168.127.2'))?.port;
  bench.input(ipFrame({}));
  assert.equal(owner(), bench.port);
  bench.input(announcement('192.168.127.2', '5a94efe40caa'), thief);
  bench.input(ipFrame({}), thief);
  assert.equal(owner(), bench.port);
  assert.equal(bench.gateway.counters.dropSpoofed, 1);
  assert.equal(bench.gateway.arp.counters.dropped, 1);
  assert.equal(bench.delivered.length, 1);
  // It keeps its address while it sends, however it sends,
  bench.timers.advance(29_000);
  bench.input(ipFrame({}));
  bench.timers.advance(58_000);
  bench.input(ipFrame({}), thief);
  assert.equal(owner(), bench.port);
  // and while it has flows.
  const neighbour = bench.gateway.neighbours.lookup(0, 0, MAPPED, address('192.168.127.2'))!;
  neighbour.hold();
  bench.timers.advance(200_000);
  bench.input(ipFrame({}), thief);
  assert.equal(owner(), bench.port);
  neighbour.release();
  bench.input(ipFrame({}), thief);
  assert.equal(owner(), thief, 'an address that was given up can be taken');
  bench.gateway.detached(thief);
  bench.input(ipFrame({}));
  assert.equal(owner(), bench.port, 'and at once when its VM has gone');
});

test('addresses with flows are not pushed out by addresses that a VM makes up', () => {
  const bench = new GatewayBench();
  const table = bench.gateway.neighbours;
  const learn = (word: number): Neighbour => table.learn(0, 0, MAPPED, word, bench.port, 0x5a94, word)!;
  const busy = [learn(1), learn(2)];
  for (const neighbour of busy) neighbour.hold();
  for (let word = 10; word < 5000; word++) learn(word);
  assert.equal(table.size, 1024);
  for (const neighbour of busy) assert.equal(table.lookup(0, 0, MAPPED, neighbour.w3), neighbour);
});

test('the pseudo-header sum of UDP is what the guest computes', () => {
  assert.equal(pseudoIpv4(address('1.2.3.4'), address('5.6.7.8'), 17, 9), 0x0102 + 0x0304 + 0x0506 + 0x0708 + 17 + 9);
});
