/** With `guard: 'lease'` an address is whose the switch says, for the gateway too, whoever used it before. */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { VirtualNetwork } from '../../src/index.ts';
import { IpAddress } from '../../src/packet/address.ts';
import { finish, pseudoIpv6, sum } from '../../src/packet/checksum.ts';
import { attachGuest } from '../../src/testing/index.ts';

const HOSTILE = '5a:94:ef:00:00:01';
const LATE = '5a:94:ef:00:00:07';
/** What the kernel of the second one makes of its MAC address. */
const ADDRESS = 'fd01:2:3:4:5894:efff:fe00:7';
const HOST = 'fd01:2:3:4::254';
const UDP = 17;

const wordsOf = (text: string): [number, number, number, number] => {
  const { w0, w1, w2, w3 } = IpAddress.parse(text)!;
  return [w0, w1, w2, w3];
};

/** A datagram from `source` in a frame of the first VM to the gateway. */
function datagram(source: string, destination: string, from: number, to: number): Buffer {
  const words = [...wordsOf(source), ...wordsOf(destination)].map((word) => (word >>> 0).toString(16).padStart(8, '0')).join('');
  const frame = Buffer.from(`5a94efe40cdd${HOSTILE.replaceAll(':', '')}86dd60000000000c1140${words}${'00'.repeat(12)}`, 'hex');
  const [at, length] = [54, 12];
  frame.writeUInt16BE(from, at);
  frame.writeUInt16BE(to, at + 2);
  frame.writeUInt16BE(length, at + 4);
  const pseudo = pseudoIpv6(...wordsOf(source), ...wordsOf(destination), UDP, length);
  frame.writeUInt16BE(finish(sum(frame, at, length, pseudo)), at + 6);
  return frame;
}

test('who used an address before its owner came neither keeps it by what it began from there, nor has him hear of that', async () => {
  await using network = await VirtualNetwork.create({ ipv4: false, subnet6: 'fd01:2:3:4::/64', guard: 'lease' });
  const host = createSocket('udp6').bind(0, '::1');
  await once(host, 'listening');
  const server = createServer((socket) => socket.end('answer')).listen(0, '::1');
  await once(server, 'listening');
  try {
    const hostile = attachGuest(network, HOSTILE);
    const heard = once(host, 'message');
    hostile.port.send(datagram(ADDRESS, HOST, 5000, host.address().port));
    const [, peer] = (await heard) as [Buffer, AddressInfo];
    assert.equal(network.flows.size.udp, 1);
    const { guest } = attachGuest(network, LATE);
    const received: unknown[] = [];
    guest.onDatagram(5000, (each) => void received.push(each));
    assert.equal((await guest.slaac()).address, ADDRESS);
    // What is late for the other one's conversation is nobody's.
    host.send('late', peer.port, '::1');
    assert.ok((await guest.ping('fd01:2:3:4::1')) >= 0, 'at once');
    const closed = once(server, 'connection').then(([served]) => once(served as Socket, 'close'));
    const socket = await guest.connect(HOST, (server.address() as AddressInfo).port);
    socket.end();
    assert.equal(await text(socket), 'answer');
    await closed;
    assert.deepEqual(received, []);
    assert.equal(network.flows.size.udp, 0, 'its flow has ended');
    // The other one does not get it back.
    const { rxForged } = hostile.port.counters;
    hostile.port.send(datagram(ADDRESS, HOST, 5000, host.address().port));
    assert.ok((await guest.ping('fd01:2:3:4::1')) >= 0);
    assert.equal(hostile.port.counters.rxForged, rxForged + 1);
    assert.deepEqual(guest.errors, []);
  } finally {
    host.close();
    server.close();
  }
});
