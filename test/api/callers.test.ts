/** What Lima and CRC ask of the API, in their order and words (contract §17). */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { test } from 'node:test';
import { compileRe2 } from '../../src/config/re2.ts';
import { bench, collect } from './fixture.ts';

const MAC = '5a:94:ef:e4:0c:ee';

/** A server of the host's loopback that says where it is. */
async function hostServer(): Promise<{ port: number; close: () => void }> {
  const server = createServer((socket) => socket.on('error', () => {}).end('the host')).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { port: (server.address() as { port: number }).port, close: () => void server.close() };
}

test('§17: Lima waits for its MAC among the leases, exposes SSH, adds its names, and its gateway is the host', async (t) => {
  const plan = {
    subnet: '192.168.104.0/24',
    gatewayIP: '192.168.104.2',
    deviceIP: '192.168.104.100',
    hostIP: '192.168.104.3',
    nat: { '192.168.104.2': '127.0.0.1' },
    gatewayVirtualIPs: ['192.168.104.2'],
    dns: [],
    dhcpStaticLeases: {},
  };
  const { ask, network, guest, listen } = await bench(t, {}, plan);
  const post = (path: string, body: object): ReturnType<typeof ask> => ask('POST', path, JSON.stringify(body), { Host: 'lima' });
  const leases = JSON.parse((await ask('GET', '/services/dhcp/leases', '', { Host: 'lima' })).body) as Record<string, string>;
  const [address] = Object.entries(leases).find(([, mac]) => mac === MAC)!;
  assert.equal(address, guest.address);
  assert.equal((await ask('GET', '/services/dns/all')).body, 'null\n');

  listen(22, (socket) => socket.end(Buffer.from('SSH-2.0-guest\r\n')));
  const forward = await network.forwards.expose({ protocol: 'tcp', local: '127.0.0.1:0', remote: `${address}:22` });
  assert.match(await collect(connect({ host: '127.0.0.1', port: forward.boundPort! })), /^SSH-2\.0-guest/);

  const records = [{ Name: 'host', IP: '192.168.104.2' }];
  assert.equal((await post('/services/dns/add', { Name: 'lima.internal.', Records: records })).status, 200);
  assert.equal((await post('/services/dns/add', { Name: 'internal.', Records: [{ Name: 'lima-default', IP: address }] })).status, 200);
  assert.deepEqual(await guest.resolve('host.lima.internal'), ['192.168.104.2']);
  assert.deepEqual(await guest.resolve('lima-default.internal'), [address]);

  const server = await hostServer();
  t.after(server.close);
  const socket = await guest.connect('192.168.104.2', server.port);
  assert.equal(await collect(socket), 'the host');
  // Torn down with the network.
  socket.on('error', () => {});
});

test('§17: CRC has zones with expressions and default addresses, and four forwards', async (t) => {
  const record = (regexp: string, ip: string): { name: string; pattern: ReturnType<typeof compileRe2>; ip: string } => ({
    name: '',
    pattern: compileRe2(regexp),
    ip,
  });
  const dns = [
    { name: 'apps-crc.testing.', records: [], defaultIP: '192.168.127.2' },
    {
      name: 'crc.testing.',
      records: [record('crc-(.*?)-master-0', '192.168.126.11'), { name: 'gateway', ip: '192.168.127.1' }],
      defaultIP: '192.168.127.2',
    },
  ];
  const { ask, network, guest, listen } = await bench(t, {}, { dns });
  assert.deepEqual(await guest.resolve('console.apps-crc.testing'), ['192.168.127.2']);
  assert.deepEqual(await guest.resolve('crc-l6qvn-master-0.crc.testing'), ['192.168.126.11']);
  assert.deepEqual(await guest.resolve('gateway.crc.testing'), ['192.168.127.1']);
  assert.deepEqual(await guest.resolve('api.crc.testing'), ['192.168.127.2']);
  const zones = JSON.parse((await ask('GET', '/services/dns/all')).body) as { Name: string; Records: { Regexp?: string }[] | null }[];
  assert.deepEqual(
    zones.map(({ Name, Records }) => [Name, Records?.[0]?.Regexp]),
    [
      ['apps-crc.testing.', undefined],
      ['crc.testing.', 'crc-(.*?)-master-0'],
    ],
  );
  for (const port of [22, 6443, 443, 80]) listen(port, (socket) => socket.end(Buffer.from(`port ${port}`)));
  for (const port of [22, 6443, 443, 80]) {
    const forward = network.forward('127.0.0.1:0', `192.168.127.2:${port}`);
    assert.equal(await collect(connect({ host: '127.0.0.1', port: forward.port })), `port ${port}`);
  }
});
