import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LARGEST_FRAME } from '../../../src/link/port.ts';
import * as vnet from '../../../src/packet/vnet-header.ts';
import { ACK, Bench, FIN, PSH } from './bench.ts';

const OFFLOAD = { offload: true, largestFrame: LARGEST_FRAME };
/** As many segments of 1460 bytes as fit an IPv4 packet. */
const FULL = 44 * 1460;

/** A bench whose guest has acknowledged so much that the next bytes may all be sent at once. */
function grown(port: { offload: boolean; largestFrame: number }): Bench {
  const bench = new Bench({ port });
  const stream = bench.connected({ scale: 7, window: 65_535 });
  stream.put('x'.repeat(1 << 20));
  bench.round();
  for (let sent = bench.drain(); sent.length > 0; sent = bench.drain()) {
    for (const { data } of sent) bench.ack = (bench.ack + data.length) | 0;
    bench.guest({ window: 65_535 });
  }
  bench.port.headers.length = 0;
  return bench;
}

function described(header: Buffer): object {
  return {
    flags: vnet.flags(header, 0),
    type: vnet.gsoType(header, 0),
    size: vnet.gsoSize(header, 0),
    start: vnet.checksumStart(header, 0),
    offset: vnet.checksumOffset(header, 0),
  };
}

test('a VM that cuts segments itself gets as many in a frame as a packet holds, with their size and half a checksum', () => {
  const bench = grown(OFFLOAD);
  const text = Buffer.alloc(150_000, 'abcdefghijk').toString();
  bench.stream.put(text);
  bench.round();
  const sent = bench.drain();
  assert.deepEqual(
    sent.map(({ data, flags }) => [data.length, flags]),
    [
      [FULL, ACK],
      [FULL, ACK],
      [150_000 - 2 * FULL, ACK | PSH],
    ],
  );
  assert.equal(Buffer.concat(sent.map(({ data }) => data)).toString(), text);
  for (const header of bench.port.headers) {
    assert.deepEqual(described(header), { flags: 1, type: vnet.GSO_TCPV4, size: 1460, start: 34, offset: 16 });
  }
});

test('a single segment is left its checksum, and nothing to cut', () => {
  const bench = new Bench({ port: OFFLOAD });
  const stream = bench.connected();
  bench.port.headers.length = 0;
  stream.put('hello');
  bench.round();
  bench.expect({ data: 'hello', flags: ACK | PSH });
  assert.deepEqual(described(bench.port.headers[0]!), { flags: 1, type: vnet.GSO_NONE, size: 0, start: 34, offset: 16 });
});

test('segments without text are complete', () => {
  const bench = new Bench({ port: OFFLOAD });
  const stream = bench.connected();
  bench.guest({ data: 'x'.repeat(2000) });
  stream.end();
  bench.round();
  assert.ok(bench.drain().some(({ flags }) => flags & FIN));
  for (const header of bench.port.headers) assert.equal(vnet.flags(header, 0), 0);
});

test('a VM that takes large frames without a header gets them complete', () => {
  const bench = grown({ offload: false, largestFrame: 30_000 });
  bench.stream.put('y'.repeat(50_000));
  bench.round();
  assert.deepEqual(
    bench.drain().map(({ data }) => data.length),
    [20 * 1460, 50_000 - 20 * 1460],
  );
});

test('a lost segment out of a large frame is sent again alone', () => {
  const bench = grown(OFFLOAD);
  bench.stream.put('z'.repeat(FULL));
  bench.round();
  const [frame] = bench.drain();
  const lost = (frame!.seq + 10 * 1460) | 0;
  bench.ack = lost;
  bench.guest({ window: 65_535, sack: [[(lost + 1460) | 0, (frame!.seq + FULL) | 0]] });
  const again = bench.drain();
  assert.deepEqual(
    again.map(({ seq, data }) => [seq, data.length]),
    [[lost, 1460]],
  );
});
