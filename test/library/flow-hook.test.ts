/** A program decides about the conversations that guests begin. */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { type FlowVerdict, type NewFlow, VirtualNetwork } from '../../src/index.ts';
import { attachGuest, type Datagram, ManualScheduler, SoftGuest } from '../../src/testing/index.ts';
import { execute, ROOT, until } from '../guest/process.ts';
import { text } from './streams.ts';

const MAC = '5a:94:ef:e4:0c:ee';
const GATEWAY = '192.168.127.1';
const HOST = '192.168.127.254';
/** RFC 5737: nobody has it. */
const NOBODY = '203.0.113.7';

let server: Server;
let port: number;
let network: VirtualNetwork;
let guest: SoftGuest;
let seen: NewFlow[];

before(async () => {
  server = createServer({ allowHalfOpen: true }, (socket) => socket.end('the host')).listen(0, '127.0.0.1');
  await once(server, 'listening');
  ({ port } = server.address() as AddressInfo);
});

after(() => server.close());

beforeEach(async () => {
  const dns = [{ name: 'test.', records: ['one', 'two'].map((name) => ({ name, ip: NOBODY })) }];
  network = await VirtualNetwork.create({ dns });
  ({ guest } = attachGuest(network, MAC));
  await guest.dhcp();
  seen = [];
});

afterEach(() => network.close());

/** What the guest hears at an address. */
async function ask(host: string, to: number): Promise<string> {
  const socket = await guest.connect(host, to);
  socket.end();
  return text(socket);
}

function decide(verdict: (flow: NewFlow) => FlowVerdict | PromiseLike<FlowVerdict>): void {
  network.onFlow((flow) => {
    seen.push(flow);
    return verdict(flow);
  });
}

function datagram(to: number): Promise<Datagram> {
  return new Promise((resolve) => guest.onDatagram(to, resolve));
}

test('a hook sees who wants to go where, by which name, and lets it', async () => {
  decide(() => 'allow');
  assert.equal(await ask(HOST, port), 'the host');
  const [vm] = network.ports;
  const { guestPort } = seen[0]!;
  assert.deepEqual(seen, [{ protocol: 'tcp', guest: '192.168.127.2', guestPort, mac: MAC, vm, remote: HOST, remotePort: port, names: [] }]);
  assert.ok(guestPort >= 40_000);
  for (const name of ['one.test', 'Two.TEST']) assert.deepEqual(await guest.resolve(name), [NOBODY]);
  network.onFlow(({ names }) => {
    assert.deepEqual(names, ['two.test', 'one.test']);
    return 'deny';
  });
  await assert.rejects(guest.connect(NOBODY, 80), { code: 'ECONNREFUSED' });
  // The gateway's own services are not asked about, and nothing is when the hook is gone.
  network.onFlow(null);
  assert.equal(await ask(HOST, port), 'the host');
  assert.equal(seen.length, 1);
});

test('what is always refused stays so, whatever a hook allows', async () => {
  decide(async () => undefined);
  for (const host of [GATEWAY, '169.254.169.254']) await assert.rejects(guest.connect(host, 80), { code: 'ECONNREFUSED' }, host);
  assert.equal(seen.length, 2);
  assert.deepEqual([network.counters.tcp.blocked, network.counters.tcp.refused], [1, 1]);
});

test('connections are refused, led elsewhere, and ended in this process, at once or after a while', async () => {
  const verdicts: Record<number, () => FlowVerdict | Promise<FlowVerdict>> = {
    1: () => 'deny',
    2: () => ({ redirect: { host: '127.0.0.1', port } }),
    3: () => ({ connection: (connection) => connection.end(`${connection.localAddress}:${connection.localPort}`) }),
    4: () => setTimeout(20, 'deny' as const),
    5: () => setTimeout(20, { redirect: { host: '127.0.0.1', port } }),
    6: () => setTimeout(20, { connection: (connection) => connection.end('late') }),
  };
  decide(({ remotePort }) => verdicts[remotePort]!());
  await assert.rejects(ask(NOBODY, 1), { code: 'ECONNREFUSED' });
  assert.equal(await ask(NOBODY, 2), 'the host');
  assert.equal(await ask(NOBODY, 3), `${NOBODY}:3`);
  await assert.rejects(ask(NOBODY, 4), { code: 'ECONNREFUSED' });
  assert.equal(await ask(NOBODY, 5), 'the host');
  assert.equal(await ask(NOBODY, 6), 'late');
  // A mock for what no guest may reach.
  network.onFlow(() => ({ connection: (connection) => connection.end('metadata') }));
  assert.equal(await ask('169.254.169.254', 80), 'metadata');
});

test('datagrams wait for the decision, in their order', async () => {
  const echo = createSocket('udp4', (payload, { port: to }) => echo.send(payload, to, '127.0.0.1')).bind(0, '127.0.0.1');
  await once(echo, 'listening');
  const echoPort = echo.address().port;
  const got: string[] = [];
  guest.onDatagram(5000, ({ from, port: of, payload }) => void got.push(`${from}:${of} ${payload.toString()}`));
  let release = (_verdict: FlowVerdict): void => {};
  decide(() => new Promise((resolve) => (release = resolve)));
  for (let i = 0; i < 10; i++) guest.sendDatagram(5000, NOBODY, 7, Buffer.from(String(i)));
  await until(() => seen.length > 0, 'what was sent to come');
  await setTimeout(5);
  assert.deepEqual([seen.length, got.length], [1, 0]);
  release({ redirect: { host: '127.0.0.1', port: echoPort } });
  await until(() => got.length === 8, 'what was sent to come');
  // The ninth and tenth found no place.
  assert.deepEqual(
    got,
    Array.from({ length: 8 }, (_, i) => `${NOBODY}:7 ${i}`),
  );
  assert.equal(network.counters.udp.dropFlood, 2);
  guest.sendDatagram(5000, NOBODY, 7, Buffer.from('more'));
  await until(() => got.length === 9, 'what was sent to come');
  assert.equal(seen.length, 1);
  echo.close();
});

test('a UDP conversation ends in this process, or is refused, which the guest hears', async () => {
  network.onFlow(({ remotePort }) => {
    if (remotePort === 9) return 'deny';
    return {
      datagrams: (conversation) => {
        conversation.on('message', (payload) => void conversation.send(Buffer.concat([Buffer.from('mock '), payload])));
      },
    };
  });
  const answer = datagram(5000);
  guest.sendDatagram(5000, NOBODY, 8, Buffer.from('hello'));
  const { from, port: of, payload } = await answer;
  assert.deepEqual([from, of, payload.toString()], [NOBODY, 8, 'mock hello']);
  assert.deepEqual([network.flows.size.udp, network.counters.udp.opened], [1, 1]);
  const before = network.counters.icmpErrors.sent;
  guest.sendDatagram(5001, NOBODY, 9, Buffer.from('x'));
  await until(() => network.counters.icmpErrors.sent > before, 'what was sent to come');
  assert.equal(network.flows.size.udp, 1);
});

test('a guest that gives up, a VM that goes and a network that closes leave nothing of what waits', async () => {
  const releases: ((verdict: FlowVerdict) => void)[] = [];
  decide(() => new Promise((resolve) => void releases.push(resolve)));
  const vm = network.attachMemory('other', (bytes, at, length) => other.receive(bytes, at, length));
  // Its time stands still: when its VM is gone, nothing tells it that it should stop trying.
  const wire = { send: (frame: Uint8Array) => vm.send(frame) };
  const other: SoftGuest = new SoftGuest({ mac: '5a:94:ef:00:00:01', wire, scheduler: new ManualScheduler() });
  await other.dhcp();
  void other.connect(NOBODY, 1);
  other.sendDatagram(5000, NOBODY, 2, Buffer.from('x'));
  await until(() => seen.length === 2, 'what was sent to come');
  vm.close();
  assert.deepEqual(network.flows.size, { tcp: 0, udp: 0 });
  let served = 0;
  const releaseAll = (): void => {
    const serve = (): void => void served++;
    for (const [i, release] of releases.entries()) release(seen[i]!.protocol === 'tcp' ? { connection: serve } : { datagrams: serve });
  };
  releaseAll();
  const last = assert.rejects(guest.connect(NOBODY, 1));
  guest.sendDatagram(5000, NOBODY, 2, Buffer.from('x'));
  await until(() => seen.length === 4, 'what was sent to come');
  await network.close();
  releaseAll();
  await setTimeout(1);
  assert.equal(served, 0);
  await last;
});

test('a hook that fails refuses the flow, and its program hears why', async () => {
  const library = `${ROOT}build/src`;
  const code = `
    import { VirtualNetwork } from '${library}/index.js';
    import { attachGuest } from '${library}/testing/index.js';
    const network = await VirtualNetwork.create();
    const { guest } = attachGuest(network, '${MAC}');
    await guest.dhcp();
    process.on('unhandledRejection', ({ name, code, message }) => console.log(name, code, message));
    const verdicts = [() => { throw new Error('oops'); }, () => Promise.reject(new Error('later')), () => 'perhaps',
      () => ({ redirect: { host: 'name' } }), () => ({ redirect: { host: '::1', port: 0 } }), () => ({ datagrams() {} }), () => null];
    for (const verdict of verdicts) {
      network.onFlow(verdict);
      await guest.connect('203.0.113.7', 80).catch(({ code }) => console.log(code));
    }
    await network.close();
    try { network.onFlow(verdicts[0]); } catch ({ code }) { console.log(code); }`;
  const { status, stdout, stderr } = await execute(process.execPath, ['--input-type=module', '-e', code], 15_000);
  assert.deepEqual([status, stderr], [0, '']);
  const unusable = "ConfigError invalid-config what a flow hook has returned can't be followed:";
  const lines = [
    'Error undefined oops',
    'Error undefined later',
    `${unusable} perhaps is no verdict`,
    `${unusable} "name" is no IP address`,
  ];
  lines.push(`${unusable} there is no port 0`, `${unusable} datagrams is a function, and for UDP`, `${unusable} null is no verdict`);
  assert.deepEqual(stdout.trim().split('\n').toSorted(), [...lines, ...lines.map(() => 'ECONNREFUSED'), 'network-closed'].toSorted());
});
