/** What a program does with a network it embeds: serve guests, connect to them, attach a VM by its socket. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { ConfigError, DialError, VirtualNetwork } from '../src/index.ts';
import { attachGuest } from '../src/testing/index.ts';

const MAC = '5a:94:ef:e4:0c:ee';
const THIRD_MAC = '5a:94:ef:00:00:07';
const OTHER_MAC = '5a:94:ef:00:00:01';

async function read(stream: Duplex): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

test('a program connects to a guest, and each end closes its own direction', async () => {
  const network = await VirtualNetwork.create();
  const { guest } = attachGuest(network, MAC);
  await guest.dhcp();
  const heard = new Promise<string>((resolve) => {
    guest.listen(80, (socket) => {
      let text = '';
      socket.on('data', (chunk: Uint8Array) => (text += Buffer.from(chunk).toString()));
      socket.on('end', () => {
        resolve(text);
        socket.end(Buffer.from('answer'));
      });
    });
  });
  const stream = await network.dial('192.168.127.2', 80);
  stream.end('question');
  assert.equal(await read(stream), 'answer');
  assert.equal(await heard, 'question');
  await network.close();
});

test('a connection that does not come about says why', async () => {
  const network = await VirtualNetwork.create();
  const { guest } = attachGuest(network, MAC);
  await guest.dhcp();
  const fails = async (promise: Promise<unknown>, code: string, message: string): Promise<void> => {
    await assert.rejects(promise, (error) => error instanceof DialError && error.code === code && error.message === message);
  };
  await fails(network.dial('192.168.127.2', 81), 'ECONNREFUSED', 'connect tcp 192.168.127.2:81: connection was refused');
  await fails(network.dial('192.168.127.9', 80, { timeout: 20 }), 'ETIMEDOUT', 'connect tcp 192.168.127.9:80: operation timed out');
  await assert.rejects(network.dial('8.8.8.8', 80), ConfigError);
  await assert.rejects(network.dial('192.168.127.2', 80, { signal: AbortSignal.abort(new Error('no longer')) }), { message: 'no longer' });
  const waiting = network.dial('192.168.127.9', 80);
  const ended = assert.rejects(waiting, { message: 'the network is closed' });
  await network.close();
  await ended;
});

test('a guest reaches what a program serves on the gateway', async () => {
  const network = await VirtualNetwork.create();
  const { guest } = attachGuest(network, MAC);
  await guest.dhcp();
  const listener = network.listen(7, (connection, peer) => {
    assert.equal(peer.address.toString(), '192.168.127.2');
    connection.pipe(connection);
  });
  assert.throws(() => network.listen(7, () => {}), /port 7 of the gateway is already listened on/);
  const socket = await guest.connect('192.168.127.1', 7);
  socket.end(Buffer.from('echo'));
  assert.equal(await read(socket), 'echo');
  listener.close();
  await network.close();
});

/** Both ends of a connection through a server of this process. */
async function connection(): Promise<{ near: Socket; far: Socket }> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const far = connect((server.address() as { port: number }).port, '127.0.0.1');
  const [near] = (await once(server, 'connection')) as [Socket];
  server.close();
  return { near, far };
}

function framed(bytes: Uint8Array): Buffer {
  const frame = Buffer.alloc(2 + bytes.length);
  frame.writeUInt16LE(bytes.length);
  frame.set(bytes, 2);
  return frame;
}

/** Asks who has the gateway's address. */
function arpRequest(mac: string): Buffer {
  const sender = mac.replaceAll(':', '');
  return Buffer.from(`ffffffffffff${sender}08060001080006040001${sender}c0a87f09000000000000c0a87f01`, 'hex');
}

test('a VM is attached by a socket that a server has accepted, with what was read from it already', async () => {
  const network = await VirtualNetwork.create();
  const { near, far } = await connection();
  const stations: string[] = [];
  network.on('station', (mac, port) => stations.push(`${mac} on ${port.name}`));
  network.on('stationGone', (mac) => stations.push(`${mac} gone`));
  const request = framed(arpRequest(OTHER_MAC));
  // Some of the frame was read with what came before it, some lies in Node's hands, some is still to come.
  far.write(request.subarray(10, 30));
  await once(near, 'readable');
  assert.equal(network.attachSocket(near, request.subarray(0, 10), 'vm'), true);
  far.write(request.subarray(30));
  const [reply] = (await once(far, 'data')) as [Buffer];
  assert.equal(reply.readUInt16LE(), 42);
  assert.equal(reply.subarray(2, 8).toString('hex'), OTHER_MAC.replaceAll(':', ''));
  assert.deepEqual([...network.stations], [[OTHER_MAC, 0]]);
  const gone = once(network, 'disconnected');
  far.end();
  await gone;
  assert.deepEqual(stations, [`${OTHER_MAC} on vm`, `${OTHER_MAC} gone`]);
  assert.equal(network.stations.size, 0);
  await network.close();
});

test('a VM that makes up addresses is told of 64 times', async () => {
  const network = await VirtualNetwork.create();
  const { near, far } = await connection();
  let told = 0;
  network.on('station', () => told++);
  network.attachSocket(near, new Uint8Array(), 'vm');
  for (let i = 0; i < 500; i++)
    far.write(framed(arpRequest(`5a:94:ef:00:${(i >> 8).toString(16).padStart(2, '0')}:${(i & 255).toString(16).padStart(2, '0')}`)));
  far.end();
  await once(network, 'disconnected');
  assert.equal(told, 64);
  await network.close();
});

/** Resolves when a port has brought so many frames. */
async function heard(network: VirtualNetwork, port: number, frames: number): Promise<void> {
  for (let i = 0; network.ports[port]!.counters.rxFrames < frames; i++) {
    assert.ok(i < 1000, 'frames are missing');
    await setTimeout(1);
  }
}

test('a MAC address of two VMs stays with the first, and is told of, once a minute at most', async () => {
  const network = await VirtualNetwork.create();
  const told: string[] = [];
  network.on('stationMoved', () => told.push('moved'));
  network.on('stationRefused', (mac, holder, port) => told.push(`${mac} ${holder.id} ${port.id}`));
  const [one, other] = [await connection(), await connection()];
  for (const { near } of [one, other]) network.attachSocket(near, new Uint8Array(), 'vm');
  for (let i = 1; i <= 2; i++) {
    one.far.write(framed(arpRequest(OTHER_MAC)));
    await heard(network, 0, i);
    for (const mac of [OTHER_MAC, THIRD_MAC]) other.far.write(framed(arpRequest(mac)));
    await heard(network, 1, 2 * i);
  }
  assert.deepEqual(told, [`${OTHER_MAC} 0 1`]);
  assert.deepEqual(
    network.stations,
    new Map([
      [OTHER_MAC, 0],
      [THIRD_MAC, 1],
    ]),
  );
  assert.deepEqual(
    network.ports.map(({ counters }) => counters.rxForged),
    [0, 2],
  );
  await network.close();
  for (const { far } of [one, other]) far.destroy();
});

test('without the guard a MAC address moves, which is told of, once a minute at most', async () => {
  const network = await VirtualNetwork.create({ guard: 'off' });
  const told: string[] = [];
  network.on('stationMoved', (mac, from, to) => told.push(`${mac} ${from.id} ${to.id}`));
  const [one, other] = [await connection(), await connection()];
  for (const { near } of [one, other]) network.attachSocket(near, new Uint8Array(), 'vm');
  for (let i = 0; i < 3; i++) {
    for (const { far } of [one, other]) {
      far.write(framed(arpRequest(OTHER_MAC)));
      await once(far, 'data');
    }
  }
  assert.deepEqual(told, [`${OTHER_MAC} 0 1`]);
  await network.close();
  for (const { far } of [one, other]) far.destroy();
});
