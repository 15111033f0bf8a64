import assert from 'node:assert/strict';
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import type { Forward } from '../../src/forward/forward.ts';
import { VirtualNetwork } from '../../src/network.ts';
import { attachGuest } from '../../src/testing/attach.ts';
import type { SoftGuest } from '../../src/testing/soft-guest.ts';
import { until } from '../guest/process.ts';

describe('a UDP port that leads to a guest', () => {
  let network: VirtualNetwork;
  let guest: SoftGuest;
  const sockets: Socket[] = [];

  before(async () => {
    // The soft guest puts no fragments together.
    network = await VirtualNetwork.create({ mtu: 65_535 });
    guest = attachGuest(network, '5a:94:ef:e4:0c:ee').guest;
    await guest.dhcp();
    guest.onDatagram(7, ({ payload, from, port }) => guest.sendDatagram(7, from, port, payload));
  });
  after(async () => {
    for (const socket of sockets) socket.close();
    await network.close();
  });

  function expose(local: string, port = 7): Promise<Forward> {
    return network.forwards.expose({ protocol: 'udp', local, remote: `192.168.127.2:${port}` });
  }

  async function client(address = '127.0.0.1'): Promise<Socket> {
    const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
    sockets.push(socket);
    socket.bind(0, address);
    await once(socket, 'listening');
    return socket;
  }

  async function echo(socket: Socket, port: number, payload: Uint8Array, host = '127.0.0.1'): Promise<RemoteInfo> {
    const answer = once(socket, 'message');
    socket.send(payload, port, host);
    const [message, from] = (await answer) as [Buffer, RemoteInfo];
    assert.deepEqual(message, Buffer.from(payload));
    return from;
  }

  test('§10.2: carries datagrams both ways, the empty one and the largest too', async () => {
    const { boundPort } = await expose('127.0.0.1:0');
    const socket = await client();
    for (const size of [5, 0, 1472, 1473, 9000, 65_507]) {
      const from = await echo(socket, boundPort!, Buffer.alloc(size, size));
      assert.deepEqual([from.address, from.port], ['127.0.0.1', boundPort]);
    }
    network.forwards.unexpose('udp', '127.0.0.1:0');
  });

  test('§10.2: each client has a conversation of its own, from ports of the gateway', async () => {
    const { boundPort } = await expose('127.0.0.1:0', 9);
    const seen = new Map<string, string>();
    guest.onDatagram(9, ({ payload, from, port }) => {
      seen.set(Buffer.from(payload).toString(), `${from}:${port}`);
      guest.sendDatagram(9, from, port, Buffer.from(`to ${Buffer.from(payload).toString()}`));
    });
    const clients = await Promise.all(Array.from({ length: 50 }, () => client()));
    const answers = await Promise.all(
      clients.map(async (socket, i) => {
        const answer = once(socket, 'message');
        socket.send(`client ${i}`, boundPort!, '127.0.0.1');
        return String(((await answer) as [Buffer])[0]);
      }),
    );
    assert.deepEqual(
      answers,
      clients.map((_, i) => `to client ${i}`),
    );
    assert.equal(new Set(seen.values()).size, 50);
    for (const from of seen.values()) {
      const [address, port] = from.split(':');
      assert.equal(address, '192.168.127.1');
      assert.ok(Number(port) >= 16_000, port);
    }
    network.forwards.unexpose('udp', '127.0.0.1:0');
  });

  test('a listener on every address answers from the one that was asked, in both families', async () => {
    const { boundPort } = await expose(':0');
    const socket = await client('0.0.0.0');
    for (const address of ['127.0.0.1', '127.0.0.2', '127.1.2.3']) {
      assert.equal((await echo(socket, boundPort!, Buffer.from('who?'), address)).address, address);
    }
    assert.equal((await echo(await client('::1'), boundPort!, Buffer.from('who?'), '::1')).address, '::1');
    network.forwards.unexpose('udp', ':0');
    const forward = await expose('0.0.0.0:0');
    assert.equal((await echo(socket, forward.boundPort!, Buffer.from('who?'), '127.0.0.3')).address, '127.0.0.3');
    forward.close();
  });

  test('§10.2: unexpose ends the socket and its conversations', async () => {
    const { boundPort } = await expose('127.0.0.1:0', 11);
    let heard: { from: string; port: number } | undefined;
    guest.onDatagram(11, ({ from, port }) => (heard = { from, port }));
    const socket = await client();
    socket.connect(boundPort!, '127.0.0.1');
    await once(socket, 'connect');
    let answered = false;
    socket.on('message', () => (answered = true));
    socket.on('error', () => {});
    socket.send('x');
    await until(() => heard !== undefined, 'the datagram');
    network.forwards.unexpose('udp', '127.0.0.1:0');
    guest.sendDatagram(11, heard!.from, heard!.port, Buffer.from('late'));
    // The gateway has nobody on that port any more, and has dealt with the datagram when it answers the ping.
    await guest.ping('192.168.127.1');
    assert.equal(answered, false);
    const gone = once(socket, 'error');
    socket.send('x');
    assert.equal(((await gone) as unknown as [NodeJS.ErrnoException])[0].code, 'ECONNREFUSED');
  });
});
