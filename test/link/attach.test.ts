/** Links of a network as the library has them: by URL, over connections of our own, and over inherited descriptors. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync, rmSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Link, VirtualNetwork } from '../../src/index.ts';
import { AF_INET, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM } from '../../src/system/constants.ts';
import { check } from '../../src/system/error.ts';
import { readSockaddr, writeSockaddr } from '../../src/system/memory.ts';
import { accept4, addressOf, bindSocket, close, duplicate, getsockname, listen, socket } from '../../src/system/syscalls.ts';
import { listenUnix } from '../../src/system/unix-listener.ts';
import { temporaryFolder, until } from '../guest/process.ts';
import { MessageEnd, UnconnectedEnd, type VmEnd } from './vm-ends.ts';
import { arpRequest, BIG_32, framed, LITTLE_16, plugStream } from './stream-guest.ts';

const MAC = '5a:94:ef:e4:0c:ee';

interface World {
  readonly network: VirtualNetwork;
  readonly folder: string;
  readonly told: string[];
  readonly open: (url: string) => Promise<Link>;
}

async function world(): Promise<World> {
  const network = await VirtualNetwork.create();
  const told: string[] = [];
  const open = (url: string): Promise<Link> =>
    network.attach(url, {
      connected: (port) => void told.push(`connected ${port.name}`),
      disconnected: (port, reason) => void told.push(`disconnected ${port.name}: ${reason}`),
      refused: (reason) => void told.push(reason),
      closed: (link) => void told.push(`closed ${link.address}`),
    });
  return { network, folder: temporaryFolder(), told, open };
}

async function listening(server: Server, at: string | number): Promise<Server> {
  server.listen(typeof at === 'string' ? { path: at } : { port: at, host: '127.0.0.1' });
  await once(server, 'listening');
  return server;
}

/** The descriptor of a socket of Node's, a second time. */
function descriptorOf(socket: Socket | Server): number {
  return duplicate((socket as unknown as { _handle: { fd: number } })._handle.fd);
}

const EOF_REASON = 'cannot read size from socket: EOF';

test('VMs of a unix socket have names of their own, and the name of their link when it has one', async () => {
  const { network, folder, told, open } = await world();
  await open(`qemu+unix://${folder}/plain`);
  await open(`qemu+unix://${folder}/named?name=web`);
  const sockets: Socket[] = [];
  for (const path of ['plain', 'plain', 'named', 'named']) {
    sockets.push(connect(join(folder, path)));
    await once(network, 'connected');
  }
  assert.deepEqual(told.splice(0), ['connected @0', 'connected @1', 'connected web', 'connected web-2']);
  sockets[2]!.destroy();
  await once(network, 'disconnected');
  sockets.push(connect(join(folder, 'named')));
  await once(network, 'connected');
  assert.deepEqual(told.splice(0), [`disconnected web: ${EOF_REASON}`, 'connected web']);
  await network.close();
});

for (const family of ['unix', 'tcp'] as const) {
  test(`connects to a QEMU that listens on ${family}, waits until it is there, and comes back after it has gone`, async () => {
    const { network, folder, told, open } = await world();
    const path = join(folder, 'qemu.sock');
    let at: string | number = path;
    if (family === 'tcp') {
      const probe = await listening(createServer(), 0);
      at = (probe.address() as AddressInfo).port;
      probe.close();
    }
    const url = family === 'unix' ? `unix://${path}` : `tcp://127.0.0.1:${at}`;
    const peer = family === 'unix' ? path : `127.0.0.1:${at}`;
    const link = await open(`qemu+${url}?connect=1`);
    await until(() => told.length > 0, 'the first attempt');
    const why = family === 'unix' ? 'no such file or directory' : 'connection refused';
    assert.deepEqual(told.splice(0), [`cannot connect to ${url}: ${why} (it is tried again)`]);
    for (let round = 0; round < 2; round++) {
      const server = await listening(createServer(), at);
      const [socket] = (await once(server, 'connection', { signal: AbortSignal.timeout(10_000) })) as [Socket];
      const guest = plugStream(socket, socket, BIG_32, MAC);
      assert.equal((await guest.dhcp()).address, '192.168.127.2');
      socket.destroy();
      server.close();
      await until(() => told.length >= 3, 'attempts to go on');
      assert.deepEqual(told.splice(0, 2), [`connected ${peer}`, `disconnected ${peer}: ${EOF_REASON}`]);
      assert.match(
        told.splice(0).join('\n'),
        /^cannot connect to \S+: (connection refused|no such file or directory) \(it is tried again\)$/,
      );
    }
    link.close();
    link.close();
    assert.deepEqual(told, [`closed ${url}`]);
    await network.close();
  });
}

test('a link that is closed while it connects leaves nothing behind', async () => {
  const { network, open } = await world();
  // Nobody accepts, and nothing may wait: what connects next gets no answer.
  const place = new ArrayBuffer(128);
  const bytes = new Uint8Array(place);
  const listener = check(socket(AF_INET, SOCK_STREAM, 0), 'socket');
  check(bindSocket(listener, addressOf(place), writeSockaddr(bytes, 0, 0, 0, 0xffff, 0x7f000001, 0)), 'bind');
  check(listen(listener, 0), 'listen');
  new Uint32Array(place)[16] = 128;
  check(getsockname(listener, addressOf(place), addressOf(place) + 64), 'getsockname');
  const { port } = readSockaddr(bytes, 0)!;
  const first = connect(port, '127.0.0.1');
  await once(first, 'connect');
  const before = readdirSync('/proc/self/fd').length;
  const links: Link[] = [];
  for (let i = 0; i < 10; i++) links.push(await open(`qemu+tcp://127.0.0.1:${port}?connect=1`));
  assert.equal(network.portCount, 0);
  assert.equal(readdirSync('/proc/self/fd').length, before + 10);
  for (const link of links) link.close();
  assert.equal(readdirSync('/proc/self/fd').length, before);
  first.destroy();
  close(listener);
  await network.close();
});

test('an address that can not be connected to is refused', async () => {
  const { network, folder, open } = await world();
  await assert.rejects(open('qemu+tcp://127.0.0.1:0?connect=1'), /want the host and port of who listens/);
  await assert.rejects(open('qemu+tcp://:4000?connect=1'), /want the host and port of who listens/);
  await assert.rejects(open(`qemu+unix:///${'x'.repeat(200)}?connect=1`), /a unix socket path has 1 to 107 bytes/);
  await assert.rejects(open(`qemu+unix://${folder}/none/x`), { code: 'ENOENT' });
  await network.close();
});

test('a descriptor of a connection is a VM, with any framing, and its link ends with it', async () => {
  const { network, folder, told, open } = await world();
  const server = await listening(createServer({ pauseOnConnect: true }), join(folder, 'elsewhere'));
  const descriptors = (): number => readdirSync('/proc/self/fd').length;
  for (const [form, lengths] of [
    ['fd', BIG_32],
    ['qemu+fd', BIG_32],
    ['vpnkit+fd', LITTLE_16],
  ] as const) {
    const far = connect(join(folder, 'elsewhere'));
    const [near] = (await once(server, 'connection')) as [Socket];
    const fd = descriptorOf(near);
    near.destroy();
    await once(near, 'close');
    const before = descriptors();
    const link = await open(`${form}:${fd}`);
    assert.equal(link.address, `fd:${fd}`);
    await assert.rejects(open(`${form}:${fd}`), /in use already/);
    if (form === 'vpnkit+fd') {
      far.write(Buffer.alloc(90, 'x'));
      for (let got = 0; got < 49 + 258;) got += ((await once(far, 'data')) as [Buffer])[0].length;
    }
    const guest = plugStream(far, far, lengths, MAC);
    await guest.dhcp();
    far.destroy();
    await until(() => told.length === 3, 'the end of the link');
    assert.deepEqual(told.splice(0), [`connected fd:${fd}`, `disconnected fd:${fd}: ${EOF_REASON}`, `closed fd:${fd}`]);
    assert.equal(descriptors(), before - 2, 'ours and the far end are closed');
  }
  server.close();
  await network.close();
});

test('a link that is closed in the middle of its handshake is closed for its VM, too', async () => {
  const { network, folder, told, open } = await world();
  const server = await listening(createServer({ pauseOnConnect: true }), join(folder, 'elsewhere'));
  const before = readdirSync('/proc/self/fd').length;
  const far = connect(join(folder, 'elsewhere')).resume();
  const [near] = (await once(server, 'connection')) as [Socket];
  const fd = descriptorOf(near);
  near.destroy();
  await once(near, 'close');
  const link = await open(`vpnkit+fd:${fd}`);
  far.write(Buffer.alloc(60, 'x'));
  await once(far, 'data');
  link.close();
  await once(far, 'close', { signal: AbortSignal.timeout(5000) });
  assert.deepEqual(told, [`cannot complete the handshake with fd:${fd}, disconnecting: listener closed`, `closed fd:${fd}`]);
  assert.equal(network.portCount, 0);
  await until(() => readdirSync('/proc/self/fd').length === before, 'every descriptor to be closed');
  server.close();
  await network.close();
});

test('a descriptor that listens is a listener, whose file is left to whoever has made it', async () => {
  const { network, folder, open } = await world();
  const unix = await listening(createServer(), join(folder, 'inherited'));
  (await open(`fd:${descriptorOf(unix)}`)).close();
  assert.deepEqual(readdirSync(folder), ['inherited']);
  unix.close();
  const tcp = await listening(createServer(), 0);
  const { port } = tcp.address() as AddressInfo;
  await open(`fd:${descriptorOf(tcp)}?name=web`);
  tcp.close();
  await once(tcp, 'close');
  for (const [name, mac] of [
    ['web', MAC],
    ['web-2', '5a:94:ef:00:00:77'],
  ] as const) {
    const guest = connect(port, '127.0.0.1');
    const [{ name: taken }] = (await once(network, 'connected')) as [{ name: string }];
    assert.equal(taken, name);
    await plugStream(guest, guest, BIG_32, mac).dhcp();
  }
  await network.close();
});

test('a URL opens each kind of message link, and its VM is answered', async () => {
  const { network, folder, told, open } = await world();
  let host = 10;
  // Each from an address of its own: one belongs to the VM that uses it.
  const answered = async (vm: VmEnd): Promise<void> => {
    const request = arpRequest(`5a:94:ef:00:00:${host}`);
    request[31] = host++;
    vm.send(request);
    let reply: Uint8Array | null = null;
    await until(() => (reply = vm.receive()) !== null, 'the answer');
    assert.equal(reply!.length, 42);
  };
  const paths = ['bess', 'vfkit', 'ours'].map((name) => join(folder, name));
  await open(`bess+unixpacket://${paths[0]}?name=uml`);
  const uml = MessageEnd.unix(SOCK_SEQPACKET, paths[0]!);
  await answered(uml);
  await open(`vfkit+unixgram://${paths[1]}?name=mac`);
  const mac = MessageEnd.unix(SOCK_DGRAM, paths[1]!, join(folder, 'vfkit-1.sock'));
  mac.send(Buffer.from('VFKT'));
  await answered(mac);
  await open(`dgram+unix://${paths[2]}?remote=${folder}/qemu&name=dgram`);
  const qemu = UnconnectedEnd.unix(paths[2]!, join(folder, 'qemu'));
  await answered(qemu);
  await open('dgram+mcast://230.0.0.1:0?interface=127.0.0.1&name=group');
  const far = MessageEnd.unix(SOCK_SEQPACKET, paths[0]!);
  await until(() => network.portCount === 5, 'the second VM');
  assert.deepEqual(
    network.ports.map(({ name }) => name),
    ['uml', 'mac', 'dgram', 'group', 'uml-2'],
  );
  assert.deepEqual(
    told.filter((what) => !what.startsWith('connected')),
    [],
  );
  for (const vm of [uml, mac, qemu, far]) vm.close();
  await network.close();
});

test('an inherited socket of messages is a VM; one of another kind than the link says is refused', async () => {
  const { network, folder, open } = await world();
  const { fd } = listenUnix(join(folder, 'packets'), 1, { type: SOCK_SEQPACKET });
  const vm = MessageEnd.unix(SOCK_SEQPACKET, join(folder, 'packets'));
  const near = check(accept4(fd, 0, 0, 0), 'accept');
  await open(`bess+fd:${near}?name=uml`);
  vm.send(arpRequest(MAC));
  await until(() => vm.receive() !== null, 'the answer');
  vm.close();
  await once(network, 'disconnected');
  await assert.rejects(open(`dgram+fd:${fd}`), { code: 'EINVAL', message: /want a datagram socket/ });
  await network.close();
});

test('what is no stream socket is refused as a link, and left open where it is none at all', async () => {
  const { network, open } = await world();
  await assert.rejects(open('fd:999999'), { code: 'EBADF', message: /whoever starts this program has to open it/ });
  const { openSync, fstatSync, closeSync } = await import('node:fs');
  const file = openSync('/dev/null', 'r');
  await assert.rejects(open(`fd:${file}`), { code: 'ENOTSOCK', message: /want a descriptor of a socket/ });
  assert.ok(fstatSync(file).isCharacterDevice());
  closeSync(file);
  await network.close();
});

test('a frame that 16 bits of length can not count is lost to that VM, which gets what follows whole', async () => {
  const { network, folder, open } = await world();
  await open(`vpnkit+unix://${folder}/short`);
  await open(`qemu+unix://${folder}/long`);
  const short = connect(join(folder, 'short'));
  short.write(Buffer.alloc(90, 'x'));
  for (let got = 0; got < 49 + 258;) got += ((await once(short, 'data')) as [Buffer])[0].length;
  const long = connect(join(folder, 'long'));
  await once(network, 'connected');
  const broadcast = (length: number): Buffer => {
    const frame = Buffer.alloc(length, length & 255);
    frame.set(Buffer.from(`ffffffffffff${MAC.replaceAll(':', '')}88b5`, 'hex'));
    return frame;
  };
  for (const length of [60, 65_536, 131_072, 65_535]) long.write(framed(BIG_32, broadcast(length)));
  const wanted = Buffer.concat([60, 65_535].map((length) => framed(LITTLE_16, broadcast(length))));
  const got: Buffer[] = [];
  short.on('data', (chunk: Buffer) => void got.push(chunk));
  await until(() => Buffer.concat(got).length >= wanted.length, 'both frames');
  assert.equal(Buffer.compare(Buffer.concat(got), wanted), 0);
  assert.deepEqual(
    network.ports.map(({ counters }) => [counters.txFrames, counters.txDropped]),
    [
      [2, 2],
      [0, 0],
    ],
  );
  await network.close();
});

test('a link that is closed from an event of its own VM takes no memory of others with it', async () => {
  const { network, folder } = await world();
  const link = await network.attach(`qemu+unix://${folder}/vm`);
  network.on('station', () => link.close());
  const socket = connect(join(folder, 'vm')).resume();
  const request = framed(BIG_32, arpRequest(MAC));
  // The second frame is cut: its beginning would be kept for the rest.
  socket.write(Buffer.concat([request, request, request.subarray(0, 20)]));
  await once(socket, 'close');
  assert.equal(network.portCount, 0);
  assert.equal(network.counters.arp.requests, 1);
  rmSync(folder, { recursive: true });
  await network.close();
});
