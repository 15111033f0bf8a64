import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { after, before, describe, test } from 'node:test';
import type { Forward } from '../../src/forward/forward.ts';
import { VirtualNetwork } from '../../src/network.ts';
import { attachGuest } from '../../src/testing/attach.ts';
import type { SoftGuest } from '../../src/testing/soft-guest.ts';

/** A loopback address of this process: its ports are nobody else's. */
const OWN = `127.${10 + ((process.pid >> 8) & 63)}.${process.pid & 255}.1`;
let nextPort = 10_000;

function ownPort(): number {
  return nextPort++;
}

const REMOTE = '192.168.127.2:80';

/** What the guest's server on port 80 says to a client of this port; `ECONNREFUSED` and the like when there is none. */
async function talk(port: number, host = OWN): Promise<string> {
  const socket = connect(port, host);
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
  try {
    await once(socket, 'end');
  } catch (error) {
    return (error as NodeJS.ErrnoException).code!;
  } finally {
    socket.destroy();
  }
  return text;
}

describe('the forwards of a network', () => {
  let network: VirtualNetwork;
  let guest: SoftGuest;

  before(async () => {
    network = await VirtualNetwork.create();
    guest = attachGuest(network, '5a:94:ef:e4:0c:ee').guest;
    await guest.dhcp();
    guest.listen(80, (socket) => {
      socket.on('error', () => {});
      socket.resume();
      socket.end('hello');
    });
  });
  after(() => network.close());

  function expose(local: string, protocol = 'tcp', remote = REMOTE): Promise<Forward> {
    return network.forwards.expose({ protocol, local, remote });
  }

  test('§13.7: an exposed port leads to the guest at once, and §13.8: after unexpose nowhere', async () => {
    const local = `${OWN}:${ownPort()}`;
    const { boundPort } = await expose(local);
    assert.equal(`${OWN}:${boundPort}`, local);
    assert.equal(await talk(boundPort!), 'hello');
    network.forwards.unexpose('tcp', local);
    assert.equal(await talk(boundPort!), 'ECONNREFUSED');
  });

  test('§14.1: port 0 and an empty local take a free port, which is told', async () => {
    for (const local of ['127.0.0.1:0', ':0', '', 'localhost:']) {
      const { boundPort } = await expose(local);
      assert.ok(boundPort! > 1023, local);
      assert.equal(await talk(boundPort!, '127.0.0.1'), 'hello', local);
      network.forwards.unexpose('tcp', local);
    }
  });

  test('§14.1: no host stands for every address of both families', async () => {
    const { boundPort } = await expose(':0');
    assert.deepEqual([await talk(boundPort!, '127.0.0.1'), await talk(boundPort!, '::1')], ['hello', 'hello']);
    network.forwards.unexpose('tcp', ':0');
  });

  test('§14.2: a second expose says "proxy already running", whatever its remote is', async () => {
    const local = `${OWN}:${ownPort()}`;
    await expose(local);
    const conflict = { name: 'ForwardError', code: 'conflict', message: `proxy already running for tcp on ${local}` };
    await assert.rejects(expose(local, 'tcp', '192.168.127.3:90'), conflict);
    assert.equal(await talk(Number(local.split(':')[1])), 'hello');
    network.forwards.unexpose('tcp', local);
  });

  test('§13.8: the key is protocol and the exact text of local', async () => {
    const port = ownPort();
    const notFound = { name: 'ForwardError', code: 'not-found', message: 'proxy not found' };
    await expose(`${OWN}:${port}`);
    await expose(`${OWN}:${port}`, 'udp');
    assert.throws(() => network.forwards.unexpose('tcp', `${OWN}:0${port}`), notFound);
    network.forwards.unexpose('udp', `${OWN}:${port}`);
    assert.throws(() => network.forwards.unexpose('udp', `${OWN}:${port}`), notFound);
    network.forwards.unexpose('tcp', `${OWN}:${port}`);
    assert.throws(() => network.forwards.unexpose('tcp', `${OWN}:${port}`), notFound);
  });

  test("§14.2: what the host refuses is told in Go's words", async () => {
    const server = createServer().listen(ownPort(), OWN);
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const taken = (text: string): object => ({ name: 'ForwardError', code: 'bind', message: text });
    await assert.rejects(expose(`${OWN}:${port}`), taken(`listen tcp ${OWN}:${port}: bind: address already in use`));
    await assert.rejects(expose(`:${port}`), taken(`listen tcp :${port}: bind: address already in use`));
    server.close();
    await expose(`${OWN}:${port}`, 'udp');
    await assert.rejects(expose(`${OWN}:0${port}`, 'udp'), taken(`listen udp ${OWN}:${port}: bind: address already in use`));
    network.forwards.unexpose('udp', `${OWN}:${port}`);
    await assert.rejects(expose('192.0.2.1:0'), taken('listen tcp 192.0.2.1:0: bind: cannot assign requested address'));
    await assert.rejects(expose('[2001:db8::1]:0'), taken('listen tcp [2001:db8::1]:0: bind: cannot assign requested address'));
  });

  test('§14.2: what this platform has not is refused', async () => {
    const unsupported = (message: string): object => ({ name: 'ForwardError', code: 'unsupported', message });
    await assert.rejects(expose(':0', 'sctp'), unsupported('unknown protocol sctp'));
    await assert.rejects(expose(':0', 'TCP'), unsupported('unknown protocol TCP'));
    const pipe = expose('npipe:////./pipe/x', 'npipe', 'tcp://192.168.127.2:80');
    await assert.rejects(pipe, unsupported('named pipes are not supported by this platform'));
    assert.deepEqual(network.forwards.list(), []);
  });

  test('a forward that could not be made can be made later', async () => {
    const local = `${OWN}:${ownPort()}`;
    await assert.rejects(expose(local, 'tcp', 'nonsense'));
    const forward = await expose(local);
    forward.close();
    assert.deepEqual(network.forwards.list(), []);
    (await expose(local)).close();
  });

  test('of forwards that race for a key exactly one comes about', async () => {
    const local = 'localhost:0';
    const results = await Promise.allSettled(Array.from({ length: 20 }, () => expose(local)));
    const refused = results.filter((result) => result.status === 'rejected').map(({ reason }) => (reason as { code: string }).code);
    assert.deepEqual(
      refused,
      Array.from({ length: 19 }, () => 'conflict'),
    );
    network.forwards.unexpose('tcp', local);
  });

  test('several at once come about all or not at all', async () => {
    const [first, second] = [ownPort(), ownPort()];
    const request = (local: string): { protocol: string; local: string; remote: string } => ({ protocol: 'tcp', local, remote: REMOTE });
    const server = createServer().listen(second, OWN);
    await once(server, 'listening');
    const both = [request(`${OWN}:${first}`), request(`${OWN}:${second}`)];
    await assert.rejects(network.forwards.exposeAll(both), { code: 'bind' });
    await assert.rejects(network.forwards.exposeAll([both[0]!, both[0]!]), { code: 'conflict' });
    await assert.rejects(network.forwards.exposeAll([both[0]!, request('127.0.0.1')]), { code: 'address' });
    assert.equal(await talk(first), 'ECONNREFUSED');
    server.close();
    await once(server, 'close');
    const forwards = await network.forwards.exposeAll(both);
    assert.deepEqual(
      forwards.map(({ boundPort }) => boundPort),
      [first, second],
    );
    assert.deepEqual([await talk(first), await talk(second)], ['hello', 'hello']);
    for (const forward of forwards) forward.close();
  });

  test('§13.5: the list is sorted by local, then protocol, with the texts as they were given', async () => {
    for (const local of ['localhost:0', '127.0.0.1:00', '[::1]:0', '127.0.0.1:0']) await expose(local);
    await expose('127.0.0.1:0', 'udp');
    const list = network.forwards.list().map(({ local, protocol, remote }) => `${local} ${protocol} ${remote}`);
    assert.deepEqual(list, [
      `127.0.0.1:0 tcp ${REMOTE}`,
      `127.0.0.1:0 udp ${REMOTE}`,
      `127.0.0.1:00 tcp ${REMOTE}`,
      `[::1]:0 tcp ${REMOTE}`,
      `localhost:0 tcp ${REMOTE}`,
    ]);
    for (const forward of network.forwards.list()) forward.close();
  });

  test('§13.8: connections outlive their forward', async () => {
    const { boundPort } = await expose(`${OWN}:0`, 'tcp', '192.168.127.2:7');
    guest.listen(7, (socket) => void socket.pipe(socket));
    const socket = connect(boundPort!, OWN);
    socket.write('one');
    assert.equal(String((await once(socket, 'data'))[0]), 'one');
    network.forwards.unexpose('tcp', `${OWN}:0`);
    assert.equal(await talk(boundPort!), 'ECONNREFUSED');
    socket.write('two');
    assert.equal(String((await once(socket, 'data'))[0]), 'two');
    socket.end();
    await once(socket, 'close');
  });

  test('a forward made elsewhere is listed, in the way of others, and closed with them', async () => {
    let closed = 0;
    const close = (): void => void closed++;
    const forward = { protocol: 'unix', local: '/run/ssh.sock', remote: 'ssh-tunnel://x', close, [Symbol.dispose]: close };
    network.forwards.add(forward);
    assert.deepEqual(network.forwards.list(), [forward]);
    assert.throws(() => network.forwards.add(forward), { code: 'conflict' });
    network.forwards.unexpose('unix', '/run/ssh.sock');
    assert.equal(closed, 1);
  });

  test('a unix forward over SSH is made by whoever knows SSH', async () => {
    const remote = 'ssh-tunnel://root@192.168.127.2/run/x.sock?key=/key';
    await assert.rejects(expose('/run/x.sock', 'unix', remote), { code: 'unsupported' });
    const asked: string[] = [];
    network.forwards.openSshTunnel = async (local, to) => {
      asked.push(`${local} ${to}`);
      const close = (): void => void asked.push('closed');
      return { protocol: 'unix', local, remote: to, close, [Symbol.dispose]: close };
    };
    await expose('/run/x.sock', 'unix', remote);
    network.forwards.unexpose('unix', '/run/x.sock');
    assert.deepEqual(asked, [`/run/x.sock ${remote}`, 'closed']);
  });

  test('the host may choose the port of several forwards of a program', () => {
    const forwards = [1, 2, 3].map(() => network.forward('127.0.0.1:0', REMOTE));
    assert.equal(new Set(forwards.map(({ port }) => port)).size, 3);
    assert.deepEqual(
      network.forwards.list().map(({ local }) => local),
      forwards.map(({ port }) => `127.0.0.1:${port}`).toSorted(),
    );
    for (const forward of forwards) forward.close();
    assert.deepEqual(network.forwards.list(), []);
  });
});

test('§14.5: static forwards may be of UDP and of names; any failure is fatal', async () => {
  const local = `${OWN}:${ownPort()}`;
  const forwards = { [`udp:${local}`]: '192.168.127.2:53', 'localhost:0': '192.168.127.2:22' };
  const network = await VirtualNetwork.create({ forwards });
  assert.deepEqual(
    network.forwards.list().map(({ protocol, local }) => `${protocol} ${local}`),
    [`udp ${local}`, 'tcp localhost:0'],
  );
  await assert.rejects(VirtualNetwork.create({ forwards: { [`udp:${local}`]: '192.168.127.2:53' } }), {
    name: 'SystemError',
    code: 'EADDRINUSE',
    transport: 'udp',
  });
  await assert.rejects(VirtualNetwork.create({ forwards: { 'nobody.invalid:0': '192.168.127.2:53' } }), { name: 'ForwardError' });
  await network.close();
});

test('there are 1024 forwards at most, however many are asked for at once; one that goes makes room for another', async (t) => {
  const network = await VirtualNetwork.create();
  t.after(() => network.close());
  // Each text of port 0 is another forward.
  const locals = Array.from({ length: 1100 }, (_, i) => `127.0.0.1:${'0'.repeat(i + 1)}`);
  const settled = await Promise.allSettled(locals.map((local) => network.forwards.expose({ protocol: 'tcp', local, remote: REMOTE })));
  const refused = settled.filter(({ status }) => status === 'rejected') as PromiseRejectedResult[];
  const limit = locals.length - refused.length;
  assert.ok(limit > 0 && limit <= 1024, String(limit));
  assert.equal(network.forwards.list().length, limit);
  const full = { code: 'limit', message: `too many forwards: there are ${limit} already, and one must be unexposed before another` };
  for (const { reason } of refused) assert.deepEqual({ code: reason.code, message: reason.message }, full);
  assert.throws(() => network.forward('127.0.0.1:0', REMOTE), full);
  network.forwards.unexpose('tcp', locals[0]!);
  network.forward('127.0.0.1:0', REMOTE);
});

test('a network that closes takes its forwards along, those too that wait for a resolver', async () => {
  const network = await VirtualNetwork.create();
  const { boundPort } = await network.forwards.expose({ protocol: 'tcp', local: `${OWN}:0`, remote: REMOTE });
  const waiting = network.forwards.expose({ protocol: 'tcp', local: 'localhost:0', remote: REMOTE });
  const rejected = assert.rejects(waiting, { message: 'the network is closed' });
  await network.close();
  await rejected;
  assert.equal(await talk(boundPort!), 'ECONNREFUSED');
  await assert.rejects(network.forwards.expose({ protocol: 'tcp', local: `${OWN}:0`, remote: REMOTE }), /the network is closed/);
});
