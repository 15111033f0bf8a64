/** Frames through the wire. A seqpacket socket stands for the device: one call, one frame, as with TAP. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { test, type TestContext } from 'node:test';
import { type Framing, VNET_FRAMING, VPNKIT_FRAMING } from '../../src/link/framing.ts';
import { TapWire } from '../../src/guest/tap-wire.ts';
import { Arena } from '../../src/runtime/arena.ts';
import { TurnLoop } from '../../src/runtime/turn-loop.ts';
import { addressOf, close, read, write } from '../../src/system/syscalls.ts';
import { until } from '../guest/process.ts';
import { socketpair } from '../system/descriptors.ts';

const SEQPACKET = 5;
const VNET = Buffer.from('000000000000000000000100', 'hex');

interface World {
  readonly wire: TapWire;
  /** The other end of the stream. */
  readonly peer: Socket;
  readonly ended: string[];
  /** What the kernel would do at its end of the device. */
  readonly give: (frame: Uint8Array) => boolean;
  readonly take: () => Buffer | undefined;
  /** Closes the kernel's end. */
  readonly unplug: () => void;
}

function world(t: TestContext, framing: Framing, intercept: (frame: Buffer) => boolean = () => false): World {
  const arena = new Arena(8 << 20);
  const loop = new TurnLoop(arena);
  const [tap, kernel] = socketpair(SEQPACKET);
  const [stream, far] = socketpair();
  const ended: string[] = [];
  const wire = new TapWire(tap, stream, framing, loop, arena, {
    ended: (reason) => void ended.push(reason),
    intercept: (bytes, at, length) => intercept(Buffer.from(bytes.subarray(at, at + length))),
  });
  const peer = new Socket({ fd: far });
  peer.on('error', () => {});
  const buffer = new Uint8Array(new ArrayBuffer(1 << 17));
  const address = addressOf(buffer.buffer as ArrayBuffer);
  let plugged = true;
  const unplug = (): void => {
    if (plugged) close(kernel);
    plugged = false;
  };
  t.after(() => {
    wire.close('the test is over');
    unplug();
    close(tap);
    peer.destroy();
    loop.close();
  });
  return {
    wire,
    peer,
    ended,
    give: (frame) => {
      buffer.set(frame);
      return write(kernel, address, frame.length) > 0;
    },
    take: () => {
      const got = read(kernel, address, buffer.length);
      return got > 0 ? Buffer.from(buffer.subarray(0, got)) : undefined;
    },
    unplug,
  };
}

function framed(framing: Framing, frame: Uint8Array, header: Uint8Array = VNET): Buffer {
  const body = framing.vnet > 0 ? Buffer.concat([header, frame]) : frame;
  const prefix = Buffer.alloc(framing.prefix);
  framing.write(prefix, 0, body.length);
  return Buffer.concat([prefix, body]);
}

function frameOf(length: number): Buffer {
  return Buffer.from(Uint8Array.from({ length }, (_, i) => (length * 7 + i * 13) & 255));
}

async function taken(take: () => Buffer | undefined, count: number): Promise<Buffer[]> {
  const frames: Buffer[] = [];
  await until(() => {
    for (let frame = take(); frame !== undefined; frame = take()) frames.push(frame);
    return frames.length >= count;
  }, `${count} frames, not ${frames.length}`);
  return frames;
}

/** Bytes of the stream, until there are `count`. */
async function received(peer: Socket, count: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let have = 0;
  const keep = (chunk: Buffer): void => {
    chunks.push(chunk);
    have += chunk.length;
  };
  peer.on('data', keep);
  await until(() => have >= count, `${count} bytes, not ${have}`);
  peer.off('data', keep).pause();
  return Buffer.concat(chunks);
}

const LENGTHS = [14, 60, 1514, 4014, 9014, 65_534];

for (const [name, framing] of [
  ['16 bits of length', VPNKIT_FRAMING],
  ['32 bits and a virtio-net header', VNET_FRAMING],
] as const) {
  test(`§16 row 16: frames of any length pass both ways, with ${name}`, async (t) => {
    const { peer, give, take, wire } = world(t, framing);
    const frames = LENGTHS.map(frameOf);
    const header = Buffer.from('0101420064002200100000ff', 'hex');
    const described = (frame: Buffer): Buffer => (framing.vnet > 0 ? Buffer.concat([header, frame]) : frame);
    for (const frame of frames) assert.ok(give(described(frame)));
    const expected = Buffer.concat(frames.map((frame) => framed(framing, frame, header)));
    assert.deepEqual(await received(peer, expected.length), expected);

    // The other way a header must make sense: it comes from another machine.
    const plain = frames.map((frame) => framed(framing, frame));
    for (const byte of Buffer.concat(plain.slice(0, 2))) {
      peer.write(Buffer.of(byte));
      await turn();
    }
    peer.write(Buffer.concat(plain.slice(2)));
    assert.deepEqual(
      await taken(take, frames.length),
      frames.map((frame) => (framing.vnet > 0 ? Buffer.concat([VNET, frame]) : frame)),
    );
    assert.deepEqual(wire.counters, { framesToStream: frames.length, framesToTap: frames.length, dropped: 0 });
  });
}

test('a segment of 64 KiB passes with its header, and what no link can carry is left out and counted', async (t) => {
  const offload = world(t, VNET_FRAMING);
  const largest = Buffer.concat([VNET, frameOf(65_549)]);
  await until(() => offload.give(largest), 'room');
  await until(() => offload.give(Buffer.concat([VNET, frameOf(65_550)])), 'room');
  await until(() => offload.give(Buffer.concat([VNET, frameOf(70_000)])), 'room');
  await until(() => offload.give(Buffer.concat([VNET, frameOf(13)])), 'room');
  await until(() => offload.give(Buffer.concat([VNET, frameOf(60)])), 'room');
  const expected = Buffer.concat([framed(VNET_FRAMING, frameOf(65_549)), framed(VNET_FRAMING, frameOf(60))]);
  assert.deepEqual(await received(offload.peer, expected.length), expected);
  assert.equal(offload.wire.counters.dropped, 3);

  const plain = world(t, VPNKIT_FRAMING);
  await until(() => plain.give(frameOf(65_536)), 'room');
  await until(() => plain.give(frameOf(65_535)), 'room');
  assert.deepEqual(await received(plain.peer, 65_537), framed(VPNKIT_FRAMING, frameOf(65_535)));
  assert.equal(plain.wire.counters.dropped, 1);
});

test('frames too short for Ethernet are dropped, an empty one too, and the stream goes on', async (t) => {
  const { peer, take, wire, ended } = world(t, VPNKIT_FRAMING);
  peer.write(Buffer.concat([Buffer.from([0, 0]), framed(VPNKIT_FRAMING, frameOf(13)), framed(VPNKIT_FRAMING, frameOf(14))]));
  assert.deepEqual(await taken(take, 1), [frameOf(14)]);
  assert.deepEqual([wire.counters.dropped, ended], [2, []]);
});

test('while the stream is not read the device is not either; then everything comes, in order', async (t) => {
  const { peer, give, wire } = world(t, VPNKIT_FRAMING);
  const count = 20_000;
  let given = 0;
  const filling = frameOf(1500);
  const numbered = (i: number): Buffer => Buffer.concat([filling, Buffer.from([i >>> 8, i])]);
  /** Until all is given (true), or the device has taken nothing for a while. */
  const fill = async (): Promise<boolean> => {
    for (let idle = 0; idle < 50 && given < count;) {
      if (give(numbered(given))) {
        given++;
        idle = 0;
      } else {
        idle++;
        await turn();
      }
    }
    return given === count;
  };
  assert.equal(await fill(), false, 'the device is full');
  const held = wire.counters.framesToStream;
  assert.equal(await fill(), false);
  assert.equal(wire.counters.framesToStream, held);
  const all = received(peer, count * 1504);
  for (let rounds = 0, done = false; !done; rounds++) {
    assert.ok(rounds < 10_000, `${given} of ${count} frames`);
    done = await fill();
  }
  const bytes = await all;
  assert.equal(bytes.length, count * 1504);
  for (let i = 0; i < count; i++) assert.equal(bytes.readUInt16BE(i * 1504 + 1502), i);
});

test('frames that are intercepted do not reach the device; those of our own go into the stream', async (t) => {
  const { peer, take, wire } = world(t, VNET_FRAMING, (frame) => frame.length === 60);
  peer.write(Buffer.concat([60, 61, 60, 62].map((length) => framed(VNET_FRAMING, frameOf(length)))));
  assert.deepEqual(
    await taken(take, 2),
    [61, 62].map((length) => Buffer.concat([VNET, frameOf(length)])),
  );
  assert.ok(wire.send(frameOf(99)));
  assert.deepEqual(await received(peer, 115), framed(VNET_FRAMING, frameOf(99)));
});

test('§15.1: the end of either side ends the wire once, with the reason', async (t) => {
  const streamGone = world(t, VPNKIT_FRAMING);
  streamGone.peer.destroy();
  await until(() => streamGone.ended.length > 0, 'the end');
  streamGone.wire.close('again');
  assert.deepEqual(streamGone.ended, ['cannot read size from socket: EOF']);

  const tapGone = world(t, VPNKIT_FRAMING);
  tapGone.unplug();
  await until(() => tapGone.ended.length > 0, 'the end');
  assert.match(tapGone.ended.join(), /^cannot read packet from tap: \w/);
  tapGone.peer.resume();
  await until(() => tapGone.peer.destroyed, 'the stream to close');

  const closed = world(t, VPNKIT_FRAMING);
  closed.wire.close('enough');
  assert.deepEqual(closed.ended, ['enough']);
});

test('a thousand wires that come and go leave no descriptor, no memory and no phase behind', async (t) => {
  const arena = new Arena(8 << 20);
  const loop = new TurnLoop(arena);
  t.after(() => loop.close());
  const join = (): void => {
    const [tap, kernel] = socketpair(SEQPACKET);
    const [stream, far] = socketpair();
    let ended = '';
    const events = { ended: (reason: string) => void (ended = reason), intercept: () => false };
    const wire = new TapWire(tap, stream, VNET_FRAMING, loop, arena, events);
    assert.ok(wire.send(frameOf(60)));
    wire.close('done');
    assert.equal(ended, 'done');
    for (const fd of [tap, kernel, far]) assert.equal(close(fd), 0);
    // The wire has closed it.
    assert.ok(close(stream) < 0);
  };
  join();
  const open = readdirSync('/proc/self/fd').length;
  for (let i = 0; i < 1000; i++) join();
  await turn();
  assert.equal(readdirSync('/proc/self/fd').length, open);

  // Where there is no room, nothing is kept either.
  const region = arena.allocate(4 << 20);
  const [stream, far] = socketpair();
  const events = { ended: () => assert.fail(), intercept: () => false };
  const rest: number[] = [];
  for (let at = arena.allocate(1 << 20); at >= 0; at = arena.allocate(1 << 20)) rest.push(at);
  assert.throws(() => new TapWire(far, stream, VNET_FRAMING, loop, arena, events), RangeError);
  assert.ok(close(stream) < 0, 'the stream is taken over all the same');
  arena.free(region, 4 << 20);
  for (const at of rest) arena.free(at, 1 << 20);
  close(far);
  join();
});
