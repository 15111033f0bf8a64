/** Who may ask: pages in a browser, tokens, guests (contract §13.1, §19 #724). */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { type GuestApiOptions, type HostApiOptions, serveApi, serveGuests } from '../../src/api/serve.ts';
import { until } from '../guest/process.ts';
import { type Answer, type Bench, bench, collect, dialUrl, parseAnswer, requestText } from './fixture.ts';

const TOKEN = 'a-token-of-32-characters-or-more';
const EXPOSE = '/services/forwarder/expose';
const OWN_PORT = JSON.stringify({ local: ':9090', remote: ':8080' });

type Ask = (path: string, headers?: Record<string, string>, method?: string, body?: string) => Promise<Answer>;

async function onTcp(t: TestContext, options: Partial<HostApiOptions> = {}): Promise<{ ask: Ask; authority: string }> {
  const { network, forwards } = await bench(t);
  const api = await serveApi({ url: 'tcp://127.0.0.1:0', network, forwards, ...options });
  t.after(() => api.close());
  const ask: Ask = async (path, headers = {}, method = 'GET', body = '') => {
    const socket = await dialUrl(api.address);
    socket.write(requestText(method, path, body, { Host: '', ...headers }));
    return parseAnswer(await collect(socket));
  };
  return { ask, authority: new URL(api.address).host };
}

async function onGateway(t: TestContext, options: Partial<GuestApiOptions> = {}): Promise<{ ask: Ask; world: Bench }> {
  const world = await bench(t);
  const { network, forwards, guest } = world;
  const listener = serveGuests({ network, forwards, ...options });
  if (listener !== null) t.after(() => listener.close());
  const ask: Ask = async (path, headers = {}, method = 'GET', body = '') => {
    const socket = await guest.connect('192.168.127.1', 80);
    socket.write(Buffer.from(requestText(method, path, body, { Host: 'gateway.containers.internal', ...headers })));
    return parseAnswer(await collect(socket));
  };
  return { ask, world };
}

test('§13.1: every Host that clients of gvproxy send is let through', async (t) => {
  const { ask, authority } = await onTcp(t);
  const hosts = [
    '',
    'unix',
    'base',
    'lima',
    'localhost',
    'localhost:80',
    'LOCALHOST',
    'gateway.containers.internal',
    authority,
    '10.1.2.3',
    '10.1.2.3:80',
    '[::1]:80',
  ];
  for (const host of hosts) assert.equal((await ask('/leases', { Host: host })).status, 200, host);
});

test('pages in a browser may not use a TCP listener: by their origin, by a name that was rebound, by what the browser says', async (t) => {
  const { ask, authority } = await onTcp(t);
  const refused = async (headers: Record<string, string>, text: RegExp, path = '/leases'): Promise<void> => {
    const answer = await ask(path, headers);
    assert.equal(answer.status, 403, JSON.stringify(headers));
    assert.match(answer.body, text);
  };
  await refused({ Host: 'evil.example' }, /^Host evil\.example is no name of this listener .* requests of web pages are refused\n$/);
  await refused({ Host: 'evil.example', Origin: 'http://evil.example' }, /^Host /);
  await refused({ Host: '1.2.3.4.evil.example' }, /^Host /);
  await refused({ Host: authority, Origin: 'http://evil.example' }, /^Origin http:\/\/evil\.example is not this listener's/);
  await refused({ Host: authority, Origin: 'null' }, /^Origin null/);
  await refused({ Host: '', Origin: 'http://' }, /^Origin/);
  await refused({ Host: authority, Origin: `https://${authority}` }, /^Origin/);
  await refused({ Host: authority, 'Sec-Fetch-Site': 'cross-site' }, /^Sec-Fetch-Site is cross-site/);
  await refused({ Host: 'evil.example' }, /^Host /, '/tunnel?ip=192.168.127.2&port=22');
  await refused({ Host: authority, 'Sec-Fetch-Site': 'same-site' }, /^Sec-Fetch-Site/, '/connect');
  const own = { Host: authority, Origin: `http://${authority}`, 'Sec-Fetch-Site': 'same-origin' };
  assert.equal((await ask('/leases', own)).status, 200);
  assert.equal((await ask('/leases', { Host: authority, 'Sec-Fetch-Site': 'none' })).status, 200);
});

test('a listener may be called by the name in its URL, and over a unix socket by any', async (t) => {
  const { ask } = await onTcp(t, { url: 'tcp://localhost:0' });
  assert.equal((await ask('/leases', { Host: 'localhost:1234' })).status, 200);
  const unix = await bench(t);
  assert.equal((await unix.ask('GET', '/leases', '', { Host: 'any.example', Origin: 'http://any.example' })).status, 200);
});

test('§19 #724: the token is wanted of guests only, unless it is wanted everywhere', async (t) => {
  const host = await onTcp(t, { apiToken: TOKEN });
  assert.equal((await host.ask('/leases')).status, 200);
  const { ask: guest } = await onGateway(t, { apiToken: TOKEN });
  const { ask: everywhere } = await onTcp(t, { apiToken: TOKEN, apiTokenEverywhere: true });
  for (const [ask, path] of [
    [guest, '/services/forwarder/all'],
    [everywhere, '/leases'],
    [everywhere, '/tunnel?ip=192.168.127.2&port=22'],
    [everywhere, '/connect'],
  ] as const) {
    const without = await ask(path);
    assert.deepEqual([without.status, without.headers['www-authenticate']], [401, 'Bearer']);
    assert.equal(without.body, 'this API wants a token: Authorization: Bearer TOKEN\n');
    for (const wrong of [`Bearer ${TOKEN}x`, `Bearer ${TOKEN.slice(1)}`, 'Bearer', `Basic ${TOKEN}`]) {
      assert.equal((await ask(path, { Authorization: wrong })).status, 401, wrong);
    }
  }
  assert.equal((await guest('/services/forwarder/all', { Authorization: `Bearer ${TOKEN}` })).status, 200);
  assert.equal((await everywhere('/leases', { Authorization: `bearer  ${TOKEN}` })).status, 200);
});

test('§19 #724: a token of fewer than 32 characters is refused at the start', async (t) => {
  const { network, forwards } = await bench(t);
  const message = "the API's token has 31 characters; it must have at least 32";
  const apiToken = TOKEN.slice(1);
  await assert.rejects(serveApi({ url: 'tcp://127.0.0.1:0', network, forwards, apiToken }), { message });
  assert.throws(() => serveGuests({ network, forwards, apiToken }), { message });
});

test('§13.1: guests have the forwarder on port 80 of the gateway, and nothing else', async (t) => {
  const { ask, world } = await onGateway(t);
  assert.deepEqual((await ask('/services/forwarder/all')).body, '[]\n');
  for (const path of [
    '/connect',
    '/tunnel?ip=192.168.127.2&port=22',
    '/stats',
    '/cam',
    '/leases',
    '/services/dhcp/leases',
    '/services/dns/all',
    '/services/dns/add',
    '/debug/pprof/',
    '/v1/',
  ]) {
    assert.deepEqual(await ask(path).then(({ status, body }) => [status, body]), [404, '404 page not found\n'], path);
  }
  assert.equal(world.network.portCount, 1);
});

test('§14.1, §17: a guest exposes its own port by leaving out the host, as podman does', async (t) => {
  const { ask, world } = await onGateway(t);
  assert.equal((await ask(EXPOSE, {}, 'POST', OWN_PORT)).status, 200);
  assert.deepEqual(world.forwards.specs, [{ protocol: 'tcp', local: ':9090', remote: '192.168.127.2:8080' }]);
  assert.match((await ask(EXPOSE, {}, 'POST', OWN_PORT)).body, /^proxy already running/);
  assert.deepEqual(await ask('/services/forwarder/unexpose', {}, 'POST', OWN_PORT).then(({ status, body }) => [status, body]), [200, '']);
});

test('a guest may be let look only, or not at all', async (t) => {
  const readOnly = await onGateway(t, { guestApi: 'read-only' });
  assert.equal((await readOnly.ask('/services/forwarder/all')).status, 200);
  const answer = await readOnly.ask(EXPOSE, {}, 'POST', OWN_PORT);
  assert.deepEqual([answer.status, answer.body], [403, 'guests may look at forwards, not change them\n']);
  assert.deepEqual(readOnly.world.forwards.specs, []);
  const off = await onGateway(t, { guestApi: 'off' });
  await assert.rejects(off.ask('/services/forwarder/all'), { code: 'ECONNREFUSED' });
});

test('pages in a guest’s browser may not use the API', async (t) => {
  const { ask } = await onGateway(t);
  assert.equal((await ask(EXPOSE, { Host: '192.168.127.1', Origin: 'http://evil.example' }, 'POST', OWN_PORT)).status, 403);
  assert.equal((await ask(EXPOSE, { Host: 'evil.example', Origin: 'http://evil.example' }, 'POST', OWN_PORT)).status, 403);
  assert.equal((await ask('/services/forwarder/all', { Host: 'my-name-for-the-gateway' })).status, 200);
  assert.equal((await ask(EXPOSE, { Host: '192.168.127.1', Origin: 'http://192.168.127.1' }, 'POST', OWN_PORT)).status, 200);
});

test('a guest holds at most 64 connections, is cut off when silent, and gets back what it gives up', async (t) => {
  const { world, ask } = await onGateway(t, { timeout: 400 });
  const sockets = await Promise.all(Array.from({ length: 64 }, () => world.guest.connect('192.168.127.1', 80)));
  const closed = Promise.all(
    sockets.map((socket) => {
      socket.on('error', () => {}).resume();
      return new Promise((resolve) => void socket.once('close', resolve));
    }),
  );
  const extra = await world.guest.connect('192.168.127.1', 80);
  assert.match(await collect(extra), /503 Service Unavailable: too many connections$/);
  await closed;
  assert.equal((await ask('/services/forwarder/all')).status, 200);
  await until(() => world.network.counters.tcpNow.connected === 0, 'the connections to end');
});
