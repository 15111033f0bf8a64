// What a package that was just installed must be able to do, in two seconds and without root: a guest gets an address and a name, and
// TCP passes both ways. Prints one line, or fails. Imports the package by its name: it runs where that is installed.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { VirtualNetwork } from 'guestwire';
import { attachGuest } from 'guestwire/testing';

const BYTES = 1 << 20;
const DATA = Buffer.alloc(BYTES, 'guestwire');

async function received(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

const network = await VirtualNetwork.create();
const { guest } = attachGuest(network, '5a:94:ef:e4:0c:ee');
const { address } = await guest.dhcp();
assert.equal(address, '192.168.127.2');
assert.deepEqual(await guest.resolve('host.containers.internal'), ['192.168.127.254']);

// The guest calls a server of the host's.
const server = createServer((socket) => socket.pipe(socket)).listen(0, '127.0.0.1');
await once(server, 'listening');
const outward = await guest.connect('192.168.127.254', server.address().port);
outward.end(DATA);
assert.ok((await received(outward)).equals(DATA), 'guest to host and back');
server.close();

// The host calls a server of the guest's.
const forward = network.forward('127.0.0.1:0', '192.168.127.2:8080');
guest.listen(8080, (socket) => socket.pipe(socket));
const inward = connect(forward.port, '127.0.0.1');
inward.end(DATA);
assert.ok((await received(inward)).equals(DATA), 'host to guest and back');

await network.close();
console.log(`guestwire on Node ${process.version}: ${address}, ${2 * BYTES} bytes there and back`);
