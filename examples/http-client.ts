/**
 * A network for tests of an HTTP client: a guest that runs the client, the server it talks to under its real name, and a network that
 * misbehaves when told. Nothing is opened on this machine.
 *
 * Here the client is `fetchTwice`, which tries once more when a connection is refused.
 */
import { createServer, get } from 'node:http';
import type { Duplex } from 'node:stream';
import { VirtualNetwork } from 'guestwire';
import { attachGuest, type SoftGuest } from 'guestwire/testing';

/** Documentation's address (RFC 5737): nobody has it. */
const SERVER = '203.0.113.80';

const dns = [{ name: 'example.com.', records: [{ name: 'api', ip: SERVER }] }];
await using network = await VirtualNetwork.create({ dns });
using _server = network.serve(
  createServer((request, response) => response.end(`hello, ${request.headers.host}`)),
  { host: SERVER, port: 80 },
);
const { guest } = attachGuest(network, '5a:94:ef:e4:0c:ee');
await guest.dhcp();

console.log('well:', await fetchTwice(guest, 'api.example.com', 80));
// From now on the first connection to port 8080 is refused; the next is answered.
let refused = 0;
network.onFlow(({ remotePort }) => {
  if (remotePort !== 8080) return 'allow';
  return refused++ === 0 ? 'deny' : { connection: (connection) => answer(connection) };
});
console.log('refused once:', await fetchTwice(guest, 'api.example.com', 8080));

function answer(connection: Duplex): void {
  createServer((_request, response) => response.end('hello at last')).emit('connection', connection);
}

async function fetchTwice(from: SoftGuest, host: string, port: number): Promise<string> {
  const [address] = await from.resolve(host);
  const socket = await from.connect(address!, port).catch(() => from.connect(address!, port));
  return new Promise((resolve, reject) => {
    const request = get({ host, port, createConnection: () => socket, headers: { connection: 'close' } }, (response) => {
      let body = '';
      response.on('data', (chunk: Buffer) => (body += chunk.toString()));
      response.on('end', () => resolve(body));
    });
    request.on('error', reject);
  });
}
