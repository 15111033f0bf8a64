import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { descriptorLimit } from '../../src/host/descriptors.ts';
import { VirtualNetwork } from '../../src/network.ts';
import type { StreamEndpoint } from '../../src/host/endpoint.ts';
import { KernelNetwork } from '../../src/host/kernel-network.ts';
import { IpAddress } from '../../src/packet/address.ts';
import { Arena } from '../../src/runtime/arena.ts';
import { TurnLoop } from '../../src/runtime/turn-loop.ts';

const LOOPBACK = IpAddress.parse('127.0.0.1')!;
const arena = new Arena(8 << 20);

/** Of the kernel's table, not of what is open. */
function room(): number {
  return Number(/^FDSize:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);
}

function sockets(): number {
  return readdirSync('/proc/self/fd').length;
}

/** The folder itself is one while it is read; pipes and the like of Node stay what they are. */
async function settled(expected: number): Promise<void> {
  for (let i = 0; i < 1000 && sockets() !== expected; i++) await pause(1);
  assert.equal(sockets(), expected);
}

test('the kernel makes room for the descriptors of all flows before there are any, and none stays open for it', async () => {
  const before = sockets();
  const wanted = Math.min(16_384, descriptorLimit());
  await (await VirtualNetwork.create()).close();
  assert.ok(room() >= wanted, `room for ${room()} of ${wanted}`);
  await settled(before);
});

test('a connection takes the socket that was opened beforehand; the next is ready, and goes when the network does', async () => {
  const server = createServer((peer: Socket) => peer.on('error', () => {})).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const before = sockets();
  const loop = new TurnLoop(arena);
  const host = new KernelNetwork(loop, arena);
  const withLoop = sockets();
  const open = (): StreamEndpoint => {
    const stream = host.connectStream(LOOPBACK, port, { onReady: () => {} });
    assert.ok(typeof stream === 'object');
    return stream;
  };
  try {
    const first = open();
    assert.equal(sockets(), withLoop + 2);
    const second = open();
    assert.equal(sockets(), withLoop + 3);
    for (const stream of [first, second]) stream.reset();
    assert.ok(sockets() >= withLoop + 1);
  } finally {
    host.close();
    loop.close();
    server.close();
  }
  await settled(before - 1);
});

test('an end and a close of one round reach the peer in their order, though bytes are left unread', async () => {
  const server = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const loop = new TurnLoop(arena);
  const host = new KernelNetwork(loop, arena);
  try {
    for (const ending of ['close', 'reset'] as const) {
      const stream = host.connectStream(LOOPBACK, (server.address() as AddressInfo).port, { onReady: () => {} });
      assert.ok(typeof stream === 'object');
      const [peer] = (await once(server, 'connection')) as [Socket];
      const heard: string[] = [];
      peer.on('end', () => heard.push('end')).on('error', (error: NodeJS.ErrnoException) => heard.push(error.code!));
      peer.resume();
      peer.write('nobody reads this');
      await pause(5);
      const remove = loop.phase(() => {
        remove();
        stream.shutdownWrite();
        stream[ending]();
        return false;
      });
      loop.wake();
      for (let i = 0; i < 1000 && heard.length === 0; i++) await pause(1);
      assert.equal(heard[0], 'end', ending);
      peer.destroy();
    }
  } finally {
    host.close();
    loop.close();
    server.close();
  }
});

test('a round that opens and ends many streams has few descriptors at once', async () => {
  const server = createServer((peer: Socket) => peer.on('error', () => {})).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const loop = new TurnLoop(arena);
  const host = new KernelNetwork(loop, arena);
  try {
    const counts: number[] = [];
    const before = sockets();
    const remove = loop.phase(() => {
      remove();
      for (let i = 0; i < 100; i++) {
        const stream = host.connectStream(LOOPBACK, (server.address() as AddressInfo).port, { onReady: () => {} });
        assert.ok(typeof stream === 'object');
        stream.reset();
        counts.push(sockets() - before);
      }
      return false;
    });
    loop.wake();
    for (let i = 0; i < 1000 && counts.length === 0; i++) await pause(1);
    const most = Math.max(...counts);
    assert.ok(most > 0 && most < 20, `${most} descriptors`);
  } finally {
    host.close();
    loop.close();
    server.close();
  }
});
