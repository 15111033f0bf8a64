/**
 * Runs in the guest, alone (contract §15.5 and §18.2): a DNS server that answers every A query with 1.2.3.4, an HTTP server, and
 * what podman serves on its sockets, of root and of a user.
 */
import { createSocket } from 'node:dgram';
import { chmodSync, chownSync, mkdirSync } from 'node:fs';
import { createServer, type Server } from 'node:http';

const CORE = 1000;
const ROOTFUL = '/run/podman/podman.sock';
const ROOTLESS = `/run/user/${CORE}/podman/podman.sock`;

function hello(): Server {
  return createServer((_request, response) => response.end('Hello world!'));
}

/** podman's `/_ping`; any other path sends its body back, so that both directions and their ends can be seen. */
function podman(name: string): Server {
  return createServer((request, response) => {
    if (request.url === '/_ping') {
      response.writeHead(200, { 'content-length': 2, 'x-socket': name });
      response.end('OK');
    } else request.pipe(response);
  });
}

const dns = createSocket('udp4');
dns.on('message', (query, peer) => {
  let end = 12;
  while (query[end] !== 0) end += query[end]! + 1;
  const question = query.subarray(12, end + 5);
  const header = Buffer.from([query[0]!, query[1]!, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
  const isA = query.readUInt16BE(end + 1) === 1;
  if (!isA) header[7] = 0;
  const answer = isA ? Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 1, 2, 3, 4]) : Buffer.alloc(0);
  dns.send(Buffer.concat([header, question, answer]), peer.port, peer.address);
});
dns.bind(53);
hello().listen(8080);
for (const folder of ['/run/podman', `/run/user/${CORE}/podman`]) mkdirSync(folder, { recursive: true });
podman('rootful').listen(ROOTFUL);
podman('rootless').listen(ROOTLESS, () => {
  chownSync(ROOTLESS, CORE, CORE);
  chmodSync(ROOTLESS, 0o600);
  console.log('companion ready');
});
