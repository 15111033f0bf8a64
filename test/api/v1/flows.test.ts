import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createSocket } from 'node:dgram';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import type { FlowSnapshot } from '../../../src/flow/snapshot.ts';
import { attachGuest } from '../../../src/testing/index.ts';
import { codeOf, createWorld, type World } from './world.ts';

const MAC = '5a:94:ef:e4:0c:ee';
/** The host's loopback as guests see it. */
const HOST = '192.168.127.254';

interface Page {
  readonly flows: FlowSnapshot[];
  readonly next: string | null;
}

async function list({ ask }: World, query = ''): Promise<Page> {
  const { status, body, text } = await ask('GET', `/v1/flows${query}`);
  assert.equal(status, 200, text);
  return body as Page;
}

/** A server of the host's loopback that keeps its connections; its port. */
async function tcpServer(t: TestContext, connections: Socket[]): Promise<number> {
  const server = createServer({ allowHalfOpen: true }, (socket) => connections.push(socket.on('error', () => {})));
  server.listen(0, '127.0.0.1');
  t.after(() => {
    for (const socket of connections) socket.destroy();
    server.close();
  });
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

async function udpServer(t: TestContext): Promise<number> {
  const socket = createSocket('udp4');
  t.after(() => socket.close());
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return socket.address().port;
}

/** Waits until `list` has so many. */
async function listed(world: World, count: number, query = ''): Promise<FlowSnapshot[]> {
  for (let tries = 0; tries < 500; tries++) {
    const { flows } = await list(world, query);
    if (flows.length === count) return flows;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error(`never ${count} flows: ${JSON.stringify(await list(world, query))}`);
}

function ids(flows: readonly FlowSnapshot[]): string[] {
  return flows.map(({ id }) => id);
}

/** Ids of all flows, from full pages. */
async function turnPages(world: World, limit: number): Promise<string[]> {
  const found: string[] = [];
  for (let cursor = ''; ;) {
    const { flows, next } = await list(world, `?limit=${limit}${cursor}`);
    found.push(...ids(flows));
    if (next === null) return found;
    assert.equal(flows.length, limit);
    cursor = `&cursor=${next}`;
  }
}

test('a connection and a conversation are listed with what is known of them', async (t) => {
  const world = await createWorld(t);
  const { guest } = attachGuest(world.network, MAC);
  await guest.dhcp();
  const tcpPort = await tcpServer(t, []);
  const udpPort = await udpServer(t);
  const socket = (await guest.connect(HOST, tcpPort)).on('error', () => {});
  const [flow] = await listed(world, 1, '?protocol=tcp&state=ESTABLISHED');
  const { id, guestPort, idle, ...rest } = flow!;
  assert.deepEqual(rest, {
    protocol: 'tcp',
    guest: '192.168.127.2',
    remote: HOST,
    remotePort: tcpPort,
    direction: 'outbound',
    port: world.network.ports[0]!.id,
    state: 'ESTABLISHED',
  });
  assert.match(id, /^tcp-\d+$/);
  assert.ok(guestPort > 0 && idle !== null && idle < 5000);
  guest.sendDatagram(5000, HOST, udpPort, Buffer.from('one'));
  guest.sendDatagram(5000, HOST, udpPort, Buffer.from('two'));
  const [talk] = await listed(world, 1, '?protocol=udp');
  assert.deepEqual(
    [talk!.guestPort, talk!.remotePort, talk!.datagramsOut, talk!.datagramsIn, talk!.state],
    [5000, udpPort, 2, 0, undefined],
  );
  assert.deepEqual({ ...((await world.ask('GET', `/v1/flows/${talk!.id}`)).body as FlowSnapshot), idle: 0 }, { ...talk, idle: 0 });
  assert.deepEqual(((await world.ask('GET', '/v1/counters')).body as { flows: unknown }).flows, { tcp: 1, udp: 1 });
  socket.end();
});

test('a connection that the host began is inbound', async (t) => {
  const world = await createWorld(t);
  const { guest } = attachGuest(world.network, MAC);
  await guest.dhcp();
  guest.listen(80, (socket) => socket.on('error', () => {}));
  const stream = await world.network.dial('192.168.127.2', 80);
  const [flow] = await listed(world, 1);
  assert.deepEqual([flow!.direction, flow!.guestPort, flow!.remote], ['inbound', 80, '192.168.127.1']);
  assert.equal((await list(world, '?direction=outbound')).flows.length, 0);
  stream.destroy();
});

test('pages go through all flows once, in order, while others come and go', async (t) => {
  const world = await createWorld(t);
  const { guest } = attachGuest(world.network, MAC);
  await guest.dhcp();
  const tcpPort = await tcpServer(t, []);
  const udpPort = await udpServer(t);
  for (let i = 0; i < 7; i++) (await guest.connect(HOST, tcpPort)).on('error', () => {});
  for (let i = 0; i < 20; i++) guest.sendDatagram(6000 + i, HOST, udpPort, Buffer.from('x'));
  const all = await listed(world, 27);
  assert.deepEqual(
    all.map(({ id }) => Number(id.slice(4))),
    [...all.slice(0, 7).map((_, i) => Number(all[0]!.id.slice(4)) + i), ...all.slice(7).map((_, i) => Number(all[7]!.id.slice(4)) + i)],
  );
  for (const limit of [1, 2, 6, 7, 8, 26, 27, 28]) assert.deepEqual(await turnPages(world, limit), ids(all), `${limit}`);
  // The table moves its last flow to where one was removed: the order must not follow it.
  const { next } = await list(world, '?limit=2');
  for (const id of ids([...all.slice(0, 3), ...all.slice(7, 12)])) assert.equal((await world.ask('DELETE', `/v1/flows/${id}`)).status, 204);
  const left = ids([...all.slice(3, 7), ...all.slice(12)]);
  assert.deepEqual(ids((await list(world, `?cursor=${next}`)).flows), left);
  for (const limit of [1, 2, 3, 5]) assert.deepEqual(await turnPages(world, limit), left, `${limit}`);
});

test('filters leave what fits, all of them together', async (t) => {
  const world = await createWorld(t);
  const { guest } = attachGuest(world.network, MAC);
  const second = attachGuest(world.network, '5a:94:ef:00:00:01');
  await guest.dhcp();
  const { address } = await second.guest.dhcp();
  const udpPort = await udpServer(t);
  const otherPort = await udpServer(t);
  guest.sendDatagram(7000, HOST, udpPort, Buffer.from('x'));
  guest.sendDatagram(7001, HOST, otherPort, Buffer.from('x'));
  second.guest.sendDatagram(7000, HOST, otherPort, Buffer.from('x'));
  await listed(world, 3);
  const count = async (query: string): Promise<number> => (await list(world, query)).flows.length;
  assert.equal(await count('?guest=192.168.127.2'), 2);
  assert.equal(await count(`?guest=${address}&remotePort=${otherPort}`), 1);
  assert.equal(await count(`?guest=${address}&remotePort=${udpPort}`), 0);
  assert.equal(await count('?guestPort=7000'), 2);
  assert.equal(await count(`?remote=${HOST}`), 3);
  assert.equal(await count('?remote=127.0.0.1'), 0);
  assert.equal(await count(`?port=${world.network.ports[1]!.id}`), 1);
  assert.equal(await count('?state=ESTABLISHED'), 0);
  assert.equal(await count('?protocol=tcp'), 0);
  for (const query of [
    'guest=x',
    'guestPort=0',
    'limit=0',
    'limit=1001',
    'limit=',
    'limit=1e1',
    'limit=-1',
    'protocol=icmp',
    'state=open',
    'color=red',
  ]) {
    const answer = await world.ask('GET', `/v1/flows?${query}`);
    assert.deepEqual([answer.status, codeOf(answer)], [400, 'invalid-request'], query);
  }
  for (const cursor of ['x', 'tcp-0', 'tcp--1', 'udp-1.5', `tcp-${'9'.repeat(20)}`]) {
    assert.equal(codeOf(await world.ask('GET', `/v1/flows?cursor=${cursor}`)), 'invalid-request', cursor);
  }
});

test('a connection is ended on both sides, a conversation forgotten', async (t) => {
  const world = await createWorld(t);
  const { guest } = attachGuest(world.network, MAC);
  await guest.dhcp();
  const connections: Socket[] = [];
  const tcpPort = await tcpServer(t, connections);
  const socket = (await guest.connect(HOST, tcpPort)).on('error', () => {});
  const [flow] = await listed(world, 1);
  while (connections.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  connections[0]!.resume();
  const guestHeard = new Promise((resolve) => socket.once('error', resolve));
  const hostHeard = new Promise((resolve) => connections[0]!.once('error', resolve));
  assert.equal((await world.ask('DELETE', `/v1/flows/${flow!.id}`)).status, 204);
  assert.match(String(await guestHeard), /ECONNRESET/);
  assert.match(String(await hostHeard), /ECONNRESET/);
  assert.equal(codeOf(await world.ask('DELETE', `/v1/flows/${flow!.id}`)), 'no-such-flow');
  assert.equal(codeOf(await world.ask('GET', `/v1/flows/${flow!.id}`)), 'no-such-flow');
  assert.equal(codeOf(await world.ask('DELETE', '/v1/flows/icmp-1')), 'no-such-flow');
  const udpPort = await udpServer(t);
  guest.sendDatagram(5000, HOST, udpPort, Buffer.from('one'));
  const [talk] = await listed(world, 1);
  assert.equal((await world.ask('DELETE', `/v1/flows/${talk!.id}`)).status, 204);
  assert.deepEqual(world.network.flows.size, { tcp: 0, udp: 0 });
});
