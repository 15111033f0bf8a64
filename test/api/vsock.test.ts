/** `-listen vsock://…`, as far as any machine has it: folders of sockets, and what else a URL may say (contract §5.1). */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { test } from 'node:test';
import { openServer } from '../../src/api/listen.ts';
import { temporaryFolder } from '../guest/process.ts';
import { bench, collect, dialUrl, parseAnswer, requestText } from './fixture.ts';

const FILE = '00000002.00000400';
const GUID = '00000400-FACB-11E6-BD58-64006A7986D3';

test("§5.1: a folder's socket of the port serves the API, for its user only, and goes with the listener", async (t) => {
  const folder = temporaryFolder();
  const { api } = await bench(t, { url: `vsock://null:1024${folder}` });
  const file = join(folder, FILE);
  assert.equal(api.address, `unix://${file}`);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  const socket = await dialUrl(api.address);
  socket.write(requestText('GET', '/services/forwarder/all', '', { Host: 'unix' }));
  assert.equal(parseAnswer(await collect(socket)).body, '[]\n');
  await api.close();
  assert.equal(existsSync(file), false);
});

test('§5.1: a socket that stands there is removed first, whoever made it; any other file stays', async () => {
  const folder = temporaryFolder();
  const file = join(folder, FILE);
  const older = createServer().listen(file);
  await once(older, 'listening');
  const before = statSync(file).ino;
  const { server } = await openServer(`vsock://null:1024${folder}`, () => {});
  assert.notEqual(statSync(file).ino, before);
  server.close();
  await once(server, 'close');
  older.close();
  writeFileSync(file, 'not a socket');
  await assert.rejects(
    openServer(`vsock://null:1024${folder}`, () => {}),
    { code: 'EADDRINUSE', address: file },
  );
  assert.equal(readFileSync(file, 'utf8'), 'not a socket');
});

test("§5.1: a service of Hyper-V's is refused where there is no Windows", async () => {
  await assert.rejects(
    openServer(`vsock://${GUID}`, () => {}),
    { code: 'EAFNOSUPPORT', address: `vsock://${GUID}`, message: /Hyper-V sockets need Windows.*want vsock:\/\/:PORT/ },
  );
});

test("§5.1: a port of this machine's is listened on and given back, or the error names the module that is missing", async () => {
  const open = openServer('vsock://:0', () => {});
  if (!existsSync('/dev/vsock')) return assert.rejects(open, { message: /modprobe vsock/ });
  const { server, address, host } = await open;
  assert.match(address, /^vsock:\/\/\d+:\d+$/);
  assert.equal(host, undefined);
  await assert.rejects(
    openServer(address, () => {}),
    { code: 'EADDRINUSE', transport: 'vsock' },
  );
  server.close();
  await once(server, 'close');
  const again = await openServer(address, () => {});
  assert.equal(again.address, address);
  again.server.close();
});

test('a URL that says nothing to listen on is refused with what can be said', async () => {
  await assert.rejects(
    openServer('http://x:1', () => {}),
    { message: /^unexpected scheme "http" in http:\/\/x:1 \(want unix:.*vsock:\/\/:PORT, fd:NUMBER or systemd:NAME\)$/ },
  );
});
