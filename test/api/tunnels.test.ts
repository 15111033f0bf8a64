/** Many tunnels at once, and a gigabyte. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { test } from 'node:test';
import { bench } from './fixture.ts';

const TUNNELS = 200;
/** Of each. */
const MEGABYTES = 5;
const CHUNK = 65_536;

/** The bytes of one tunnel and direction: its own, and none repeats within a piece. */
function piece(seed: Buffer, number: number): Buffer {
  const bytes = Buffer.from(seed);
  bytes.writeUInt32LE(number, 0);
  return bytes;
}

async function write(stream: Duplex, seed: Buffer, count: number): Promise<void> {
  for (let i = 0; i < count; i++) if (!stream.write(piece(seed, i))) await once(stream, 'drain');
}

function expected(seed: Buffer, count: number): string {
  const hash = createHash('sha1');
  for (let i = 0; i < count; i++) hash.update(piece(seed, i));
  return hash.digest('hex');
}

test('200 tunnels at once carry their bytes there and back without a wrong one', async (t) => {
  const { guest, dial, listen, network } = await bench(t, {}, { mtu: 65_520 });
  listen(7, (socket) => socket.pipe(socket));
  // Half of the gigabyte in each direction.
  const count = Math.ceil((MEGABYTES * (1 << 20)) / CHUNK / 2);
  const started = performance.now();
  await Promise.all(
    Array.from({ length: TUNNELS }, async (_, i) => {
      const seed = randomBytes(CHUNK);
      seed.writeUInt32LE(i, 4);
      const socket = await dial();
      socket.write('POST /tunnel?ip=192.168.127.2&port=7 HTTP/1.1\r\nHost: \r\n\r\n');
      const hash = createHash('sha1');
      let ok = Buffer.alloc(0);
      socket.on('data', (chunk: Buffer) => {
        const missing = 2 - ok.length;
        if (missing > 0) ok = Buffer.concat([ok, chunk.subarray(0, missing)]);
        hash.update(chunk.subarray(Math.max(missing, 0)));
      });
      const ended = once(socket, 'end');
      await write(socket, seed, count);
      socket.end();
      await ended;
      assert.equal(ok.toString(), 'OK');
      assert.equal(hash.digest('hex'), expected(seed, count), `tunnel ${i}`);
    }),
  );
  assert.deepEqual(guest.errors, []);
  assert.equal(network.counters.tcp.openedFromHost, TUNNELS);
  t.diagnostic(`${TUNNELS} × ${MEGABYTES} MB in ${((performance.now() - started) / 1000).toFixed(1)} s`);
});
