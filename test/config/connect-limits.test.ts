/** That the limits of host connects reach the TCP engine: a guest connects to a port of the host that never answers. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import type { NetworkOptions } from '../../src/network-options.ts';
import { VirtualNetwork } from '../../src/network.ts';
import { IpAddress } from '../../src/packet/address.ts';
import { Arena } from '../../src/runtime/arena.ts';
import { AF_INET, SOCK_STREAM } from '../../src/system/constants.ts';
import { readSockaddr, writeSockaddr } from '../../src/system/memory.ts';
import { addressOf, bindSocket, close, getsockname, listen, socket } from '../../src/system/syscalls.ts';
import { attachGuest, type SoftGuest } from '../../src/testing/index.ts';

const HOST = '192.168.127.254';
const open = createServer((client) => client.on('error', () => {}));
const waiting: Socket[] = [];
let silent = { fd: -1, port: 0 };

before(async () => {
  open.listen(0, '127.0.0.1').unref();
  await once(open, 'listening');
  silent = listenSilently();
  // The kernel drops SYNs to a listener whose queue, of one, is full.
  for (let i = 0; i < 3; i++) waiting.push(connect(silent.port, '127.0.0.1').on('error', () => {}));
  await once(waiting[0]!, 'connect');
});

after(() => {
  for (const client of waiting) client.destroy();
  close(silent.fd);
  open.close();
});

function listenSilently(): { fd: number; port: number } {
  const arena = new Arena(1 << 20);
  const [base, at] = [addressOf(arena.memory.buffer), arena.allocate(256)];
  const { w0, w1, w2, w3 } = IpAddress.parse('127.0.0.1')!;
  const fd = socket(AF_INET, SOCK_STREAM, 0);
  assert.equal(bindSocket(fd, base + at, writeSockaddr(arena.bytes, at, w0, w1, w2, w3, 0)), 0);
  assert.equal(listen(fd, 0), 0);
  arena.words[(at + 128) >> 2] = 128;
  assert.equal(getsockname(fd, base + at, base + at + 128), 0);
  return { fd, port: readSockaddr(arena.bytes, at)!.port };
}

async function withGuest(options: NetworkOptions, run: (guest: SoftGuest) => Promise<void>): Promise<void> {
  const network = await VirtualNetwork.create(options);
  const { guest } = attachGuest(network, '5a:94:ef:e4:0c:ee');
  await guest.dhcp();
  try {
    await run(guest);
  } finally {
    await network.close();
  }
}

test('§19: tcpConnectTimeout is how long a host connect may take', { timeout: 10_000 }, () =>
  withGuest({ tcpConnectTimeout: 200 }, async (guest) => {
    const started = performance.now();
    await assert.rejects(guest.connect(HOST, silent.port));
    const took = performance.now() - started;
    assert.ok(took > 190 && took < 5000, `${took} ms`);
  }),
);

test('§19: tcpMaxInFlight is how many host connects may be under way', { timeout: 20_000 }, () =>
  withGuest({ tcpMaxInFlight: 1, tcpConnectTimeout: 400 }, async (guest) => {
    const order: string[] = [];
    const first = guest.connect(HOST, silent.port).catch(() => order.push('timed out'));
    const second = guest.connect(HOST, (open.address() as AddressInfo).port).then(
      (client) => {
        order.push('connected');
        client.destroy();
      },
      () => order.push('refused'),
    );
    await Promise.all([first, second]);
    assert.deepEqual(order, ['timed out', 'connected']);
  }),
);
