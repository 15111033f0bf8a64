import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { type EndpointHandler, Spans, type StreamEndpoint } from '../../src/host/endpoint.ts';
import { KernelNetwork } from '../../src/host/kernel-network.ts';
import { IpAddress } from '../../src/packet/address.ts';
import { Arena } from '../../src/runtime/arena.ts';
import { TurnLoop } from '../../src/runtime/turn-loop.ts';
import { temporaryFolder } from '../guest/process.ts';

const SIZE = 2_000_000;
const arena = new Arena(32 << 20);
const at = arena.allocate(4 << 20);
const loop = new TurnLoop(arena);
const host = new KernelNetwork(loop, arena);
after(() => {
  host.close();
  loop.close();
});

/** A connection on which the guest's last words wait, and the server's that nobody has read. */
async function connected(): Promise<{ server: Server; peer: Socket; stream: StreamEndpoint }> {
  const server = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  let ready = (): void => {};
  const handler: EndpointHandler = { onReady: () => ready() };
  const stream = host.connectStream(IpAddress.parse('127.0.0.1')!, (server.address() as AddressInfo).port, handler);
  assert.ok(typeof stream === 'object');
  const [peer] = (await once(server, 'connection')) as [Socket];
  peer.on('error', () => {});
  peer.write('x'.repeat(1000));
  while (stream.connectStatus() !== 0) await pause(1);
  const spans = new Spans();
  arena.bytes.fill(7, at, at + SIZE);
  for (let sent = 0; sent < SIZE;) {
    spans.count = 0;
    spans.add(at, SIZE - sent);
    const taken = stream.write(spans);
    if (taken > 0) sent += taken;
    else await new Promise<void>((resolve) => (ready = resolve));
    // The server has read nothing so far: what does not fit is taken off its hands.
    if (taken <= 0) peer.resume();
  }
  return { server, peer, stream };
}

test('a server that has more to say than anybody reads still gets what was sent to it', async () => {
  const { server, peer, stream } = await connected();
  peer.pause();
  stream.shutdownWrite();
  stream.abandon();
  peer.write('y'.repeat(1000));
  await pause(20);
  let failure: Error | undefined;
  peer.on('error', (error) => (failure = error));
  peer.resume();
  await once(peer, 'end');
  assert.equal(failure, undefined);
  assert.equal(peer.bytesRead, SIZE);
  peer.end();
  await once(peer, 'close');
  server.close();
});

test('so does the client of a unix socket', async () => {
  const path = join(temporaryFolder(), 'socket');
  const accepted: StreamEndpoint[] = [];
  const listener = host.listenUnix(path, (endpoint) => void accepted.push(endpoint));
  const peer = connect({ path, allowHalfOpen: true });
  let failure: Error | undefined;
  peer.on('error', (error) => (failure = error));
  peer.write('x'.repeat(1000));
  await once(peer, 'connect');
  while (accepted.length === 0) await pause(1);
  const stream = accepted[0]!;
  await pause(20);
  const spans = new Spans();
  spans.add(at, 100_000);
  const taken = stream.write(spans);
  assert.ok(taken > 1000, `${taken}`);
  stream.shutdownWrite();
  stream.abandon();
  peer.write('y'.repeat(1000));
  await pause(20);
  peer.resume();
  await once(peer, 'end');
  assert.equal(failure, undefined);
  assert.equal(peer.bytesRead, taken);
  peer.end();
  await once(peer, 'close');
  listener.close();
});

test('a server that goes on talking to nobody is cut off', async () => {
  const { server, peer, stream } = await connected();
  stream.shutdownWrite();
  stream.abandon();
  const talk = setInterval(() => peer.write('z'), 0);
  const [error] = (await once(peer, 'error', { signal: AbortSignal.timeout(10_000) })) as [NodeJS.ErrnoException];
  clearInterval(talk);
  peer.destroy();
  assert.match(error.code!, /^(ECONNRESET|EPIPE)$/);
  server.close();
});
