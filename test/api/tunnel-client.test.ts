/** The client's end of `/tunnel` (contract §13.3). */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { openTunnel } from '../../src/api/tunnel-client.ts';
import { temporaryFolder } from '../guest/process.ts';
import { bench, collect } from './fixture.ts';

const GUEST = '192.168.127.2';

test('§13.3: a tunnel is opened over a path, a unix URL, TCP and a folder of sockets, and carries both directions', async (t) => {
  const folder = temporaryFolder();
  const urls = [`unix://${join(folder, 'api')}`, 'tcp://127.0.0.1:0', `vsock://null:1024${folder}`];
  for (const url of urls) {
    const { api, listen } = await bench(t, { url });
    listen(22, (socket) => {
      socket.write(Buffer.from('SSH-2.0-guest\r\n'));
      socket.pipe(socket);
    });
    const places = url.startsWith('vsock') ? [url] : url.startsWith('unix') ? [api.address, join(folder, 'api')] : [api.address];
    for (const place of places) {
      const tunnel = await openTunnel(place, GUEST, 22, 5000);
      tunnel.end('hello');
      assert.equal(await collect(tunnel), 'SSH-2.0-guest\r\nhello', place);
    }
  }
});

test('what is no tunnel is an error with the first line of the answer, and a guest that refuses closes at once', async (t) => {
  const { api } = await bench(t);
  await assert.rejects(openTunnel(api.address, 'nobody', 22, 5000), { message: 'handshake failed: HTTP/1.1 400 Bad Request' });
  await assert.rejects(openTunnel(api.address, GUEST, 70_000, 5000), { message: 'handshake failed: HTTP/1.1 500 Internal Server Error' });
  assert.equal(await collect(await openTunnel(api.address, GUEST, 23, 5000)), '');
});

async function answering(t: TestContext, answer: (socket: Socket) => void): Promise<string> {
  const path = join(temporaryFolder(), 'fake');
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    t.after(() => socket.destroy());
    answer(socket.on('error', () => {}));
  }).listen(path);
  t.after(() => server.close());
  await once(server, 'listening');
  return path;
}

test('OK may come in pieces, with the first bytes behind it', async (t) => {
  const path = await answering(t, (socket) => {
    socket.write('O');
    socket.once('data', () => setImmediate(() => socket.end('Kand more')));
  });
  assert.equal(await collect(await openTunnel(path, GUEST, 22, 5000)), 'and more');
});

test('a server that closes, says something else for ever, or nothing at all, is an error in time', async (t) => {
  const silent = await answering(t, () => {});
  const closing = await answering(t, (socket) => socket.end());
  const half = await answering(t, (socket) => socket.end('O'));
  const endless = await answering(t, (socket) => {
    const more = (): unknown => socket.destroyed || socket.write('x'.repeat(1000), more);
    more();
  });
  await assert.rejects(openTunnel(silent, GUEST, 22, 50), { name: 'TimeoutError' });
  await assert.rejects(openTunnel(closing, GUEST, 22, 5000), { message: 'handshake failed: the connection was closed' });
  await assert.rejects(openTunnel(half, GUEST, 22, 5000), { message: 'handshake failed: O' });
  await assert.rejects(openTunnel(endless, GUEST, 22, 5000), { message: /^handshake failed: x{200,}$/ });
});

test('a place that is none, or where nobody listens, is an error', async () => {
  await assert.rejects(openTunnel(join(temporaryFolder(), 'none'), GUEST, 22, 5000), { code: 'ENOENT' });
  await assert.rejects(openTunnel('http://x', GUEST, 22, 5000), {
    message: /^unexpected scheme "http" in http:\/\/x \(want a path, unix:/,
  });
  await assert.rejects(openTunnel('vsock://:1024', GUEST, 22, 5000), { message: /^can't connect to vsock:\/\/:1024: want a path/ });
});
