import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { test, type TestContext } from 'node:test';
import { attachGuest, type SoftGuest } from '../../../src/testing/index.ts';
import { until } from '../../guest/process.ts';
import { call, cells, createWorld, type World } from './world.ts';

const MAC = '5a:94:ef:e4:0c:ee';
const ESCAPE = '\u001b';

/** A world with a guest that has a connection to the host's loopback. */
async function busyWorld(t: TestContext): Promise<World & { guest: SoftGuest; port: number; reset: Promise<unknown> }> {
  const server = createServer((socket) => void socket.on('error', () => {}));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => void server.close());
  const world = await createWorld(t);
  const { guest } = attachGuest(world.network, MAC);
  await guest.dhcp();
  const { port } = server.address() as AddressInfo;
  const socket = await guest.connect('192.168.127.254', port);
  const reset = new Promise((resolve) => void socket.once('error', resolve).once('close', resolve));
  return { ...world, guest, port, reset };
}

test('ports lists the VMs: values with tabs between, a table on a terminal, JSON on request', async (t) => {
  const { guestwire, network } = await busyWorld(t);
  const [head, vm, ...more] = cells((await guestwire('ports')).stdout);
  assert.deepEqual(head, ['id', 'name', 'link', 'mac', 'address', 'rx', 'tx', 'dropped']);
  assert.deepEqual([vm!.slice(2, 5), more], [['memory', MAC, '192.168.127.2'], []]);
  assert.equal(vm![5], String(network.bytesReceived));
  const stdout = (await guestwire('ports', { terminal: true })).stdout.replaceAll(`${ESCAPE}[`, '<');
  assert.match(
    stdout,
    /^<1mID {2}NAME +LINK +MAC +ADDRESS +RX +TX +DROPPED<0m\n 0 {2}.*5a:94:ef:e4:0c:ee {2}192\.168\.127\.2 +\d+(\.\d)? k?B/,
  );
  assert.ok(!(await guestwire('ports', { terminal: true, variables: { NO_COLOR: '1' } })).stdout.includes(ESCAPE));
  const { ports } = JSON.parse((await guestwire('ports --json')).stdout) as { ports: { macs: string[] }[] };
  assert.deepEqual(ports[0]!.macs, [MAC]);
});

test('leases lists addresses in their order', async (t) => {
  const { guestwire } = await busyWorld(t);
  const { status, stdout } = await guestwire('leases');
  assert.deepEqual(
    [status, cells(stdout)],
    [
      0,
      [
        ['address', 'mac'],
        ['192.168.127.1', '5a:94:ef:e4:0c:dd'],
        ['192.168.127.2', MAC],
      ],
    ],
  );
});

test('flows lists conversations by guest and protocol, and ends the one that it is told to', async (t) => {
  const { guestwire, port, reset } = await busyWorld(t);
  const [head, flow] = cells((await guestwire('flows --protocol tcp --guest 192.168.127.2')).stdout);
  assert.deepEqual(head, ['id', 'guest', 'direction', 'remote', 'state', 'idle']);
  assert.deepEqual([flow![2], flow![3], flow![4]], ['outbound', `192.168.127.254:${port}`, 'ESTABLISHED']);
  assert.equal(cells((await guestwire('flows --guest 192.168.127.9')).stdout).length, 1);
  assert.deepEqual(await guestwire(`flows --kill ${flow![0]}`), { status: 0, stdout: '', stderr: '' });
  await reset;
  const again = await guestwire(`flows --kill ${flow![0]}`);
  assert.equal(again.status, 1);
  assert.match(again.stderr, /^guestwire flows: there is no flow "tcp-\d+" \(it may have ended by itself; guestwire flows lists them\)\n$/);
});

test('flows lists more than a page', async (t) => {
  const server = createSocket('udp4').bind(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => void server.close());
  const { guestwire, network } = await createWorld(t);
  const { guest } = attachGuest(network, MAC);
  await guest.dhcp();
  const all = 1030;
  // In parts: a guest in this process has a short queue.
  for (let sent = 0; sent < all; sent += 103) {
    for (let i = 0; i < 103; i++) guest.sendDatagram(20_000 + sent + i, '192.168.127.254', server.address().port, Buffer.from('x'));
    await until(() => network.flows.size.udp >= sent + 103, `${sent + 103} flows`);
  }
  const listed = cells((await guestwire('flows --protocol udp')).stdout).slice(1);
  assert.equal(new Set(listed.map(([id]) => id)).size, network.flows.size.udp);
});

test('counters are listed by path: those that count something, by prefix, or all', async (t) => {
  const { guestwire } = await busyWorld(t);
  const [, ...some] = cells((await guestwire('counters')).stdout);
  assert.ok(some.every(([, value]) => value !== '0'));
  assert.ok(some.some(([name]) => name === 'ports.rxFrames'));
  const [, ...tcp] = cells((await guestwire('counters tcp. --all')).stdout);
  assert.ok(tcp.length > 10 && tcp.every(([name]) => name!.startsWith('tcp.')) && tcp.some(([, value]) => value === '0'));
  const none = await guestwire('counters tpc');
  assert.deepEqual(
    [none.status, none.stderr],
    [1, 'guestwire counters: no counter begins with "tpc" (guestwire counters --all lists them)\n'],
  );
});

test('status says what there is', async (t) => {
  const { guestwire, url } = await busyWorld(t);
  const data = JSON.parse((await guestwire('status --json')).stdout) as Record<string, unknown>;
  assert.deepEqual([data['url'], data['version'], data['vms'], data['flows']], [url, '1.2.3', 1, { tcp: 1, udp: 0 }]);
  const lines = cells((await guestwire('status')).stdout);
  assert.ok(lines.some(([what, value]) => what === 'subnet' && value === '192.168.127.0/24'));
  assert.match((await guestwire('status', { terminal: true })).stdout, /\nbytes from VMs +\d+(\.\d)? k?B\n/);
});

test('a command says where it has looked when nothing is running, with status 3', async () => {
  const folder = '/tmp/guestwire-nobody-is-here';
  const { status, stderr } = await call(['status'], { variables: { XDG_RUNTIME_DIR: folder } });
  assert.equal(status, 3);
  assert.match(
    stderr,
    /^guestwire status: nothing is running at unix:\/\/\/tmp\/guestwire-nobody-is-here\/guestwire\/default\.sock \(start a network with guestwire run, or /,
  );
  const tcp = await call(['ports', '--connect', 'tcp://127.0.0.1:1']);
  assert.equal(tcp.status, 3);
  assert.match((await call(['ports', '--name', 'web'], { variables: { XDG_RUNTIME_DIR: folder } })).stderr, /guestwire\/web\.sock/);
});

test('what answers and is no guestwire is called that', async (t) => {
  const server = createServer(
    (socket) => void socket.once('data', () => socket.end('HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nnot found')),
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => void server.close());
  const url = `tcp://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const { status, stderr } = await call(['ports', '--connect', url]);
  assert.deepEqual(
    [status, stderr],
    [1, `guestwire ports: ${url} answers with status 404 and is no guestwire, or an older one: its /v1/ is needed\n`],
  );
});

test('command lines that make no sense end with status 2 and say what is wanted', async (t) => {
  const { guestwire } = await createWorld(t);
  for (const [line, text] of [
    ['ports now', 'guestwire ports: there is a word too many, "now": want none'],
    ['ports --sideways', "guestwire ports: Unknown option '--sideways'"],
    ['ports --connect http:/x', 'guestwire ports: "http:/x" is no place to connect to: want unix:///PATH or tcp://HOST:PORT'],
    ['ports --name ../x', 'guestwire ports: "../x" is no name: want letters, digits, and - _ . behind the first'],
    ['ports --name a --connect unix:///b', 'guestwire ports: --connect and --name say both which network is meant: want one of them'],
    ['forward fly', 'guestwire forward: there is no "fly": want ls, add or rm'],
    ['dns add db', 'guestwire dns: too few words: want a name and an IP address'],
    ['forward add 8080:foo:80', 'guestwire forward: "foo" is no address of a guest: want one such as 192.168.127.3'],
    [
      'forward add 8080:99999',
      'guestwire forward: "8080:99999" can\'t be read as a forward: want 8080:80, udp:5353:53, 0.0.0.0:8000-8010:9000-9010 or 8080:192.168.127.3:80',
    ],
    ['flows --protocol icmp', `guestwire flows: --protocol can't be "icmp": want tcp or udp`],
  ] as const) {
    const { status, stderr, stdout } = await guestwire(line);
    assert.deepEqual([status, stdout, stderr.split('\n')[0]], [2, '', text], line);
  }
});
