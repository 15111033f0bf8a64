import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { attachGuest } from '../../../src/testing/index.ts';
import { temporaryFolder } from '../../guest/process.ts';
import { codeOf, createWorld } from './world.ts';

const MAC = '5a:94:ef:e4:0c:ee';
const OTHER = '5a:94:ef:00:00:01';

test('says what it is and where everything is, and every link leads somewhere', async (t) => {
  const { ask, v1 } = await createWorld(t);
  const { body } = await ask('GET', '/v1/');
  const { name, version, links } = body as { name: string; version: string; links: Record<string, string> };
  assert.deepEqual([name, version], ['guestwire', '1.2.3']);
  assert.equal(Object.keys(links).length, 10);
  for (const link of Object.values(links)) {
    const response = await v1.fetch(new Request(`http://localhost${link}`));
    assert.equal(response.status, 200, link);
    await response.body!.cancel();
  }
});

test('leases, stations, ports and counters are those of the network', async (t) => {
  const { ask, network } = await createWorld(t);
  const { guest } = attachGuest(network, OTHER);
  const { address } = await guest.dhcp();
  assert.deepEqual((await ask('GET', '/v1/leases')).body, {
    leases: [
      { address: '192.168.127.1', mac: '5a:94:ef:e4:0c:dd' },
      { address: '192.168.127.2', mac: MAC },
      { address, mac: OTHER },
    ],
  });
  const { ports } = (await ask('GET', '/v1/ports')).body as { ports: { id: number; name: string; counters: { rxFrames: number } }[] };
  assert.equal(ports.length, 1);
  const [port] = network.ports;
  const { id, name, counters } = port!;
  const leases = [{ address, mac: OTHER }];
  assert.deepEqual(ports[0], { id, name, link: 'memory', offload: false, macs: [OTHER], leases, counters: { ...counters } });
  assert.ok(ports[0]!.counters.rxFrames > 1);
  assert.deepEqual((await ask('GET', '/v1/stations')).body, { stations: [{ mac: OTHER, port: port!.id, name: port!.name }] });
  assert.deepEqual((await ask('GET', '/v1/counters')).body, {
    bytesSent: network.bytesSent,
    bytesReceived: network.bytesReceived,
    ports: 1,
    flows: { tcp: 0, udp: 0 },
    counters: JSON.parse(JSON.stringify(network.counters)),
  });
});

test('each port has its own MAC addresses and leases, and the kind of its link', async (t) => {
  const { ask, network } = await createWorld(t);
  const path = join(temporaryFolder(), 'vm.sock');
  await network.listenQemu(`unix://${path}`);
  const socket = connect(path);
  t.after(() => socket.destroy());
  await once(network, 'connected');
  await attachGuest(network, OTHER).guest.dhcp();
  const { guest, port } = attachGuest(network, MAC);
  await guest.dhcp();
  const { ports } = (await ask('GET', '/v1/ports')).body as { ports: { link: string; macs: string[]; leases: { mac: string }[] }[] };
  assert.deepEqual(
    ports.map(({ link, macs, leases }) => [link, macs, leases.map(({ mac }) => mac)]),
    [
      ['qemu', [], []],
      ['memory', [OTHER], [OTHER]],
      ['memory', [MAC], [MAC]],
    ],
  );
  port.close();
  assert.equal(((await ask('GET', '/v1/ports')).body as { ports: unknown[] }).ports.length, 2);
});

test('wrong methods are told which there are; wrong paths that there is nothing', async (t) => {
  const { ask } = await createWorld(t);
  for (const [method, path, allow] of [
    ['POST', '/v1/leases', 'GET, HEAD, OPTIONS'],
    ['PATCH', '/v1/forwards', 'DELETE, GET, HEAD, OPTIONS, POST'],
    ['PUT', '/v1/forwards/tcp/127.0.0.1%3A1', 'DELETE, GET, HEAD, OPTIONS'],
    ['DELETE', '/v1/openapi.json', 'GET, HEAD, OPTIONS'],
    ['POST', '/v1/dns/zones/a./records/b', 'DELETE, GET, HEAD, OPTIONS, PUT'],
  ] as const) {
    const answer = await ask(method, path);
    assert.deepEqual([answer.status, codeOf(answer), answer.headers.get('allow')], [405, 'method-not-allowed', allow], path);
    const options = await ask('OPTIONS', path);
    assert.deepEqual([options.status, options.headers.get('allow')], [204, allow]);
  }
  for (const path of ['/v1/nothing', '/v1/forwards/', '/v1/forwards/tcp', '/v1/leases/x', '/', '/v1/%zz', '/v1/forwards/tcp/a/b']) {
    const answer = await ask('GET', path);
    assert.deepEqual([answer.status, codeOf(answer)], [404, 'not-found'], path);
  }
  const head = await ask('HEAD', '/v1/leases');
  assert.deepEqual([head.status, head.text, head.headers.get('content-type')], [200, '', 'application/json']);
});
