/** The API behind Node's own server, with clients that speak HTTP, or something like it. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, request as ask } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { join } from 'node:path';
import { serveApi } from '../../../src/api/serve.ts';
import { createV1 } from '../../../src/api/v1/v1.ts';
import { VirtualNetwork } from '../../../src/index.ts';
import { attachGuest } from '../../../src/testing/index.ts';
import { temporaryFolder } from '../../guest/process.ts';
import { createWorld, type World } from './world.ts';

const { Request, Response } = globalThis;

interface Served extends World {
  readonly port: number;
  /** Times that a time limit was lifted. */
  readonly lifted: () => number;
}

async function serve(t: TestContext): Promise<Served> {
  const world = await createWorld(t);
  let lifted = 0;
  const server = createServer((request, response) => world.v1.handle(request, response, () => lifted++));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { ...world, port: (server.address() as AddressInfo).port, lifted: () => lifted };
}

async function open(t: TestContext, port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  t.after(() => socket.destroy());
  await once(socket, 'connect');
  return socket;
}

/** Everything until the server closes. */
async function exchange(t: TestContext, port: number, text: string): Promise<string> {
  const socket = await open(t, port);
  socket.write(text);
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; !condition(); i++) {
    assert.ok(i < 2000, 'never');
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

test('a client makes a forward, sees it and removes it', async (t) => {
  const { port } = await serve(t);
  const url = `http://127.0.0.1:${port}/v1/forwards`;
  const body = JSON.stringify({ local: '127.0.0.1:0', remote: '192.168.127.2:22' });
  const made = await fetch(url, { method: 'POST', body, headers: { 'content-type': 'application/json' } });
  assert.equal(made.status, 201);
  const forward = { protocol: 'tcp', local: '127.0.0.1:0', remote: '192.168.127.2:22', boundPort: 40_000 };
  assert.deepEqual(await made.json(), { forwards: [forward] });
  const place = `http://127.0.0.1:${port}${made.headers.get('location')}`;
  assert.deepEqual(await (await fetch(place)).json(), forward);
  assert.equal((await fetch(place, { method: 'DELETE' })).status, 204);
  assert.equal((await fetch(place)).status, 404);
  const several = await fetch(url, { method: 'DELETE', body: '[{"local":"a:1"}]', headers: { 'content-type': 'application/json' } });
  assert.equal(((await several.json()) as { error: { code: string } }).error.code, 'no-such-forward');
});

test('Host may be empty, or any name; one that is no name is a bad request', async (t) => {
  const { port } = await serve(t);
  for (const host of ['', 'unix', 'lima', '127.0.0.1:80', '[::1]']) {
    const answer = await exchange(t, port, `GET /v1/ HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
    assert.match(answer, /^HTTP\/1\.1 200 OK\r\n[^]*"name":"guestwire"/, host);
  }
  const answer = await exchange(t, port, 'GET /v1/ HTTP/1.1\r\nHost: a b/\r\nConnection: close\r\n\r\n');
  assert.match(answer, /^HTTP\/1\.1 400 Bad Request\r\n[^]*"code":"bad-request"/);
});

test('a body that goes on and on is refused before its end, whether its length is told or not', async (t) => {
  const { port, registry } = await serve(t);
  const head = 'POST /v1/forwards HTTP/1.1\r\nHost: unix\r\nContent-Type: application/json\r\n';
  const announced = await open(t, port);
  announced.write(`${head}Content-Length: 1000000000\r\n\r\n[`);
  const [answer] = (await once(announced, 'data')) as [Buffer];
  assert.match(answer.toString(), /^HTTP\/1\.1 413 [^]*"code":"body-too-large"/);
  const chunked = await open(t, port);
  chunked.on('error', () => {});
  let heard = '';
  chunked.on('data', (chunk) => (heard += chunk.toString()));
  chunked.write(`${head}Transfer-Encoding: chunked\r\n\r\n`);
  for (let sent = 0; sent < 32 << 20; sent += 65_536) {
    chunked.write(`10000\r\n${' '.repeat(65_536)}\r\n`);
    await new Promise(setImmediate);
    if (heard !== '') break;
  }
  assert.match(heard, /^HTTP\/1\.1 413 /);
  assert.equal(registry.forwards.size, 0);
});

test('a client that goes within its body leaves nothing behind', async (t) => {
  const { port, failures, registry } = await serve(t);
  for (let i = 0; i < 20; i++) {
    const socket = await open(t, port);
    socket.end('POST /v1/forwards HTTP/1.1\r\nHost: unix\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"local":');
    socket.destroySoon();
  }
  const response = await fetch(`http://127.0.0.1:${port}/v1/`);
  assert.equal(response.status, 200);
  assert.deepEqual([failures, registry.forwards.size], [[], 0]);
});

test('an SSE client that never reads holds up nobody; when it goes the network is left alone', async (t) => {
  const { port, network, lifted } = await serve(t);
  const before = network.listenerCount('lease');
  const silent = await open(t, port);
  silent.pause();
  silent.write('GET /v1/events?kinds=lease HTTP/1.1\r\nHost: unix\r\n\r\n');
  await until(() => network.listenerCount('lease') === before + 1);
  const reading = await open(t, port);
  let heard = '';
  reading.on('data', (chunk) => (heard += chunk.toString()));
  reading.write('GET /v1/events?kinds=lease HTTP/1.1\r\nHost: unix\r\n\r\n');
  await until(() => heard.includes('retry: 2000'));
  assert.equal(lifted(), 2);
  assert.match(heard, /^HTTP\/1\.1 200 OK\r\n[^]*content-type: text\/event-stream\r\n/i);
  const long = 'm'.repeat(10_000);
  const used = process.memoryUsage().arrayBuffers;
  for (let round = 0; round < 20; round++) {
    for (let i = 0; i < 40; i++) network.emit('lease', `192.168.127.${i}`, long);
    const wanted = (round + 1) * 40;
    await until(() => heard.split('event: lease').length > wanted);
  }
  // Ten megabytes a client would be: what the silent one has not read waits in its queue and the kernel's, once.
  assert.ok(process.memoryUsage().arrayBuffers - used < 64 << 20);
  silent.destroy();
  reading.destroy();
  await until(() => network.listenerCount('lease') === before);
});

test('requests on one connection are answered in turn, errors among them', async (t) => {
  const { port } = await serve(t);
  const get = (path: string, end = ''): string => `GET ${path} HTTP/1.1\r\nHost: unix\r\n${end}\r\n`;
  const answer = await exchange(
    t,
    port,
    get('/v1/nothing') + get('/v1/leases') + get('/v1/flows?limit=x') + get('/v1/', 'Connection: close\r\n'),
  );
  assert.deepEqual(
    [...answer.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status),
    ['404', '200', '400', '200'],
  );
});

test('loading the API leaves the globals of the program alone', async (t) => {
  const { port } = await serve(t);
  const asked = ask({ port, path: '/v1/', host: '127.0.0.1' }).end();
  const [answer] = (await once(asked, 'response')) as [import('node:http').IncomingMessage];
  answer.resume();
  assert.equal(answer.headers['content-type'], 'application/json');
  assert.equal(globalThis.Request, Request);
  assert.equal(globalThis.Response, Response);
});

test("gvproxy's server passes on what is below /v1/, with its own time limits and the forwards of the network", async (t) => {
  const network = await VirtualNetwork.create();
  t.after(() => network.close());
  const { guest } = attachGuest(network, '5a:94:ef:e4:0c:ee');
  await guest.dhcp();
  guest.listen(80, (socket) => socket.on('error', () => {}).end(Buffer.from('guest here')));
  const v1 = createV1(network, network.forwards, { version: '1' });
  const path = join(temporaryFolder(), 'api.sock');
  const api = await serveApi({ url: `unix://${path}`, network, forwards: network.forwards, v1, timeout: 100 });
  t.after(() => api.close());
  const exchange = async (text: string): Promise<string> => {
    const socket = connect(path);
    socket.write(text);
    const chunks: Buffer[] = [];
    for await (const chunk of socket) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks).toString();
  };
  const post = (body: string): string =>
    `POST /v1/forwards HTTP/1.1\r\nHost: \r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  const made = await exchange(post('{"local":"127.0.0.1:0","remote":"192.168.127.2:80"}'));
  assert.match(made, /^HTTP\/1\.1 201 Created\r\n/);
  const bound = Number(/"boundPort":(\d+)/.exec(made)![1]);
  const client = await open(t, bound);
  assert.equal(String((await once(client, 'data'))[0]), 'guest here');
  const refused = await exchange(
    post(
      `[{"local":"127.0.0.1:0","remote":"192.168.127.2:81","protocol":"udp"},{"local":"127.0.0.1:${bound}","remote":"192.168.127.2:80"}]`,
    ),
  );
  assert.match(refused, /^HTTP\/1\.1 422 [^]*"code":"bind-failed","message":"listen tcp 127\.0\.0\.1:\d+: bind: address already in use"/);
  assert.equal(network.forwards.list().length, 1);
  const unix = encodeURIComponent(join(path, '../guest.sock'));
  const missing = await exchange(`DELETE /v1/forwards/unix/${unix} HTTP/1.1\r\nHost: unix\r\nConnection: close\r\n\r\n`);
  assert.match(missing, /^HTTP\/1\.1 404 [^]*there is no forward of unix on /);
  const stream = connect(path);
  t.after(() => stream.destroy());
  stream.write('GET /v1/events?kinds=lease HTTP/1.1\r\nHost: unix\r\n\r\n');
  await once(stream, 'data');
  // Longer than the server waits for anybody else.
  await new Promise((resolve) => setTimeout(resolve, 250));
  network.emit('lease', '192.168.127.9', '5a:94:ef:00:00:01');
  assert.match(String((await once(stream, 'data'))[0]), /event: lease\ndata: \{"address":"192\.168\.127\.9"/);
});
