/** Descriptors of stream sockets in Node's hands: here of unix sockets, which any machine has. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { createServer as createHttpServer, request } from 'node:http';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { setImmediate as turn } from 'node:timers/promises';
import { before, test, type TestContext } from 'node:test';
import { EBADF } from '../../src/system/errno.ts';
import { adoptListener, adoptSocket, descriptorOf } from '../../src/system/node-socket.ts';
import * as sys from '../../src/system/syscalls.ts';
import { listenUnix } from '../../src/system/unix-listener.ts';
import { temporaryFolder, until } from '../guest/process.ts';
import { socketpair } from './descriptors.ts';

before(() => sys.load());

function adoptedPair(): [Socket, Socket] {
  const [a, b] = socketpair();
  return [adoptSocket(a), adoptSocket(b)];
}

function descriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

/** A listener that Node has by its descriptor only, and how to reach it. */
async function adoptedServer(t: TestContext, server: Server): Promise<() => Socket> {
  const path = join(temporaryFolder(), 'adopted');
  const { fd } = listenUnix(path, 64);
  await adoptListener(fd, server);
  t.after(() => server.close());
  return () => connect({ path, allowHalfOpen: true });
}

/** Up to the end of that direction; the other goes on. */
async function heard(socket: Socket): Promise<string> {
  let words = '';
  socket.on('data', (chunk: Buffer) => (words += chunk.toString()));
  await once(socket, 'end');
  return words;
}

const CHUNK = 1 << 20;
const CHUNKS = 100;

async function digestOf(stream: Readable): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of stream) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

test('100 MB each way at once arrive as they were, and the ends leave nothing behind', async () => {
  const open = descriptors();
  const [a, b] = adoptedPair();
  const block = randomBytes(CHUNK);
  const blocks = function* (): Generator<Buffer> {
    for (let i = 0; i < CHUNKS; i++) yield ((block.writeUInt32LE(i), Buffer.from(block)));
  };
  const expected = createHash('sha256');
  for (const each of blocks()) expected.update(each);
  Readable.from(blocks()).pipe(a);
  Readable.from(blocks()).pipe(b);
  assert.deepEqual(
    await Promise.all([digestOf(a), digestOf(b)]),
    Array.from({ length: 2 }, () => expected.copy().digest('hex')),
  );
  await until(() => descriptors() === open, `the descriptors: ${descriptors()} of ${open}`);
});

test('an end that nobody reads holds its writer back, without turns of the loop', async () => {
  const [a, b] = adoptedPair();
  b.pause();
  a.write(Buffer.alloc(8 << 20));
  await turn();
  assert.equal(a.writableNeedDrain, true);
  const waiting = a.writableLength;
  const { user, system } = process.cpuUsage();
  await new Promise((resolve) => setTimeout(resolve, 100));
  const used = process.cpuUsage({ user, system });
  assert.ok((used.user + used.system) / 1000 < 50, `${used.user + used.system} µs of 100 ms`);
  assert.equal(a.writableLength, waiting);
  b.resume();
  await once(a, 'drain');
  assert.equal(a.writableLength, 0);
  a.destroy();
  b.destroy();
});

test('each direction ends on its own', async () => {
  const [a, b] = adoptedPair();
  a.end('question');
  assert.equal(await heard(b), 'question');
  b.end('answer');
  assert.equal(await heard(a), 'answer');
});

test('an end that goes in the middle of a write is EPIPE or ECONNRESET to the other, and leaves no descriptor', async () => {
  const open = descriptors();
  const [a, b] = adoptedPair();
  const failed = once(b, 'error') as Promise<[NodeJS.ErrnoException]>;
  b.write(Buffer.alloc(8 << 20));
  await turn();
  a.destroy();
  const [{ code }] = await failed;
  assert.ok(code === 'EPIPE' || code === 'ECONNRESET', code);
  await until(() => descriptors() === open, 'the descriptors');
});

test('a descriptor that is not open is refused, and takes none along', async () => {
  const open = descriptors();
  assert.throws(() => adoptSocket(1_000_000), { code: 'EBADF', errno: EBADF });
  await assert.rejects(adoptListener(1_000_000, createServer()), { code: 'EBADF' });
  await until(() => descriptors() === open, 'the descriptors');
});

test('a server accepts what comes before and after it is adopted, each with a descriptor of its own', async (t) => {
  const accepted: Socket[] = [];
  const numbers = new Set<number>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    numbers.add(descriptorOf(socket));
    if (accepted.push(socket) === 20) for (const each of accepted) each.pipe(each);
  });
  const dial = await adoptedServer(t, server);
  const sockets = Array.from({ length: 20 }, (_, i) => dial().end(`client ${i}`));
  assert.deepEqual(
    await Promise.all(sockets.map((socket) => text(socket))),
    [...sockets.keys()].map((i) => `client ${i}`),
  );
  assert.equal(numbers.size, 20);
  assert.ok(!numbers.has(-1));
});

test('a closed server accepts nobody, and a closed socket has no descriptor', async (t) => {
  const open = descriptors();
  const server = createServer();
  const dial = await adoptedServer(t, server);
  server.close();
  await until(() => descriptors() === open, 'the descriptors');
  const [error] = (await once(dial(), 'error')) as [NodeJS.ErrnoException];
  assert.equal(error.code, 'ECONNREFUSED');
  const [a, b] = adoptedPair();
  a.destroy();
  b.destroy();
  assert.equal(descriptorOf(a), -1);
});

test("Node's HTTP keeps adopted connections alive, and sends and takes chunks", async (t) => {
  const http = createHttpServer((incoming, response) => {
    response.write(`${incoming.method} ${incoming.headers['transfer-encoding'] ?? 'whole'}: `);
    incoming.pipe(response);
  });
  const server = createServer({ allowHalfOpen: true }, (socket) => http.emit('connection', socket));
  const dial = await adoptedServer(t, server);
  const socket = dial();
  t.after(() => socket.destroy());
  const ask = async (method: string, body: string[]): Promise<string> => {
    const outgoing = request({ method, createConnection: () => socket, headers: { connection: 'keep-alive' } });
    for (const part of body) outgoing.write(part);
    outgoing.end();
    const [response] = (await once(outgoing, 'response')) as [Readable];
    const answer = await text(response);
    await turn();
    return answer;
  };
  const [first, second] = [await ask('POST', ['a', 'b'.repeat(100_000)]), await ask('POST', ['c'])];
  assert.equal(first, `POST chunked: a${'b'.repeat(100_000)}`);
  assert.equal(second, 'POST chunked: c');
  assert.ok(!socket.destroyed);
});
