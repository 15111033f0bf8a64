/** Opens the stream socket that an endpoint URL names, as Node's server (contract §5.1). */
import { lookup } from 'node:dns/promises';
import { once } from 'node:events';
import { type AddressInfo, createServer, isIP, type ListenOptions, type Server, type Socket } from 'node:net';
import { SystemError } from '../system/error.ts';
import { parseListenUrl } from '../system/listen-url.ts';
import { listenUnix } from '../system/unix-listener.ts';

const BACKLOG = 511;

export interface OpenServer {
  readonly server: Server;
  /** What was bound, with the port that the kernel chose for port 0. */
  readonly address: string;
  /** The host as the URL names it; undefined for a unix socket. */
  readonly host: string | undefined;
}

/**
 * `unix://PATH` or `tcp://HOST:PORT`; without HOST every address, port 0 for a free one. A stale file is not removed: whoever
 * starts us knows whether another process still uses it. The file has mode 0600; closing the server removes it, unless another has
 * taken its place. Rejects with SystemError, the resolver's error, or TypeError for a URL that names no place to listen on, with Go's messages.
 */
export async function openServer(url: string, accept: (socket: Socket) => void): Promise<OpenServer> {
  const place = parseListenUrl(url);
  // Half-open: a client may end its request and wait for the answer, and a tunnel's two directions end on their own.
  const server = createServer({ allowHalfOpen: true, noDelay: true }, accept);
  return place.path === undefined ? openTcp(server, place.host, place.port) : openUnix(server, place.path);
}

/** Node would make the socket with the mode that the umask leaves, and take away whatever stands at its path when it closes. */
async function openUnix(server: Server, path: string): Promise<OpenServer> {
  // At once: clients come as soon as the file is there.
  const { fd, remove } = listenUnix(path, BACKLOG);
  server.once('close', remove);
  await listen(server, { fd }, (errno) => {
    remove();
    throw new SystemError('listen', errno, { address: path });
  });
  return { server, address: `unix://${path}`, host: undefined };
}

async function openTcp(server: Server, host: string, port: number): Promise<OpenServer> {
  // IPv4 where a name has both families, as Go does.
  const address = host === '' || isIP(host) > 0 ? host : (await lookup(host, { verbatim: false })).address;
  await listen(server, address === '' ? { port } : { port, host: address }, (errno) => {
    throw new SystemError('bind', errno, { address, port });
  });
  const bound = server.address() as AddressInfo;
  return { server, address: `tcp://${bound.address.includes(':') ? `[${bound.address}]` : bound.address}:${bound.port}`, host };
}

async function listen(server: Server, options: ListenOptions | { fd: number }, failed: (errno: number) => never): Promise<void> {
  server.listen({ ...options, exclusive: true });
  try {
    await once(server, 'listening');
  } catch (error) {
    const { errno } = error as NodeJS.ErrnoException;
    if (errno === undefined) throw error;
    failed(Math.abs(errno));
  }
}
