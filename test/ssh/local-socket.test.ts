import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, renameSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { test, type TestContext } from 'node:test';
import { LocalSocket } from '../../src/ssh/local-socket.ts';
import { temporaryFolder } from './server.ts';

function opened(t: TestContext, path: string): { socket: LocalSocket; accepted: Socket[] } {
  const accepted: Socket[] = [];
  const socket = new LocalSocket(path, (connection) => accepted.push(connection));
  t.after(() => {
    socket.close();
    for (const connection of socket.connections) connection.destroy();
  });
  return { socket, accepted };
}

async function client(t: TestContext, path: string): Promise<Socket> {
  const connection = connect(path);
  t.after(() => connection.destroy());
  await once(connection, 'connect');
  connection.on('error', () => {});
  return connection;
}

async function until(condition: () => boolean): Promise<void> {
  for (let n = 0; n < 200_000 && !condition(); n++) await turn();
  assert.ok(condition());
}

test('§14.6: the socket has mode 0600 from its first moment, whatever the umask', (t) => {
  const path = join(temporaryFolder(t), 's');
  const old = process.umask(0);
  t.after(() => process.umask(old));
  opened(t, path);
  const { mode } = statSync(path);
  assert.equal(mode & 0o777, 0o600);
  assert.equal(process.umask(), 0);
});

test('§14.6: connections made before anybody accepts wait, and are served then', async (t) => {
  const path = join(temporaryFolder(t), 's');
  const { socket, accepted } = opened(t, path);
  const early = await client(t, path);
  early.write('hello');
  for (let n = 0; n < 100; n++) await turn();
  assert.equal(accepted.length, 0);
  socket.accept();
  await until(() => accepted.length === 1);
  const [data] = await once(accepted[0]!.resume(), 'data');
  assert.equal(String(data), 'hello');
});

test('of more than 1024 connections the others wait until one has ended', async (t) => {
  const path = join(temporaryFolder(t), 's');
  const { socket, accepted } = opened(t, path);
  const clients: Socket[] = [];
  for (let n = 0; n < 1030; n++) clients.push(await client(t, path));
  socket.accept();
  await until(() => accepted.length === 1024);
  for (let n = 0; n < 200; n++) await turn();
  assert.equal(accepted.length, 1024);
  for (const connection of accepted.slice(0, 6)) connection.destroy();
  await until(() => accepted.length === 1030);
  assert.equal(socket.connections.size, 1024);
});

test('§14.6: a stale socket is replaced', async (t) => {
  const path = join(temporaryFolder(t), 's');
  // What a process that was killed leaves: closing takes away the name that was bound.
  const stale = createServer().listen(`${path}.bound`);
  await once(stale, 'listening');
  renameSync(`${path}.bound`, path);
  stale.close();
  await once(stale, 'close');
  assert.ok(statSync(path).isSocket());
  const { socket, accepted } = opened(t, path);
  socket.accept();
  await client(t, path);
  await until(() => accepted.length === 1);
});

test('a socket that somebody listens on stays, and its server does not notice', async (t) => {
  const path = join(temporaryFolder(t), 's');
  let served = 0;
  const server = createServer(() => served++).listen(path);
  await once(server, 'listening');
  t.after(() => server.close());
  assert.throws(() => opened(t, path), { code: 'EADDRINUSE', message: `bind EADDRINUSE ${path}: address already in use` });
  const own = await client(t, path);
  await until(() => served === 1);
  own.destroy();
});

test('a file or folder that stands in the way stays, and is named', (t) => {
  const folder = temporaryFolder(t);
  const file = join(folder, 'precious');
  writeFileSync(file, 'data');
  const message = `bind EADDRINUSE ${file}: address already in use (what stands there is not a socket: choose another path)`;
  assert.throws(() => opened(t, file), { message });
  assert.equal(readFileSync(file, 'utf8'), 'data');
  mkdirSync(join(folder, 'folder'));
  assert.throws(() => opened(t, join(folder, 'folder')), { code: 'EADDRINUSE' });
});

test('a path in a folder that is not there, too long, or empty is refused, and nothing is left open', (t) => {
  const folder = temporaryFolder(t);
  const before = openFiles();
  assert.throws(() => opened(t, join(folder, 'none', 's')), { code: 'ENOENT', syscall: 'bind' });
  assert.throws(() => opened(t, join(folder, 's'.repeat(108))), { code: 'EINVAL', syscall: 'bind' });
  assert.throws(() => opened(t, ''), { code: 'EINVAL' });
  assert.throws(() => opened(t, `${folder}/a\0b`), { code: 'EINVAL' });
  assert.deepEqual(openFiles(), before);
});

function openFiles(): number {
  return Number(/^FDSize:\s*(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))![1]);
}

test('closing removes the file, refuses who waits, and lets open connections go on', async (t) => {
  const path = join(temporaryFolder(t), 's');
  const { socket, accepted } = opened(t, path);
  socket.accept();
  const open = await client(t, path);
  await until(() => accepted.length === 1);
  socket.close();
  socket.close();
  assert.equal(existsSync(path), false);
  accepted[0]!.write('still here');
  const [data] = await once(open, 'data');
  assert.equal(String(data), 'still here');
  await assert.rejects(client(t, path), { code: 'ENOENT' });
});

test('closing leaves a socket that somebody else has put there', async (t) => {
  const path = join(temporaryFolder(t), 's');
  const { socket } = opened(t, path);
  unlinkSync(path);
  const { socket: second, accepted } = opened(t, path);
  socket.close();
  second.accept();
  await client(t, path);
  await until(() => accepted.length === 1);
});
