import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { QEMU_FRAMING, VNET_FRAMING } from '../../src/link/framing.ts';
import { Deframer, ReceiveRegion } from '../../src/link/receive-region.ts';
import { StreamMemory } from '../../src/link/stream-port.ts';
import { TransmitBuffer } from '../../src/link/transmit-buffer.ts';
import { Arena } from '../../src/runtime/arena.ts';
import { VNET_HEADER } from '../../src/packet/vnet-header.ts';

function framed(...frames: Uint8Array[]): Buffer {
  return Buffer.concat(
    frames.flatMap((frame) => {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(frame.length);
      return [length, Buffer.from(frame)];
    }),
  );
}

class Stream {
  readonly arena: Arena = new Arena(8 << 20);
  readonly frames: Buffer[] = [];
  readonly region: ReceiveRegion = new ReceiveRegion(this.arena, 1 << 20);
  readonly deframer: Deframer = Deframer.create(this.region, QEMU_FRAMING)!;

  /** Bytes as one read brings them. The region is poisoned in between: another port may have used it. */
  read(bytes: Uint8Array): boolean {
    const at = this.deframer.begin();
    this.arena.bytes.set(bytes, at);
    const good = this.deframer.consume(bytes.length, (from, length) => {
      this.frames.push(Buffer.from(this.arena.bytes.subarray(from, from + length)));
    });
    this.arena.bytes.fill(0xa5, this.region.at, this.region.at + this.region.size);
    return good;
  }
}

test('any frames come out whole however the stream is cut', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 20 }),
      fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1 }),
      (frames, cuts) => {
        const stream = new Stream();
        const bytes = framed(...frames);
        for (let at = 0, i = 0; at < bytes.length; i++) {
          const end = at + cuts[i % cuts.length]!;
          assert.equal(stream.read(bytes.subarray(at, end)), true);
          at = end;
        }
        assert.deepEqual(
          stream.frames.map((frame) => [...frame]),
          frames.map((frame) => [...frame]),
        );
      },
    ),
    { numRuns: 300 },
  );
});

test('takes every length from 0 to 131072 and refuses 131073 and beyond', () => {
  for (const length of [0, 1, 13, 14, 60, 1514, 65_535, 131_071, 131_072]) {
    const stream = new Stream();
    assert.equal(stream.read(framed(new Uint8Array(length))), true);
    assert.deepEqual(
      stream.frames.map((frame) => frame.length),
      [length],
    );
  }
  for (const length of [131_073, 0x7fffffff, 0xffffffff]) {
    const stream = new Stream();
    const header = Buffer.alloc(4);
    header.writeUInt32BE(length);
    assert.equal(stream.read(Buffer.concat([framed(Buffer.from('good')), header])), false);
    assert.deepEqual([stream.frames.length, stream.deframer.invalid], [1, length]);
  }
});

test('what is claimed and committed is written in order; a slow reader makes claims fail until half is free', () => {
  const arena = new Arena(1 << 20);
  const buffer = TransmitBuffer.create(arena, QEMU_FRAMING, 16_384)!;
  const written: Buffer[] = [];
  const write = (count: number): void => {
    written.push(Buffer.from(arena.bytes.subarray(buffer.head, buffer.head + count)));
    buffer.wrote(count);
  };
  const frames: Buffer[] = [];
  let refused = 0;
  for (let i = 0; i < 500; i++) {
    const frame = Buffer.alloc(14 + ((i * 37) % 1500), i);
    const at = buffer.claim(4 + frame.length);
    if (at < 0) {
      refused++;
      assert.equal(buffer.starved, true);
      assert.equal(buffer.roomy, false);
      write(Math.ceil(buffer.pending * 0.7));
      buffer.starved = false;
      continue;
    }
    arena.bytes.set(frame, at + 4);
    buffer.commit(at + 4, frame.length);
    frames.push(frame);
    if (i % 7 === 0) write(Math.min(buffer.pending, 100 + i));
  }
  write(buffer.pending);
  assert.ok(refused > 0);
  assert.equal(Buffer.compare(Buffer.concat(written), framed(...frames)), 0);
});

test('half a frame is held although the arena has filled up since the VM attached', () => {
  const stream = new Stream();
  while (stream.arena.allocate(4096) >= 0);
  const bytes = framed(Buffer.alloc(131_072, 7));
  assert.equal(stream.read(bytes.subarray(0, 100_000)), true);
  assert.equal(stream.read(bytes.subarray(100_000)), true);
  assert.equal(stream.frames[0]!.length, 131_072);
});

test('a VM gets all of its memory or none', () => {
  const arena = new Arena(8 << 20);
  const region = new ReceiveRegion(arena, 1 << 20);
  const free = (): number => {
    const taken: number[] = [];
    for (let at = arena.allocate(65_536); at >= 0; at = arena.allocate(65_536)) taken.push(at);
    for (const at of taken) arena.free(at, 65_536);
    return taken.length;
  };
  const before = free();
  const attached: StreamMemory[] = [];
  for (let memory = StreamMemory.create(region, QEMU_FRAMING, 1 << 20); memory !== null;) {
    attached.push(memory);
    memory = StreamMemory.create(region, QEMU_FRAMING, 1 << 20);
  }
  assert.equal(attached.length, 5);
  assert.equal(free(), before - attached.length * 20);
  for (const memory of attached) memory.free();
  assert.equal(free(), before);
  while (arena.allocate(4096) >= 0);
  assert.throws(() => new ReceiveRegion(arena, 4096), /no room/);
});

test('the length counts the virtio-net header, which is cleared unless the sender has filled it in', () => {
  const arena = new Arena(1 << 20);
  const buffer = TransmitBuffer.create(arena, VNET_FRAMING, 16_384)!;
  const headroom = VNET_FRAMING.prefix + VNET_HEADER;
  const start = buffer.claim(headroom + 60);
  for (const described of [false, true]) {
    const at = buffer.claim(headroom + 60) + headroom;
    arena.bytes.fill(0xee, at - headroom, at + 60);
    buffer.commit(at, 60, described);
  }
  assert.equal(buffer.pending, 2 * (headroom + 60));
  const plain = Buffer.from(arena.bytes.subarray(start, start + headroom));
  const filled = Buffer.from(arena.bytes.subarray(start + headroom + 60, start + 2 * headroom + 60));
  assert.equal(plain.toString('hex'), '00000048' + '000000000000000000000100');
  assert.equal(filled.toString('hex'), '00000048' + 'ee'.repeat(VNET_HEADER));
});
