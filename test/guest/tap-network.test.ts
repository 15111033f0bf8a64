/** A network on a TAP interface, with the host's own kernel on the other side: in a network namespace of this process. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import koffi from 'koffi';
import { VirtualNetwork } from '../../src/network.ts';
import { succeed } from './process.ts';
import { missing } from './requirement.ts';

const CLONE_NEWNET = 0x40000000;
const SIZE = 48 << 20;

const skip = missing('root', 'tun', 'ip', 'bash', 'sha256sum');
if (skip === false && koffi.load(null).func('int unshare(int)')(CLONE_NEWNET) !== 0) throw new Error(`unshare: errno ${koffi.errno()}`);

const PIECE: Buffer = randomBytes(1 << 20);

function shaOf(pieces: number): string {
  const hash = createHash('sha256');
  for (let i = 0; i < pieces; i++) hash.update(PIECE);
  return hash.digest('hex');
}

async function sendAll(socket: Socket): Promise<void> {
  for (let sent = 0; sent < SIZE; sent += PIECE.length) if (!socket.write(PIECE)) await once(socket, 'drain');
  socket.end();
}

/** Moves SIZE bytes each way between a program behind `device` and a server of the host. Returns the mean length of frames each way. */
async function transfer(url: string, device: string): Promise<{ toInterface: number; fromInterface: number }> {
  const network = await VirtualNetwork.create();
  const link = await network.attach(url);
  const port = network.ports[0]!;
  try {
    await succeed('ip', ['link', 'set', device, 'up']);
    await succeed('ip', ['addr', 'add', '192.168.127.2/24', 'dev', device]);
    const down = createServer((socket) => void sendAll(socket)).listen(0, '127.0.0.1');
    await once(down, 'listening');
    const before = { ...port.counters };
    const target = `/dev/tcp/192.168.127.254/${(down.address() as AddressInfo).port}`;
    assert.equal((await succeed('bash', ['-c', `sha256sum < ${target}`])).split(' ')[0], shaOf(SIZE / PIECE.length));
    const toInterface = (port.counters.txBytes - before.txBytes) / (port.counters.txFrames - before.txFrames);
    down.close();
    const received = createHash('sha256');
    const up = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('data', (chunk) => received.update(chunk)).on('end', () => socket.end('done\n'));
    }).listen(0, '127.0.0.1');
    await once(up, 'listening');
    const { rxBytes, rxFrames } = port.counters;
    const source = `head -c ${SIZE} /dev/zero`;
    const answer = await succeed('bash', ['-c', `${source} > /dev/tcp/192.168.127.254/${(up.address() as AddressInfo).port}`]);
    assert.equal(answer, '');
    const fromInterface = (port.counters.rxBytes - rxBytes) / (port.counters.rxFrames - rxFrames);
    await new Promise((resolve) => up.close(resolve));
    assert.equal(received.digest('hex'), createHash('sha256').update(Buffer.alloc(SIZE)).digest('hex'));
    return { toInterface, fromInterface };
  } finally {
    link.close();
    await network.close();
  }
}

test("a TAP interface carries the kernel's TCP, in frames of its MTU", { skip }, async () => {
  await succeed('ip', ['link', 'set', 'lo', 'up']);
  const { toInterface, fromInterface } = await transfer('tap:plain', 'plain');
  assert.ok(toInterface > 1000 && toInterface <= 1514, `${toInterface} bytes a frame`);
  assert.ok(fromInterface > 1000 && fromInterface <= 1514, `${fromInterface} bytes a frame`);
});

test('with offload the same interface, at an MTU of 1500, gives and takes segments many times as large', { skip }, async () => {
  const { toInterface, fromInterface } = await transfer('tap:large?vnet_hdr=12', 'large');
  assert.ok(toInterface > 8000, `${toInterface} bytes a frame`);
  assert.ok(fromInterface > 8000, `${fromInterface} bytes a frame`);
});
