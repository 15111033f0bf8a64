/** How a stream begins: the bytes of the request, what the server is asked first, a program's pipes. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type IncomingMessage, createServer as createHttpServer } from 'node:http';
import { createServer, Socket, type Server } from 'node:net';
import { join } from 'node:path';
import { before, test, type TestContext } from 'node:test';
import { openStream, takesVnetHeader } from '../../src/guest/stream.ts';
import type { StreamUrl } from '../../src/guest/stream-url.ts';
import { serveApi } from '../../src/api/serve.ts';
import { VirtualNetwork } from '../../src/index.ts';
import { load } from '../../src/system/syscalls.ts';
import { temporaryFolder } from '../guest/process.ts';

const NEVER = new AbortController().signal;

before(() => load());

async function listening(t: TestContext, server: Server): Promise<StreamUrl & { kind: 'unix' }> {
  const file = join(temporaryFolder(), 'sock');
  server.listen(file);
  await once(server, 'listening');
  t.after(() => server.close());
  return { kind: 'unix', file, path: '/connect' };
}

/** What a connection of ours begins with, up to its empty line. */
async function beginning(t: TestContext, vnetHeader: boolean): Promise<string> {
  const server = createServer();
  const url = await listening(t, server);
  const connected = once(server, 'connection') as Promise<[Socket]>;
  const stream = await openStream(url, vnetHeader, NEVER);
  const [socket] = await connected;
  const [chunk] = (await once(socket, 'data')) as [Buffer];
  const ours = new Socket({ fd: stream.fd });
  t.after(() => ours.destroy());
  socket.write('frames');
  assert.equal(String((await once(ours, 'data'))[0]), 'frames');
  socket.destroy();
  return chunk.toString();
}

test("§13.4: the stream begins with the bytes of Go's client", async (t) => {
  assert.equal(
    await beginning(t, false),
    'POST /connect HTTP/1.1\r\nHost: \r\nUser-Agent: Go-http-client/1.1\r\nContent-Length: 0\r\n\r\n',
  );
  assert.match(await beginning(t, true), /^POST \/connect\?vnet_hdr=12 HTTP\/1\.1\r\n/);
});

test('a server that refuses the request is not joined: its words are no frames', async (t) => {
  const network = await VirtualNetwork.create();
  t.after(() => network.close());
  const file = join(temporaryFolder(), 'services');
  const api = await serveApi({ url: `unix://${file}`, network, forwards: network.forwards, services: true });
  t.after(() => api.close());
  await assert.rejects(openStream({ kind: 'unix', file, path: '/connect' }, false, NEVER), {
    message: 'the server answers with status 404 for /connect (VMs come in through -listen, not -services)',
  });
  const silent = await listening(
    t,
    createServer((socket) => void socket.resume()),
  );
  const controller = new AbortController();
  const waiting = openStream(silent, false, controller.signal);
  controller.abort(new Error('given up'));
  await assert.rejects(waiting, { name: 'AbortError' });
});

test('a server that is not there is named, with the reason', async () => {
  const url: StreamUrl = { kind: 'unix', file: join(temporaryFolder(), 'nobody'), path: '/connect' };
  await assert.rejects(openStream(url, false, NEVER), {
    code: 'ENOENT',
    message: /nobody: no such file or directory \(is the program that listens there running\?\)/,
  });
  assert.equal(await takesVnetHeader(url, NEVER), false);
  await assert.rejects(openStream({ ...url, file: '/x'.repeat(60) }, false, NEVER), /1 to 107 bytes/);
});

test("guestwire's server says that it takes virtio-net headers", async (t) => {
  const network = await VirtualNetwork.create();
  t.after(() => network.close());
  const file = join(temporaryFolder(), 'api.sock');
  const api = await serveApi({ url: `unix://${file}`, network, forwards: network.forwards });
  t.after(() => api.close());
  assert.equal(await takesVnetHeader({ kind: 'unix', file, path: '/connect' }, NEVER), true);
  assert.equal(network.portCount, 0);
});

test('any other answer is no: an error, nonsense, too much, another size', async (t) => {
  const asked: string[] = [];
  let [status, body] = [200, ''];
  const server = createHttpServer((request: IncomingMessage, response) => {
    asked.push(`${request.method} ${request.url}`);
    response.writeHead(status).end(body);
  });
  const url = await listening(t, server);
  const ask = (code: number, text: string, path = '/connect'): Promise<boolean> => {
    [status, body] = [code, text];
    return takesVnetHeader({ ...url, path }, NEVER);
  };
  assert.equal(await ask(200, '{"vnet_hdr":[0,12]}'), true);
  assert.equal(await ask(200, '{"vnet_hdr":[12]}', '/network/connect'), true);
  assert.equal(await ask(404, '{"vnet_hdr":[0,12]}'), false);
  for (const text of [
    '{"vnet_hdr":[0,10]}',
    '{"vnet_hdr":12}',
    '{}',
    'null',
    '404 page not found\n',
    '',
    `{"vnet_hdr":[12],"x":"${'x'.repeat(5000)}"}`,
  ]) {
    assert.equal(await ask(200, text), false, text);
  }
  assert.deepEqual([...new Set(asked)], ['GET /v1/connect', 'GET /network/v1/connect']);
  const before = asked.length;
  assert.equal(await ask(200, '{"vnet_hdr":[12]}', ''), false);
  assert.equal(await ask(200, '{"vnet_hdr":[12]}', '/frames'), false);
  assert.equal(asked.length, before, 'where there is no /connect nobody is asked');
});

test('a server that says nothing, or closes at once, is taken for one that does not', async (t) => {
  const silent = await listening(t, createServer());
  const started = performance.now();
  assert.equal(await takesVnetHeader(silent, NEVER), false);
  assert.ok(performance.now() - started < 5000);
  const closing = await listening(
    t,
    createServer((socket) => socket.destroy()),
  );
  assert.equal(await takesVnetHeader(closing, NEVER), false);
  assert.equal(await takesVnetHeader({ kind: 'stdio', program: '/bin/cat', args: [] }, NEVER), false);
});

test('§5.2: a program is spoken to through its standard input and output, and ended with the stream', async (t) => {
  const script = `process.stdin.on('data', (d) => process.stdout.write('<' + d + process.argv.slice(1) + '>'))`;
  const stream = await openStream({ kind: 'stdio', program: process.execPath, args: ['-e', script, '--', '-x=1'] }, false, NEVER);
  const ours = new Socket({ fd: stream.fd });
  t.after(() => ours.destroy());
  ours.write('frame');
  assert.equal(String((await once(ours, 'data'))[0]), '<frame-x=1>');
  stream.end();
  await once(ours.resume(), 'end');
});

test('a program that is not there is an error', async () => {
  await assert.rejects(openStream({ kind: 'stdio', program: '/nonexistent/gvproxy', args: [] }, false, NEVER), { code: 'ENOENT' });
});
