/** What a program serves inside its network: TCP ports as a server of streams, and UDP ports. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { afterEach, beforeEach, test } from 'node:test';
import { ArgumentError, type GuestConnection, VirtualNetwork } from '../../src/index.ts';
import { attachGuest, type Datagram, type SoftGuest } from '../../src/testing/index.ts';
import { text } from './streams.ts';

const MAC = '5a:94:ef:e4:0c:ee';
const GATEWAY = '192.168.127.1';

let network: VirtualNetwork;
let guest: SoftGuest;

beforeEach(async () => {
  network = await VirtualNetwork.create();
  ({ guest } = attachGuest(network, MAC));
  await guest.dhcp();
});

afterEach(() => network.close());

/** The answer to one request of a guest. */
async function get(host: string, port: number, path = '/'): Promise<string> {
  const socket = await guest.connect(host, port);
  socket.end(Buffer.from(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`));
  return text(socket);
}

test('an http.Server serves guests behind one call, keeps connections open, and knows who asks', async () => {
  const server = createServer((request, response) => {
    const { remoteAddress, localAddress, localPort } = request.socket;
    response.end(`${request.url} from ${remoteAddress} to ${localAddress}:${localPort}`);
  });
  using served = network.serve(server, { port: 80 });
  assert.deepEqual([served.address, served.port, served.listening], [GATEWAY, 80, true]);
  const answer = await get(GATEWAY, 80, '/a');
  assert.match(answer, /^HTTP\/1\.1 200 OK\r\n/);
  assert.match(answer, /\r\n\r\n\/a from 192\.168\.127\.2 to 192\.168\.127\.1:80$/);
  const socket = await guest.connect(GATEWAY, 80);
  for (const path of ['/first', '/second']) {
    socket.write(Buffer.from(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`));
    let got = '';
    while (!got.includes(`${path} from`)) got += String((await once(socket, 'data'))[0]);
  }
  socket.end();
  await text(socket);
});

test('a server tells of connections, and of its end once, whatever ends it', async () => {
  const controller = new AbortController();
  const server = network.listen({ port: 0, signal: controller.signal });
  assert.ok(server.port >= 49_152);
  assert.notEqual(network.listen({ port: 0 }).port, server.port);
  const connected = once(server, 'connection') as Promise<[GuestConnection]>;
  const socket = await guest.connect(GATEWAY, server.port);
  const [connection] = await connected;
  assert.deepEqual([connection.remoteAddress, connection.remotePort > 0, connection.vm], ['192.168.127.2', true, network.ports[0]]);
  let closed = 0;
  server.on('close', () => closed++);
  controller.abort();
  assert.deepEqual([closed, server.listening], [1, false]);
  server.close();
  assert.equal(closed, 1);
  // What is open goes on.
  socket.end(Buffer.from('bye'));
  connection.end('bye');
  assert.deepEqual([await text(connection), await text(socket)], ['bye', 'bye']);
  await assert.rejects(guest.connect(GATEWAY, server.port), { code: 'ECONNREFUSED' });
  const last = network.listen(7);
  const ended = once(last, 'close');
  await network.close();
  await ended;
});

test('a server on the address of another answers in its place, and no longer when it is closed', async () => {
  const service = (name: string) => (connection: GuestConnection) => connection.end(`${name} ${connection.localAddress}`);
  {
    using _public = network.listen({ host: '203.0.113.7', port: 80 }, service('mock'));
    using _host = network.listen({ host: '192.168.127.254', port: 80 }, service('host'));
    for (const [host, answer] of [
      ['203.0.113.7', 'mock 203.0.113.7'],
      ['192.168.127.254', 'host 192.168.127.254'],
    ] as const) {
      const socket = await guest.connect(host, 80);
      socket.end();
      assert.equal(await text(socket), answer);
    }
    assert.throws(() => network.listen({ host: '203.0.113.7', port: 80 }), { name: 'NetworkError', code: 'port-taken' });
    // Its other ports are the host's, of which this one is free.
    await assert.rejects(guest.connect('192.168.127.254', 1), { code: 'ECONNREFUSED' });
  }
  await assert.rejects(guest.connect('192.168.127.254', 80), { code: 'ECONNREFUSED' });
});

test('ports and addresses that cannot be served are refused', () => {
  for (const port of [-1, 65_536, 1.5, NaN]) assert.throws(() => network.listen(port), { code: 'invalid-config' });
  assert.throws(() => network.listen(53), { code: 'port-taken' });
  for (const host of ['192.168.127.9', '127.0.0.1', '224.0.0.1', '::1', 'name', '192.168.127.255', '']) {
    assert.throws(() => network.listen({ port: 80, host }), { code: 'invalid-config', message: /^cannot listen on / }, host);
  }
  assert.throws(() => network.listen({ port: 80, signal: AbortSignal.abort(new Error('no')) }), { message: 'no' });
  assert.throws(() => network.udp({ port: 67 }), { code: 'port-taken' });
  assert.throws(() => network.udp({ port: 70_000 }), { code: 'invalid-config' });
});

test('a UDP socket hears guests and talks to them, also first', async () => {
  using socket = network.udp({ port: 4000 });
  socket.on('message', (payload, { address, port }) => void socket.send(Buffer.from(`${payload.toString()} of ${address}`), port, address));
  const next = (port: number): Promise<Datagram> => new Promise((resolve) => guest.onDatagram(port, resolve));
  const answer = next(5000);
  guest.sendDatagram(5000, GATEWAY, 4000, Buffer.from('hello'));
  const { from, port, payload } = await answer;
  assert.deepEqual([from, port, payload.toString()], [GATEWAY, 4000, 'hello of 192.168.127.2']);
  using other = network.udp();
  const first = next(6000);
  assert.equal(await other.send(Buffer.alloc(1400, 'x'), 6000, '192.168.127.2'), true);
  assert.deepEqual([(await first).payload.length, (await first).port], [1400, other.port]);
});

test('a UDP socket says what is lost or can not be sent', async () => {
  const socket = network.udp();
  assert.throws(() => void socket.send(Buffer.alloc(65_508), 9, '192.168.127.2'), ArgumentError);
  assert.throws(() => void socket.send('text' as unknown as Buffer, 9, '192.168.127.2'), ArgumentError);
  for (const host of ['8.8.8.8', 'fd00::9', 'name', 7 as unknown as string]) {
    assert.throws(() => void socket.send(Buffer.alloc(1), 9, host), { code: 'invalid-config' }, `to ${host}`);
  }
  assert.throws(() => void socket.send(Buffer.alloc(1), 0, '192.168.127.2'), { code: 'invalid-config' });
  const waiting = socket.send(Buffer.alloc(1), 9, '192.168.127.9');
  const closed = once(socket, 'close');
  await network.close();
  assert.equal(await waiting, false);
  await closed;
});
