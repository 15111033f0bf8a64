/** The forwarder's endpoints on the network's own forwards (contract §13.7, §13.8, §14.1, §14.2). */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { expose } from '../../src/api/forwarder.ts';
import { serveApi, serveGuests } from '../../src/api/serve.ts';
import { temporaryFolder } from '../guest/process.ts';
import { type Answer, type Bench, bench, collect, dialUrl, FakeForwards, parseAnswer, requestText } from './fixture.ts';

type Post = (path: 'expose' | 'unexpose', body: object) => Promise<Answer>;

/** The host's API and the guest's, with the forwards of the network. */
async function world(t: TestContext): Promise<Bench & { host: Post; own: Post }> {
  const made = await bench(t);
  const { network, guest } = made;
  const { forwards } = network;
  const api = await serveApi({ url: `unix://${join(temporaryFolder(), 'api.sock')}`, network, forwards });
  const guests = serveGuests({ network, forwards })!;
  t.after(async () => {
    guests.close();
    await api.close();
  });
  const text = (path: string, body: object): string =>
    requestText('POST', `/services/forwarder/${path}`, JSON.stringify(body), { Host: '' });
  const host: Post = async (path, body) => {
    const socket = await dialUrl(api.address);
    socket.write(text(path, body));
    return parseAnswer(await collect(socket));
  };
  const own: Post = async (path, body) => {
    const socket = await guest.connect('192.168.127.1', 80);
    socket.write(Buffer.from(text(path, body)));
    return parseAnswer(await collect(socket));
  };
  return { ...made, host, own };
}

/** A port of the loopback that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

test('§17: a guest exposes its own port, the host reaches it, and no longer when it is unexposed', async (t) => {
  const { own, listen } = await world(t);
  listen(8080, (socket) => socket.end(Buffer.from('from the guest')));
  const local = `127.0.0.1:${await freePort()}`;
  const answer = await own('expose', { local, remote: ':8080', protocol: 'tcp' });
  assert.deepEqual([answer.status, answer.body], [200, '']);
  assert.equal(await collect(connect({ host: '127.0.0.1', port: Number(local.split(':')[1]) })), 'from the guest');
  assert.equal((await own('expose', { local, remote: ':8080' })).body, `proxy already running for tcp on ${local}\n`);
  assert.equal((await own('unexpose', { local, protocol: 'tcp' })).status, 200);
  await assert.rejects(dialUrl(`tcp://${local}`), { code: 'ECONNREFUSED' });
  assert.deepEqual(await own('unexpose', { local }).then(({ status, body }) => [status, body]), [500, 'proxy not found\n']);
});

test('§14.1, §14.2: what can not be forwarded is refused with the status and the text of the original', async (t) => {
  const { host } = await world(t);
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  t.after(() => taken.close());
  const { port } = taken.address() as { port: number };
  const refused = async (body: object, status: number, text: string): Promise<void> => {
    const answer = await host('expose', { local: '127.0.0.1:0', ...body });
    assert.deepEqual([answer.status, answer.body], [status, `${text}\n`]);
  };
  const remote = '192.168.127.2:80';
  await refused({ remote, local: `127.0.0.1:${port}` }, 500, `listen tcp 127.0.0.1:${port}: bind: address already in use`);
  await refused({ remote: '192.168.127.2' }, 400, 'address 192.168.127.2: missing port in address');
  await refused({ remote: ':80' }, 400, 'address @: missing port in address');
  await refused({ remote: 'localhost:80' }, 400, 'address localhost:80: "localhost" is no IPv4 address of a guest');
  await refused({ remote: '[fe80::1]:80' }, 500, 'invalid remote addr');
  await refused({ remote: '192.168.127.2:x' }, 500, 'strconv.ParseUint: parsing "x": invalid syntax');
  await refused({ remote: '192.168.127.2:65536' }, 500, 'strconv.ParseUint: parsing "65536": value out of range');
  await refused({ remote, protocol: 'sctp' }, 500, 'unknown protocol sctp');
  await refused({ remote, protocol: 'npipe' }, 500, 'named pipes are not supported by this platform');
  await refused({ remote: 'http://x', protocol: 'unix' }, 500, 'remote protocol for unix forwarder is not implemented: http');
});

test('a remote of nothing but colons holds nobody up', async () => {
  const started = performance.now();
  const remote = `${':'.repeat(100_000)}]`;
  const message = `address ${remote}: missing port in address`;
  await assert.rejects(expose(new FakeForwards(), JSON.stringify({ remote }), '192.168.127.2'), { status: 400, message });
  assert.ok(performance.now() - started < 3000);
});

test('§18.2: a unix socket of the host leads to the guest’s port, exposed from inside the guest', async (t) => {
  const { own, listen } = await world(t);
  listen(8080, (socket) => socket.end(Buffer.from('from the guest')));
  const local = join(temporaryFolder(), 'exposed.sock');
  const forward = { local, remote: 'tcp://192.168.127.2:8080', protocol: 'unix' };
  assert.deepEqual(await own('expose', forward).then(({ status, body }) => [status, body]), [200, '']);
  assert.equal(await collect(connect(local)), 'from the guest');
  assert.match((await own('expose', forward)).body, /proxy already running/);
  assert.deepEqual(await own('unexpose', forward).then(({ status, body }) => [status, body]), [200, '']);
});
