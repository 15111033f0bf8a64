/** What programs do in a network whose guests have IPv6: the same as over IPv4, by the same calls. */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { ConfigError, type NewFlow, VirtualNetwork } from '../../src/index.ts';
import { attachGuest, type Datagram, type SoftGuest } from '../../src/testing/index.ts';
import { text } from './streams.ts';

const MAC = '5a:94:ef:e4:0c:ee';
const PREFIX = 'fd12:3456:789a:1';
const GATEWAY = `${PREFIX}::1`;
const HOST = `${PREFIX}::254`;
/** What a guest makes of its MAC address. */
const GUEST = `${PREFIX}:5894:efff:fee4:cee`;
/** RFC 3849: nobody has it. */
const NOBODY = '2001:db8::7';

let server: Server;
let port: number;
let network: VirtualNetwork;
let guest: SoftGuest;

before(async () => {
  server = createServer({ allowHalfOpen: true }, (socket) => socket.end(`to ${socket.localAddress}`)).listen(0, '::1');
  await once(server, 'listening');
  ({ port } = server.address() as AddressInfo);
});

after(() => server.close());

beforeEach(async () => {
  const dns = [{ name: 'test.', records: ['one', 'two'].map((name) => ({ name, ip: NOBODY })) }];
  network = await VirtualNetwork.create({ ipv4: false, subnet6: `${PREFIX}::/64`, dns });
  ({ guest } = attachGuest(network, MAC));
  await guest.slaac();
});

afterEach(async () => {
  assert.deepEqual(guest.errors, []);
  await network.close();
});

/** What the guest hears at an address. */
async function ask(host: string, to: number): Promise<string> {
  const socket = await guest.connect(host, to);
  socket.end();
  return text(socket);
}

function datagram(to: number): Promise<Datagram> {
  return new Promise((resolve) => guest.onDatagram(to, resolve));
}

test('a guest in TypeScript configures IPv6 as the router says, and talks to the host', async () => {
  const configuration = await guest.slaac();
  assert.deepEqual(configuration, { address: GUEST, router: 'fe80::5894:efff:fee4:cdd', mtu: 1500, nameservers: [GATEWAY] });
  assert.deepEqual([guest.address6, guest.nameserver], [GUEST, GATEWAY]);
  assert.equal(await ask(HOST, port), 'to ::1');
  for (const address of [GATEWAY, HOST]) assert.ok((await guest.ping(address)) >= 0);
  assert.deepEqual([await guest.resolve6('one.test'), await guest.resolve('one.test')], [[NOBODY], []]);
});

test('a guest in TypeScript has both versions', async () => {
  await using both = await VirtualNetwork.create({ ipv6: true });
  const { guest: dual } = attachGuest(both, MAC);
  assert.equal((await dual.dhcp()).address, '192.168.127.2');
  assert.equal((await dual.slaac()).address, dual.address6);
  for (const address of ['192.168.127.254', both.addresses.hostIP6!]) assert.ok((await dual.ping(address)) >= 0);
  assert.deepEqual(await dual.resolve6('host.containers.internal'), [both.addresses.hostIP6]);
  assert.deepEqual(await dual.resolve('host.containers.internal'), ['192.168.127.254']);
});

test('a program connects to a guest, and moves megabytes both ways', async () => {
  guest.listen(80, (socket) => void socket.pipe(socket));
  const stream = await network.dial(GUEST, 80);
  const sent = Buffer.alloc(5_000_000, 'IPv6 ');
  stream.end(sent);
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  assert.ok(Buffer.concat(chunks).equals(sent));
  await assert.rejects(network.dial(GUEST, 81), { code: 'ECONNREFUSED' });
  await assert.rejects(network.dial(`${PREFIX}::9`, 80, { timeout: 20 }), { code: 'ETIMEDOUT' });
  await assert.rejects(network.dial(GATEWAY, 80), ConfigError);
  await assert.rejects(network.dial(NOBODY, 80), ConfigError);
  await assert.rejects(network.dial('192.168.127.2', 80), ConfigError);
});

test('an http.Server serves guests on the gateway, and on an address that nobody has', async () => {
  const http = createHttpServer((request, response) => {
    const { remoteAddress, localAddress, localPort } = request.socket;
    response.end(`${remoteAddress} to ${localAddress} ${localPort}`);
  });
  using own = network.serve(http, { port: 8080 });
  using other = network.serve(http, { port: 80, host: NOBODY });
  assert.deepEqual([own.address, other.address], [GATEWAY, NOBODY]);
  for (const [host, at] of [
    [GATEWAY, 8080],
    [NOBODY, 80],
  ] as const) {
    const socket = await guest.connect(host, at);
    socket.end(Buffer.from('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'));
    assert.ok((await text(socket)).endsWith(`\r\n\r\n${GUEST} to ${host} ${at}`));
  }
  assert.throws(() => network.listen({ port: 8080, host: GATEWAY }), { code: 'port-taken' });
  for (const host of ['192.168.127.1', `${PREFIX}::9`, 'fe80::1', 'ff02::1'])
    assert.throws(() => network.listen({ port: 8081, host }), ConfigError, host);
});

test('where guests have both versions a server on the gateway serves both', async () => {
  await using both = await VirtualNetwork.create({ subnet6: `${PREFIX}::/64` });
  const { guest: dual } = attachGuest(both, MAC);
  await Promise.all([dual.dhcp(), dual.slaac()]);
  const seen: string[] = [];
  const own = both.listen(7, (connection) => {
    seen.push(`${connection.remoteAddress} ${connection.localAddress}`);
    connection.end();
  });
  assert.equal(own.address, '192.168.127.1');
  for (const host of ['192.168.127.1', GATEWAY]) {
    const socket = await dual.connect(host, 7);
    socket.end();
    await text(socket);
  }
  assert.deepEqual(seen, ['192.168.127.2 192.168.127.1', `${GUEST} ${GATEWAY}`]);
});

test('a UDP port hears guests, and answers them', async () => {
  const socket = network.udp({ port: 5000 });
  assert.equal(socket.address, GATEWAY);
  const heard = once(socket, 'message') as Promise<[Buffer, { address: string; port: number }]>;
  guest.sendDatagram(4000, GATEWAY, 5000, Buffer.from('to the program'));
  const [payload, from] = await heard;
  assert.deepEqual([String(payload), from.address, from.port], ['to the program', GUEST, 4000]);
  const answer = datagram(4000);
  assert.equal(await socket.send(Buffer.from('to the guest'), 4000, GUEST), true);
  const { from: source, port: fromPort, payload: back } = await answer;
  assert.deepEqual([source, fromPort, String(back)], [GATEWAY, 5000, 'to the guest']);
});

test('a hook sees where a guest wants to go, by which name, and allows or refuses it', async () => {
  const seen: NewFlow[] = [];
  network.onFlow((flow) => {
    seen.push(flow);
    return flow.names.includes('two.test') ? 'deny' : 'allow';
  });
  assert.equal(await ask(HOST, port), 'to ::1');
  const { guestPort } = seen[0]!;
  const vm = network.ports[0]!;
  assert.deepEqual(seen, [{ protocol: 'tcp', guest: GUEST, guestPort, mac: MAC, vm, remote: HOST, remotePort: port, names: [] }]);
  for (const name of ['one.test', 'two.test']) assert.deepEqual(await guest.resolve6(name), [NOBODY]);
  await assert.rejects(guest.connect(NOBODY, 80), { code: 'ECONNREFUSED' });
  assert.deepEqual(seen[1]!.names, ['two.test', 'one.test']);
});

test('a hook leads conversations to addresses of the host in either version, or takes them', async (t) => {
  const ipv4 = createServer((socket) => socket.end(`to ${socket.localAddress}`)).listen(0, '127.0.0.1');
  t.after(() => void ipv4.close());
  const udp = createSocket('udp6').bind(0, '::1');
  t.after(() => void udp.close());
  await Promise.all([once(ipv4, 'listening'), once(udp, 'listening')]);
  udp.on('message', (message, { port: to, address }) => udp.send(`host: ${String(message)}`, to, address));
  network.onFlow(({ protocol, remotePort }) => {
    if (remotePort === 1) return { redirect: { host: '::1', port: protocol === 'udp' ? udp.address().port : port } };
    if (remotePort === 2) return { redirect: { host: '127.0.0.1', port: (ipv4.address() as AddressInfo).port } };
    if (remotePort === 3) return { connection: (connection) => connection.end(`instead of ${connection.localAddress}`) };
    return { datagrams: (conversation) => conversation.on('message', (payload) => conversation.send(payload)) };
  });
  assert.equal(await ask(NOBODY, 1), 'to ::1');
  assert.equal(await ask(NOBODY, 2), 'to 127.0.0.1');
  assert.equal(await ask(NOBODY, 3), `instead of ${NOBODY}`);
  for (const [to, answer] of [
    [1, 'host: anybody?'],
    [4, 'anybody?'],
  ] as const) {
    const heard = datagram(4000 + to);
    guest.sendDatagram(4000 + to, NOBODY, to, Buffer.from('anybody?'));
    const { from, port: fromPort, payload } = await heard;
    assert.deepEqual([from, fromPort, String(payload)], [NOBODY, to, answer]);
  }
});

test('a forward leads to a guest, from either version', async () => {
  guest.listen(22, (socket) => socket.end(Buffer.from('the guest')));
  for (const local of ['127.0.0.1:0', '[::1]:0']) {
    using forward = network.forward(local, `[${GUEST}]:22`);
    const socket = connect(forward.port, local.startsWith('[') ? '::1' : '127.0.0.1').end();
    assert.equal(await text(socket), 'the guest', local);
  }
});
