/** Servers inside a namespace: echoes on UDP and TCP port 7, and a resolver on each address given that answers with that address. */
import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';
import { once } from 'node:events';

const echo = createSocket('udp4');
echo.on('message', (message, peer) => echo.send(message, peer.port, peer.address));
await once(echo.bind(7), 'listening');
const server = createServer((socket) => void socket.on('error', () => {}).pipe(socket));
await once(server.listen(7), 'listening');
for (const address of process.argv.slice(2)) {
  const resolver = createSocket('udp4');
  resolver.on('message', (query, peer) => {
    const answer = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, ...address.split('.').map(Number)]);
    const header = Buffer.from([query[0]!, query[1]!, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
    // The question ends behind the name's zero byte, type and class.
    const end = query.indexOf(0, 12) + 5;
    resolver.send(Buffer.concat([header, query.subarray(12, end), answer]), peer.port, peer.address);
  });
  await once(resolver.bind(53, address), 'listening');
}
console.log('ready');
