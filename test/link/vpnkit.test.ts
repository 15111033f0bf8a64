import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { type NetworkOptions, VirtualNetwork } from '../../src/index.ts';
import { receiveVpnkit } from '../../src/link/vpnkit.ts';
import { StreamListener } from '../../src/link/stream-listener.ts';
import { Arena } from '../../src/runtime/arena.ts';
import { TurnLoop } from '../../src/runtime/turn-loop.ts';
import { temporaryFolder, until } from '../guest/process.ts';
import { arpRequest, framed, LITTLE_16, plugStream } from './stream-guest.ts';

const UUID = 'c3d68012-0208-11ea-9fd7-f2189899ab08';
const MAC = '5a:94:ef:e4:0c:ee';
const INIT = Buffer.concat([Buffer.from('VMN3T'), Buffer.from([1, 0, 0, 0]), Buffer.alloc(40, 'c')]);

function command(uuid: string): Buffer {
  return Buffer.concat([Buffer.from([1]), Buffer.from(uuid), Buffer.alloc(4, 0xff)]);
}

interface World {
  readonly network: VirtualNetwork;
  readonly refused: string[];
  readonly client: () => Promise<Socket>;
}

async function world(options: NetworkOptions = {}): Promise<World> {
  const network = await VirtualNetwork.create(options);
  const path = join(temporaryFolder(), 'vpnkit.sock');
  const refused: string[] = [];
  await network.attach(`vpnkit+unix://${path}`, { refused: (reason) => void refused.push(reason) });
  const client = async (): Promise<Socket> => {
    const socket = connect(path).on('error', () => {});
    await once(socket, 'connect');
    return socket;
  };
  return { network, refused, client };
}

async function take(socket: Socket, bytes: number): Promise<Buffer> {
  for (;;) {
    const chunk = socket.read(bytes) as Buffer | null;
    if (chunk !== null) return chunk;
    await once(socket, 'readable', { signal: AbortSignal.timeout(5000) });
  }
}

/** The answer of a whole handshake. */
async function shake(socket: Socket, uuid = UUID): Promise<Buffer> {
  socket.write(INIT);
  assert.deepEqual(await take(socket, 49), INIT);
  socket.write(command(uuid));
  return take(socket, 258);
}

test('§6.3: 49 bytes come back as they are, 41 are answered with MTU, frame size and MAC address, and frames follow', async () => {
  const { network, client } = await world();
  const socket = await client();
  const answer = await shake(socket);
  assert.equal(answer.subarray(0, 11).toString('hex').toUpperCase(), '01DC05EA055A94EFE40CEE');
  assert.ok(answer.subarray(11).every((byte) => byte === 0));
  const guest = plugStream(socket, socket, LITTLE_16, MAC);
  assert.equal((await guest.dhcp()).address, '192.168.127.2');
  socket.destroy();
  await network.close();
});

test('§6.3: a handshake comes in any pieces, and what follows it in one write is a frame', async () => {
  const { network, client } = await world({ mtu: 9000 });
  const whole = Buffer.concat([INIT, command(UUID), framed(LITTLE_16, arpRequest(MAC))]);
  for (const piece of [1, 48, 50, whole.length]) {
    const socket = await client();
    socket.setNoDelay();
    for (let at = 0; at < whole.length; at += piece) {
      socket.write(whole.subarray(at, at + piece));
      if (piece < 40) await new Promise((resolve) => setImmediate(resolve));
    }
    assert.deepEqual(await take(socket, 49), INIT);
    const answer = await take(socket, 258);
    assert.deepEqual([answer.readUInt16LE(1), answer.readUInt16LE(3)], [9000, 9014]);
    const reply = await take(socket, 44);
    assert.deepEqual([reply.readUInt16LE(0), reply.subarray(2, 8).toString('hex')], [42, MAC.replaceAll(':', '')]);
    socket.destroy();
    await once(network, 'disconnected');
  }
  await network.close();
});

test('§6.3: a UUID that is not in the table, in its very letters, is given a local address of one station', async () => {
  const { network, client } = await world({ vpnKitUUIDMacAddresses: { [UUID.toUpperCase()]: '02:00:00:00:00:09' } });
  const macs = new Set<string>();
  for (const uuid of [UUID, 'constructor'.padEnd(36), '00000000-0000-0000-0000-000000000000', UUID]) {
    const answer = await shake(await client(), uuid);
    assert.equal(answer[5]! & 3, 2, answer.subarray(5, 11).toString('hex'));
    macs.add(answer.subarray(5, 11).toString('hex'));
  }
  assert.equal(macs.size, 4);
  assert.equal((await shake(await client(), UUID.toUpperCase())).subarray(5, 11).toString('hex'), '020000000009');
  await network.close();
});

test('§16 row 5: a handshake that breaks off is told of and closed, and no VM', async () => {
  const { network, refused, client } = await world();
  const bytes = Buffer.concat([INIT, command(UUID)]);
  for (const count of [0, 1, 49, 89]) {
    const socket = await client();
    socket.end(bytes.subarray(0, count));
    socket.resume();
    await once(socket, 'close');
  }
  assert.deepEqual(
    refused,
    [0, 1, 49, 89].map((count) => `cannot complete the handshake with @, disconnecting: EOF after ${count} of 90 bytes`),
  );
  assert.equal(network.portCount, 0);
  assert.match((await shake(await client())).toString('hex'), /^01dc05/);
  await network.close();
});

test('§6.8: 64 clients at once, those that have not shaken hands included; one more is closed, and the next has its place', async () => {
  const network = await VirtualNetwork.create();
  const path = join(temporaryFolder(), 'vpnkit.sock');
  const link = await network.attach(`vpnkit+unix://${path}?name=hyperkit`);
  const clients: Socket[] = [];
  for (let i = 0; i < 64; i++) {
    const socket = connect(path).on('error', () => {});
    await once(socket, 'connect');
    if (i < 3) await shake(socket);
    clients.push(socket);
  }
  assert.deepEqual(
    network.ports.map(({ name }) => name),
    ['hyperkit', 'hyperkit-2', 'hyperkit-3'],
  );
  const late = connect(path).resume();
  await once(late, 'close');
  assert.equal(link.refused, 1);
  clients[0]!.destroy();
  await once(network, 'disconnected');
  const next = connect(path);
  await shake(next);
  assert.equal(network.ports.at(-1)!.name, 'hyperkit');
  const closed = Promise.all([...clients.slice(1), next].map((socket) => once(socket.resume(), 'close')));
  await network.close();
  await closed;
  assert.equal(existsSync(path), false);
});

test('§6.3: a client that says nothing for 10 s is closed', async () => {
  const arena = new Arena(16 << 20);
  let now = 0;
  const loop = new TurnLoop(arena, { clock: { now: () => now } });
  const receiver = { frame: () => {}, endOfBatch: () => {}, drained: () => {}, attached: () => {}, detached: () => {} };
  const refused: string[] = [];
  const events = { connected: () => {}, disconnected: () => {}, refused: (reason: string) => void refused.push(reason) };
  const path = join(temporaryFolder(), 'vpnkit.sock');
  let accepted = 0;
  const receive = receiveVpnkit({ mtu: 1500, macs: {}, random: { word: () => 0 } });
  const listener = await StreamListener.open(`unix://${path}`, { loop, arena, receiver, events, nextId: () => 0 }, (...link) => {
    const reception = receive(...link);
    return { accept: (fd, peer) => ++accepted > 0 && reception.accept(fd, peer) };
  });
  const socket = connect(path).resume();
  await until(() => accepted === 1, 'the client to be accepted');
  now = 9990;
  loop.wake();
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual(refused, []);
  now = 10_010;
  loop.wake();
  await once(socket, 'close', { signal: AbortSignal.timeout(5000) });
  assert.deepEqual(refused, ['cannot complete the handshake with @, disconnecting: not done after 10 s']);
  listener.close();
  loop.close();
});

test('an MTU whose frames 16 bits can not count is refused, with the largest that fits', async () => {
  const network = await VirtualNetwork.create({ mtu: 65_522 });
  const path = join(temporaryFolder(), 'vpnkit.sock');
  await assert.rejects(network.attach(`vpnkit+unix://${path}`), {
    message: 'this link has 16 bits of length, too few for frames of MTU 65522: the MTU must be at most 65521',
  });
  assert.equal(existsSync(path), false);
  await network.attach(`qemu+unix://${path}`);
  await network.close();
});
