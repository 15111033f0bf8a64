import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { setImmediate as nodeTurn } from 'node:timers/promises';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { type DatagramEndpoint, type HostNetwork, Spans } from '../../../src/host/endpoint.ts';
import { KernelNetwork } from '../../../src/host/kernel-network.ts';
import { IpAddress } from '../../../src/packet/address.ts';
import { Arena } from '../../../src/runtime/arena.ts';
import { TurnLoop } from '../../../src/runtime/turn-loop.ts';
import { Bench } from './bench.ts';

const LOOPBACK = IpAddress.parse('127.0.0.1')!;
const HOST = '192.168.127.254';

function descriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Bytes that are still referred to. */
function heapInUse(): number {
  collect();
  return process.memoryUsage().heapUsed;
}

async function bound(port = 0): Promise<Socket> {
  const socket = createSocket('udp4').bind(port, '127.0.0.1');
  await once(socket, 'listening');
  return socket;
}

/** A bench whose engine talks to the real host. */
function realBench(maxFlows: number, wrap = (host: HostNetwork): HostNetwork => host): { bench: Bench; loop: TurnLoop } {
  let loop: TurnLoop | undefined;
  const bench = new Bench(maxFlows, {
    host: (arena) => {
      loop = new TurnLoop(arena);
      return wrap(new KernelNetwork(loop, arena));
    },
  });
  return { bench, loop: loop! };
}

test('two hundred thousand one-shot conversations leave no descriptor and no memory behind', { timeout: 120_000 }, async () => {
  const server = await bound();
  const { port } = server.address();
  const before = descriptors();
  const { bench, loop } = realBench(256);
  try {
    const idle = descriptors();
    let [most, early] = [0, 0];
    for (let i = 0; i < 200_000; i++) {
      bench.input(HOST, port, 'x', { from: 1024 + (i % 60_000) });
      if (i % 100 !== 99) continue;
      bench.round();
      bench.timers.advance(i / 100);
      if (i % 10_000 !== 9999) continue;
      // Node's own turn, so that events of sockets long closed would come now.
      await nodeTurn();
      most = Math.max(most, descriptors());
      if (i === 49_999) early = heapInUse();
    }
    const { opened, evicted, dropFlood, hostExhausted } = bench.engine.counters;
    assert.deepEqual([opened, dropFlood, hostExhausted], [200_000, 0, 0]);
    assert.ok(evicted > 190_000);
    assert.ok(most <= idle + 256 + 8, `${most} descriptors, ${idle} before the first conversation`);
    // Each that stayed behind would have some hundred bytes.
    const growth = heapInUse() - early;
    assert.ok(growth < 4 << 20, `${(growth / 2 ** 20).toFixed(1)} MiB more than after 50,000 conversations`);
    bench.timers.advance(1_000_000);
    bench.timers.advance(1_010_000);
    assert.equal(bench.engine.size, 0);
    assert.equal(descriptors(), idle);
  } finally {
    bench.engine.close();
    loop.close();
    server.close();
  }
  await nodeTurn();
  assert.ok(descriptors() <= before, `${descriptors()} descriptors, ${before} before`);
});

test("a guest's port is kept on the host: for whoever has it first, and for the next once he is done", async () => {
  const peers = new Map<string, number>();
  const server = await bound();
  server.on('message', (message, peer) => peers.set(message.toString(), peer.port));
  const probe = await bound();
  const { port: kept } = probe.address();
  probe.close();
  await once(probe, 'close');
  const { bench, loop } = realBench(64);
  const { port } = server.address();
  const heard = async (text: string): Promise<number> => {
    while (!peers.has(text)) await once(server, 'message', { signal: AbortSignal.timeout(2000) });
    return peers.get(text)!;
  };
  try {
    bench.send(HOST, port, 'first', { from: kept });
    bench.send(HOST, port, 'again', { from: kept });
    bench.send(HOST, port, 'below', { from: 80 });
    // Another guest with the same port.
    bench.send('192.168.127.254', port, 'second', { from: kept, source: '192.168.127.3' });
    assert.deepEqual([await heard('first'), await heard('again')], [kept, kept]);
    assert.notEqual(await heard('second'), kept);
    assert.notEqual(await heard('below'), 80);
    assert.equal(bench.engine.size, 3);
    for (const now of [60_000, 70_000]) bench.timers.advance(now);
    assert.equal(bench.engine.size, 0);
    bench.send(HOST, port, 'later', { from: kept, source: '192.168.127.3' });
    assert.equal(await heard('later'), kept);
  } finally {
    bench.engine.close();
    loop.close();
    server.close();
  }
});

test('a burst costs one send call per 64 datagrams each way at most, and the largest datagrams pass', async () => {
  const server = await bound();
  server.on('message', (message, peer) => server.send(message, peer.port, peer.address));
  let [receives, sends] = [0, 0];
  const counting = (host: HostNetwork): HostNetwork => ({
    connectStream: (...args) => host.connectStream(...args),
    openPing: (...args) => host.openPing(...args),
    listenStream: (...args) => host.listenStream(...args),
    openDatagram: (...args) => {
      const endpoint = host.openDatagram(...args) as DatagramEndpoint;
      const send = endpoint.send.bind(endpoint);
      const receive = endpoint.receive.bind(endpoint);
      endpoint.send = (spans) => {
        sends++;
        return send(spans);
      };
      endpoint.receive = (...places) => {
        receives++;
        return receive(...places);
      };
      return endpoint;
    },
  });
  const { bench, loop } = realBench(64, counting);
  const { port } = server.address();
  const answers = async (count: number): Promise<void> => {
    const late = performance.now() + 5000;
    while (bench.port.frames.length + bench.large.length < count && performance.now() < late) {
      await nodeTurn();
      bench.round();
    }
    assert.equal(bench.port.frames.length + bench.large.length, count);
  };
  try {
    for (let i = 0; i < 100; i++) bench.input(HOST, port, `${i}`);
    bench.round();
    assert.equal(sends, 1);
    await answers(100);
    assert.deepEqual(
      bench.port.take().map((frame) => frame.subarray(42).toString()),
      Array.from({ length: 100 }, (_, i) => `${i}`),
    );
    assert.ok(receives <= 60, `${receives} calls for 100 answers that came one by one`);
    bench.send(HOST, port, Buffer.alloc(65_507, 7), { df: false });
    await answers(1);
    assert.equal(bench.large[0]!.length, 65_515);
    assert.ok(bench.large[0]!.data.subarray(8).every((byte) => byte === 7));
  } finally {
    bench.engine.close();
    loop.close();
    server.close();
  }
});

test('answers that wait in a socket are taken 32 at a time', async () => {
  const arena = new Arena(8 << 20);
  const loop = new TurnLoop(arena);
  const server = await bound();
  const at = arena.allocate(64 * 2048);
  const lengths = new Int32Array(64);
  const endpoint = new KernelNetwork(loop, arena).openDatagram(LOOPBACK, server.address().port, 0, { onReady: () => {} });
  assert.ok(typeof endpoint === 'object');
  const spans = new Spans();
  spans.add(at, 1);
  try {
    endpoint.send(spans);
    const [, peer] = (await once(server, 'message')) as [Buffer, { port: number }];
    for (let i = 0; i < 80; i++) await new Promise<void>((sent) => server.send(`${i}`, peer.port, '127.0.0.1', () => sent()));
    const calls: number[] = [];
    for (let got = 1; got > 0; calls.push(got)) got = endpoint.receive(at, 2000, 2048, 32, lengths);
    assert.deepEqual(calls.slice(0, 3), [32, 32, 16]);
    assert.equal(calls.length, 4);
  } finally {
    endpoint.close();
    loop.close();
    server.close();
  }
});
