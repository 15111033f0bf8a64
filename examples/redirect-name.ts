/** Redirects one host name to a local mock: a guest's connections to that name end in this process, all others go where they went. */
import { createServer } from 'node:http';
import { VirtualNetwork } from 'guestwire';
import { attachGuest } from 'guestwire/testing';

/** So that this runs without the Internet: names that lead to documentation's addresses (RFC 5737), and a host for those that aren't mocked. */
const dns = [
  {
    name: 'example.com.',
    records: [
      { name: 'payments', ip: '203.0.113.1' },
      { name: 'www', ip: '203.0.113.2' },
    ],
  },
];
await using network = await VirtualNetwork.create({ dns });
using _world = network.listen({ host: '203.0.113.2', port: 80 }, (connection) => connection.end('the real thing'));

const mock = createServer((request, response) => response.end(`mocked ${request.url}`));
network.onFlow(({ protocol, names }) => {
  if (protocol !== 'tcp' || !names.includes('payments.example.com')) return 'allow';
  return { connection: (connection) => void mock.emit('connection', connection) };
});

const { guest } = attachGuest(network, '5a:94:ef:e4:0c:ee');
await guest.dhcp();
for (const host of ['payments.example.com', 'www.example.com']) {
  const [address] = await guest.resolve(host);
  const socket = await guest.connect(address!, 80);
  socket.end(Buffer.from(`GET /pay HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`));
  let answer = '';
  for await (const chunk of socket) answer += Buffer.from(chunk as Uint8Array).toString();
  console.log(`${host}: ${answer.split('\r\n').at(-1)}`);
}
