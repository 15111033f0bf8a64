/** Servers on the host's loopback that guests talk to. */
import { createHash, randomFillSync } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { createServer as createHttpServer, type Server as HttpServer } from 'node:http';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { once } from 'node:events';

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

export function randomBytes(length: number): Buffer {
  return randomFillSync(Buffer.alloc(length));
}

/** Serves `files` by path, on the loopback or where `address` says. */
export async function serveFiles(files: ReadonlyMap<string, Buffer>, address = '127.0.0.1'): Promise<{ port: number; server: HttpServer }> {
  const server = createHttpServer((request, response) => {
    const body = files.get(request.url ?? '');
    response.writeHead(body === undefined ? 404 : 200, { 'content-length': body?.length ?? 0 });
    response.end(body);
  });
  server.listen(0, address);
  await once(server, 'listening');
  return { port: (server.address() as AddressInfo).port, server };
}

/** Answers each connection's bytes, once the client has finished sending, with their sha256. */
export async function serveHash(host = '127.0.0.1'): Promise<{ port: number; server: Server }> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const hash = createHash('sha256');
    socket.on('data', (chunk) => hash.update(chunk));
    socket.on('end', () => socket.end(`${hash.digest('hex')}\n`));
    socket.on('error', () => socket.destroy());
  });
  server.listen(0, host);
  await once(server, 'listening');
  return { port: (server.address() as AddressInfo).port, server };
}

/** Sends every datagram back. */
export async function serveEcho(host = '127.0.0.1'): Promise<{ port: number; socket: Socket }> {
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
  socket.on('message', (message, peer) => socket.send(message, peer.port, peer.address));
  socket.bind(0, host);
  await once(socket, 'listening');
  return { port: socket.address().port, socket };
}
