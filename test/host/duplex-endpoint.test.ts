import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import fc from 'fast-check';
import { DuplexEndpoint } from '../../src/host/duplex-endpoint.ts';
import { Spans } from '../../src/host/endpoint.ts';
import { Arena } from '../../src/runtime/arena.ts';
import { EAGAIN, ECONNRESET } from '../../src/system/errno.ts';

const LIMIT = 256 * 1024;

function make(): { arena: Arena; endpoint: DuplexEndpoint; at: number; events: number[] } {
  const arena = new Arena(8 << 20);
  const endpoint = new DuplexEndpoint(arena);
  const events: number[] = [];
  endpoint.handler = { onReady: (bits) => void events.push(bits) };
  return { arena, endpoint, at: arena.allocate(1 << 20), events };
}

function spansOf(arena: Arena, at: number, data: Buffer): Spans {
  arena.bytes.set(data, at);
  const spans = new Spans();
  spans.add(at, data.length);
  return spans;
}

test('peeks at any offset into slots without consuming, and discards what was acknowledged', () => {
  const text = Buffer.from(Array.from({ length: 5000 }, (_, i) => (i * 13) & 255));
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1 }),
      fc.array(fc.tuple(fc.nat(5000), fc.integer({ min: 1, max: 300 }), fc.nat(2000))),
      (cuts, steps) => {
        const { arena, endpoint, at } = make();
        for (let from = 0, i = 0; from < text.length; i++) {
          const end = from + cuts[i % cuts.length]!;
          endpoint.duplex.write(text.subarray(from, end));
          from = end;
        }
        let head = 0;
        for (const [skip, size, drop] of steps) {
          const got = endpoint.peek(skip, at, size, size + 50, 7);
          const expected = text.subarray(head + skip, head + skip + size * 7);
          assert.equal(got, expected.length === 0 ? -EAGAIN : expected.length);
          for (let i = 0; i * size < expected.length; i++) {
            const slot = expected.subarray(i * size, (i + 1) * size);
            assert.deepEqual(Buffer.from(arena.bytes.subarray(at + i * (size + 50), at + i * (size + 50) + slot.length)), slot);
          }
          const dropped = Math.min(drop, text.length - head);
          endpoint.discard(dropped);
          head += dropped;
        }
      },
    ),
    { numRuns: 100 },
  );
});

test('a reader that is behind holds the guest back, and WRITABLE comes when it has caught up', async () => {
  const { arena, endpoint, at, events } = make();
  let taken = 0;
  let result = 0;
  while ((result = endpoint.write(spansOf(arena, at, Buffer.alloc(100_000, 7)))) > 0) taken += result;
  assert.equal(result, -EAGAIN);
  assert.equal(taken, LIMIT);
  let read = 0;
  endpoint.duplex.on('data', (chunk: Buffer) => (read += chunk.length));
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(read, LIMIT);
  assert.ok(events.some((bits) => bits & 2));
  assert.equal(endpoint.write(spansOf(arena, at, Buffer.alloc(10))), 10);
});

test('a service that writes faster than the guest reads is held back', async () => {
  const { endpoint } = make();
  const { duplex } = endpoint;
  let accepted = 0;
  while (duplex.write(Buffer.alloc(64 * 1024))) accepted++;
  assert.ok(accepted < 16);
  endpoint.discard(64 * 1024 * 4);
  await once(duplex, 'drain');
});

test('half-closes pass both ways', async () => {
  const { arena, endpoint, at, events } = make();
  endpoint.duplex.end('bye');
  await new Promise((resolve) => setImmediate(resolve));
  assert.ok(events.some((bits) => bits & 4));
  assert.equal(endpoint.peek(0, at, 100, 100, 1), 3);
  assert.equal(endpoint.peek(3, at, 100, 100, 1), 0);
  assert.equal(endpoint.write(spansOf(arena, at, Buffer.from('still'))), 5);
  endpoint.shutdownWrite();
  const chunks: Buffer[] = [];
  for await (const chunk of endpoint.duplex) chunks.push(chunk as Buffer);
  assert.equal(Buffer.concat(chunks).toString(), 'still');
});

test('a stream that is destroyed is a reset to the guest; a reset by the guest is an error of the stream', async () => {
  const destroyed = make();
  destroyed.endpoint.duplex.destroy();
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(destroyed.endpoint.peek(0, destroyed.at, 10, 10, 1), -ECONNRESET);
  assert.equal(destroyed.endpoint.connectStatus(), -ECONNRESET);
  const reset = make();
  const failed = once(reset.endpoint.duplex, 'error');
  reset.endpoint.reset();
  const [error] = (await failed) as [NodeJS.ErrnoException];
  assert.equal(error.code, 'ECONNRESET');
});
