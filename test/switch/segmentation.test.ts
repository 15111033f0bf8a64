import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import * as vnet from '../../src/packet/vnet-header.ts';
import { parseMac } from '../../src/packet/mac.ts';
import { Arena } from '../../src/runtime/arena.ts';
import { arenaSum } from '../../src/runtime/arena-checksum.ts';
import { Switch } from '../../src/switch/switch.ts';
import { SEGMENT_LIMIT } from '../../src/switch/super-frame.ts';
import { FakePort, type FakePortOptions } from '../fake-port.ts';
import { bytes, dataOf, DESTINATION, headerOf, packets, SOURCE } from './arbitrary-packets.ts';
import { frameOf, type Packet, segmentsOf } from './packets.ts';

const OFFLOAD = { offload: true, largestFrame: 65_549 };
/** krunkit with offloading and without a header. */
const UNDESCRIBED = { largestFrame: 65_549 };
const PLAIN = {};

/** Two VMs on a switch: the first sends, the second gets. */
class Bench {
  readonly arena: Arena = new Arena(64 << 20);
  readonly from: FakePort;
  readonly to: FakePort;
  readonly switch: Switch;
  readonly #at: number = this.arena.allocate(1 << 18) + 64;

  constructor(from: FakePortOptions, to: FakePortOptions, mtu = 1500) {
    const gateway = { input: () => {}, endOfBatch: () => {}, drained: () => {}, detached: () => {} };
    const { bytes } = this.arena;
    this.switch = new Switch({ bytes, sum: arenaSum(this.arena), mtu, gatewayMac: parseMac('5a:94:ef:e4:0c:dd')!, gateway, now: () => 0 });
    this.from = new FakePort(this.arena, 0, from);
    this.to = new FakePort(this.arena, 1, to);
    for (const port of [this.from, this.to]) this.switch.attached(port);
    this.switch.macs.learn(0x0200, 2, this.to, 0);
  }

  /** What the second VM gets; `header` is the frame's, where the first has one. */
  send(frame: Buffer, header: Buffer = Buffer.alloc(vnet.VNET_HEADER)): Buffer[] {
    this.arena.bytes.set(header, this.#at - vnet.VNET_HEADER);
    this.arena.bytes.set(frame, this.#at);
    this.switch.frame(this.from, this.#at, frame.length);
    return this.to.take();
  }

  get malformed(): number {
    assert.equal(this.from.counters.rxDropped, this.switch.counters.dropMalformed);
    return this.switch.counters.dropMalformed;
  }
}

const sizes = fc.integer({ min: 40, max: 9000 });

test('a super frame is cut as the reference cuts it, for a VM that takes whole frames only', () => {
  const bench = new Bench(OFFLOAD, PLAIN);
  fc.assert(
    fc.property(packets, sizes, (packet, size) => {
      const got = bench.send(frameOf(packet, true), headerOf(packet, size));
      assert.deepEqual(got, segmentsOf(packet, size));
    }),
    { numRuns: 300 },
  );
  assert.equal(bench.malformed, 0);
  assert.ok(bench.switch.counters.segmented > 0);
});

test('a super frame of TCP goes to a VM with offload as it is, with what its header may say and nothing else', () => {
  const bench = new Bench(OFFLOAD, OFFLOAD);
  fc.assert(
    fc.property(packets, sizes, (packet, size) => {
      const header = headerOf(packet, size);
      // A header length that lies, and a byte that the device leaves as it was.
      header.writeUInt16LE(7, 2);
      header[11] = 0x77;
      header[0]! |= 2;
      bench.to.headers.length = 0;
      const got = bench.send(frameOf(packet, true), header);
      if (packet.isUdp) {
        assert.deepEqual(got, segmentsOf(packet, size), 'nobody has said that its VM takes these');
        for (const each of bench.to.headers) assert.equal(each.toString('hex'), '00000000000000000000' + '0100');
        return;
      }
      assert.deepEqual(got, [frameOf(packet)], 'FakePort completes the checksum');
      assert.deepEqual(bench.to.headers, [headerOf(packet, size)]);
    }),
    { numRuns: 200 },
  );
});

test('an open checksum is completed for a VM without offload, and stays open for one with it', () => {
  for (const to of [PLAIN, OFFLOAD, UNDESCRIBED]) {
    const bench = new Bench(OFFLOAD, to);
    fc.assert(
      fc.property(packets, (packet) => {
        bench.to.headers.length = 0;
        assert.deepEqual(bench.send(frameOf(packet, true), headerOf(packet, 0)), [frameOf(packet)]);
        if (bench.to.offload) assert.equal(vnet.flags(bench.to.headers[0]!, 0), vnet.NEEDS_CHECKSUM);
      }),
      { numRuns: 100 },
    );
  }
});

test('whole frames pass as they are, whoever sends them to whom, with a clear header where there is one', () => {
  const whole = frameOf(sample({ data: dataOf(1000, 1) }));
  for (const from of [PLAIN, OFFLOAD, UNDESCRIBED]) {
    for (const to of [PLAIN, OFFLOAD, UNDESCRIBED]) {
      const bench = new Bench(from, to);
      assert.deepEqual(bench.send(whole), [whole]);
      for (const header of bench.to.headers) assert.equal(header.toString('hex'), '000000000000000000000100');
      const broken = Buffer.from(whole);
      broken[broken.length - 1]! ^= 1;
      assert.deepEqual(bench.send(broken), [broken], 'a wrong checksum is the receiver’s to find');
    }
  }
});

/** A TCP segment over IPv4. */
function sample(change: Partial<Packet> = {}): Packet {
  return {
    ethernet: Buffer.from(DESTINATION + SOURCE, 'hex'),
    isIpv6: false,
    options: Buffer.alloc(0),
    identification: 0xfffe,
    addresses: Buffer.from('c0a87f02c0a87f03', 'hex'),
    isUdp: false,
    ports: Buffer.from('9c401451', 'hex'),
    sequence: -3000,
    flags: 0x99,
    tcpOptions: Buffer.alloc(0),
    data: dataOf(10_000, 5),
    ...change,
  };
}

test('a large segment of a VM that says nothing of segments is cut at the MTU, unless the other takes it', () => {
  const packet = sample({ data: dataOf(60_000, 3) });
  for (const partial of [true, false]) {
    const bench = new Bench(UNDESCRIBED, PLAIN);
    assert.deepEqual(bench.send(frameOf(packet, partial)), segmentsOf(packet, 1460));
    assert.deepEqual(new Bench(UNDESCRIBED, UNDESCRIBED).send(frameOf(packet, partial)), [frameOf(packet)]);
    const described = new Bench(UNDESCRIBED, OFFLOAD);
    assert.deepEqual(described.send(frameOf(packet, partial)), [frameOf(packet)]);
    assert.deepEqual(described.to.headers, [headerOf(packet, 1460)]);
  }
  assert.deepEqual(new Bench(OFFLOAD, UNDESCRIBED).send(frameOf(packet, true), headerOf(packet, 1400)), [frameOf(packet)]);
});

test('of a VM that says nothing of segments an open checksum is completed, and a datagram beyond the MTU is for those alone that take it', () => {
  const short = sample({ isUdp: true, data: dataOf(500, 3) });
  assert.deepEqual(new Bench(UNDESCRIBED, PLAIN).send(frameOf(short, true)), [frameOf(short)]);
  assert.deepEqual(new Bench(UNDESCRIBED, OFFLOAD).send(frameOf(short, true)), [frameOf(short)]);
  const long = frameOf(sample({ isUdp: true, data: dataOf(5000, 3) }));
  const bench = new Bench(UNDESCRIBED, PLAIN);
  assert.deepEqual(bench.send(long), []);
  assert.deepEqual([bench.switch.counters.dropTooLarge, bench.to.counters.txDropped], [1, 1]);
  assert.deepEqual(new Bench(UNDESCRIBED, UNDESCRIBED).send(long), [long]);
  const edge = frameOf(sample({ isUdp: true, ethernet: Buffer.from(DESTINATION + SOURCE + '81000064', 'hex'), data: dataOf(1472, 3) }));
  assert.deepEqual(new Bench(UNDESCRIBED, PLAIN).send(edge), [edge], 'the tag is not the packet’s');
});

test('a frame beyond what a VM with offload takes is dropped', () => {
  const bench = new Bench(OFFLOAD, OFFLOAD);
  const frame = Buffer.alloc(65_550, Buffer.from(DESTINATION + SOURCE + '88b5', 'hex'));
  assert.deepEqual(bench.send(frame.subarray(0, 65_549)), [frame.subarray(0, 65_549)]);
  assert.deepEqual(bench.send(frame), []);
  assert.equal(bench.switch.counters.dropTooLarge, 1);
});

const good = frameOf(sample(), true);
const HOSTILE: [what: string, change: (frame: Buffer, header: Buffer) => Buffer | void][] = [
  ['no data in a segment', (_, header) => void header.writeUInt16LE(0, 4)],
  ['a checksum elsewhere', (_, header) => void header.writeUInt16LE(36, 6)],
  ['IPv6 said of IPv4', (_, header) => void (header[1] = vnet.GSO_TCPV6)],
  ['UDP said of TCP', (_, header) => void (header[1] = vnet.GSO_UDP_L4)],
  ['no IP', (frame) => void frame.writeUInt16BE(0x88b5, 12)],
  ['a tag and nothing behind it', (frame) => void frame.writeUInt16BE(0x8100, 12)],
  ['a total length beyond the frame', (frame) => void frame.writeUInt16BE(good.length, 16)],
  ['a total length short of it', (frame) => void frame.writeUInt16BE(good.length - 15, 16)],
  ['a header of 16 bytes', (frame) => void (frame[14] = 0x44)],
  ['another version', (frame) => void (frame[14] = 0x55)],
  ['a fragment', (frame) => void frame.writeUInt16BE(0x2000, 20)],
  ['another protocol', (frame) => void (frame[23] = 47)],
  ['a TCP header of 16 bytes', (frame) => void (frame[46] = 0x40)],
  ['SYN', (frame) => void (frame[47]! |= 2)],
  ['RST', (frame) => void (frame[47]! |= 4)],
  ['too many segments', (_, header) => void header.writeUInt16LE(Math.floor(10_000 / (SEGMENT_LIMIT + 1)), 4)],
  ['nothing behind the Ethernet header', (frame) => frame.subarray(0, 14)],
  ['a cut IPv4 header', (frame) => frame.subarray(0, 30)],
  ['a cut TCP header', (frame) => cutAt(frame, 50)],
];

function cutAt(frame: Buffer, length: number): Buffer {
  const cut = Buffer.from(frame.subarray(0, length));
  cut.writeUInt16BE(length - 14, 16);
  return cut;
}

for (const [what, change] of HOSTILE) {
  test(`a super frame is dropped and counted: ${what}`, () => {
    for (const to of [PLAIN, OFFLOAD, UNDESCRIBED]) {
      const bench = new Bench(OFFLOAD, to);
      const [frame, header] = [Buffer.from(good), headerOf(sample(), 1460)];
      assert.equal(bench.send(frame, header).length > 0, true);
      const changed = change(frame, header) ?? frame;
      assert.deepEqual(bench.send(changed, header), []);
      assert.equal(bench.malformed, 1);
    }
  });
}

test('whatever a header and a frame say, nothing fails, and what comes out is bounded', () => {
  const bench = new Bench(OFFLOAD, PLAIN);
  fc.assert(
    fc.property(packets, bytes(12), fc.array(fc.tuple(fc.nat(120), fc.nat(255)), { maxLength: 4 }), (packet, random, changes) => {
      const frame = frameOf(packet, true);
      for (const [at, value] of changes) if (at >= 6 && at < frame.length) frame[at] = value;
      const header = headerOf(packet, 1000);
      for (let i = 0; i < 12; i++) if (random[i]! > 200) header[i] = random[(i + 1) % 12]!;
      if (!vnet.isPossible(header, 0, frame.length)) return;
      const before = bench.switch.counters.copiedBytes;
      const got = bench.send(frame, header);
      assert.ok(got.length <= SEGMENT_LIMIT);
      assert.ok(bench.switch.counters.copiedBytes - before <= 1 << 20);
    }),
    { numRuns: 2000 },
  );
});

test('a VM without room for all segments gets none', () => {
  const bench = new Bench(OFFLOAD, PLAIN);
  bench.to.full = true;
  assert.deepEqual(bench.send(good, headerOf(sample(), 1460)), []);
  assert.equal(bench.to.counters.txDropped, 7);
});

test('what one VM may have cut into tiny segments is limited; segments of a common size are not', () => {
  const bench = new Bench(OFFLOAD, PLAIN);
  const [tiny, small] = [
    { ...sample(), data: Buffer.alloc(500, 1) },
    { ...sample(), data: Buffer.alloc(9000, 1) },
  ];
  let segments = 0;
  for (let i = 0; i < 1000; i++) segments += bench.send(frameOf(tiny, true), headerOf(tiny, 1)).length;
  assert.ok(segments >= 10_000 && segments <= 60_000, `${segments} of 500000`);
  assert.ok(bench.switch.counters.dropStorm > 0);
  for (let i = 0; i < 1000; i++) assert.equal(bench.send(frameOf(small, true), headerOf(small, 536)).length, 17);
});

test('segments count for each VM that a broadcast is cut for', () => {
  const bench = new Bench(OFFLOAD, PLAIN);
  const others = Array.from({ length: 30 }, (_, i) => new FakePort(bench.arena, 2 + i));
  for (const port of others) bench.switch.attached(port);
  const packet = { ...sample(), data: Buffer.alloc(500, 1) };
  const frame = frameOf(packet, true);
  frame.fill(0xff, 0, 6);
  for (let i = 0; i < 100; i++) bench.send(frame, headerOf(packet, 1));
  const segments = others.reduce((sum, port) => sum + port.take().length, 0);
  assert.ok(segments >= 10_000 && segments <= 60_000, `${segments} of 1500000`);
});

test('headers that are larger than what they carry count, too', () => {
  const bench = new Bench(OFFLOAD, PLAIN);
  const packet = { ...sample(), isIpv6: true, addresses: Buffer.alloc(32, 3), options: Buffer.alloc(2048), data: Buffer.alloc(16, 1) };
  for (let i = 0; i < 4000; i++) bench.send(frameOf(packet, true), headerOf(packet, 1));
  const { copiedBytes } = bench.switch.counters;
  assert.ok(copiedBytes > 30 << 20 && copiedBytes < 60 << 20, `${copiedBytes} bytes for ${4000 * 2138}`);
});
