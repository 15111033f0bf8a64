import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { test } from 'node:test';
import { KernelMemory } from '../../src/host/kernel-memory.ts';
import { KernelStream } from '../../src/host/kernel-stream.ts';
import { IpAddress } from '../../src/packet/address.ts';
import { Arena } from '../../src/runtime/arena.ts';
import { TurnLoop } from '../../src/runtime/turn-loop.ts';
import { AF_INET, SOCK_CLOEXEC, SOCK_STREAM } from '../../src/system/constants.ts';
import { writeSockaddr } from '../../src/system/memory.ts';
import { connect, socket } from '../../src/system/syscalls.ts';

/** Values that the kernel can't read: every socket refuses its options, as those of IPv6 do SO_PEEK_OFF on Linux 6.9. */
class UnreadableValues extends KernelMemory {
  override int(): number {
    return 0;
  }
}

test('a socket that refuses to be peeked at from an offset is peeked at from its head', async () => {
  const text = Buffer.from(Array.from({ length: 20_000 }, (_, i) => (i * 31 + (i >> 8)) & 255));
  const server = createServer((peer) => peer.on('error', () => {}).write(text)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const arena = new Arena(8 << 20);
  const loop = new TurnLoop(arena);
  const memory = new UnreadableValues(arena, true);
  const { w0, w1, w2, w3 } = IpAddress.parse('127.0.0.1')!;
  const size = writeSockaddr(arena.bytes, memory.value, w0, w1, w2, w3, (server.address() as AddressInfo).port);
  const fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert.equal(connect(fd, memory.base + memory.value, size), 0);
  let arrived = (): void => {};
  const stream = new KernelStream(fd, false, loop, memory, { onReady: () => arrived() });
  const at = arena.allocate(32_768);
  try {
    while (stream.peek(0, at, text.length, text.length, 1) < text.length) await new Promise<void>((resolve) => (arrived = resolve));
    let head = 0;
    for (const [skip, discarded] of [
      [5000, 0],
      [100, 3000],
      [0, 10],
      [12_000, 1],
    ] as const) {
      stream.discard(discarded);
      head += discarded;
      assert.equal(stream.peek(skip, at, 1460, 1500, 2), 2920);
      for (const slot of [0, 1]) {
        const got = arena.bytes.subarray(at + slot * 1500, at + slot * 1500 + 1460);
        const from = head + skip + slot * 1460;
        assert.deepEqual(Buffer.from(got), text.subarray(from, from + 1460), `${skip} behind ${head}, slot ${slot}`);
      }
    }
  } finally {
    stream.reset();
    server.close();
    loop.close();
  }
});
