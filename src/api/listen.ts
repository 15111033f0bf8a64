/** Opens the stream socket that an endpoint URL names, as Node's server (contract §5.1). */
import { lookup } from 'node:dns/promises';
import { once } from 'node:events';
import { type AddressInfo, createServer, isIP, type ListenOptions, type Server, type Socket } from 'node:net';
import { activatedDescriptors, parseActivation } from '../system/activation.ts';
import { AF_INET, AF_INET6, AF_UNIX, AF_VSOCK } from '../system/constants.ts';
import { EAFNOSUPPORT } from '../system/errno.ts';
import { SystemError } from '../system/error.ts';
import { familyName, giveBack, parseDescriptor, takeInheritedListener } from '../system/inherited.ts';
import { parseListenUrl } from '../system/listen-url.ts';
import { adoptListener, descriptorOf } from '../system/node-socket.ts';
import { listenUnix } from '../system/unix-listener.ts';
import { vsockName, vsockPeer } from '../system/vsock.ts';
import { openVsockUrl } from '../system/vsock-listener.ts';
import { isVsockUrl } from '../system/vsock-url.ts';

const BACKLOG = 511;
const WANTED = 'unix:///PATH, tcp://HOST:PORT, vsock://:PORT, fd:NUMBER or systemd:NAME';

export interface OpenServer {
  readonly server: Server;
  /** What was bound, with the port that the kernel chose for port 0. */
  readonly address: string;
  /** The host as the URL names it; undefined where clients are of this machine or its VMs: a unix socket, vsock. */
  readonly host: string | undefined;
}

/** What a connection is called in the log. */
export function nameOf(socket: Socket): string {
  const { remotePort } = socket;
  const address = clientOf(socket);
  if (address !== undefined) return `${address.includes(':') ? `[${address}]` : address}:${remotePort}`;
  const peer = vsockPeer(descriptorOf(socket));
  return peer === undefined ? '@' : vsockName(peer);
}

/** IP address of the other end; undefined for what has none. */
export function clientOf({ remoteAddress }: Socket): string | undefined {
  return remoteAddress?.replace(/^::ffff:(?=[\d.]+$)/, '');
}

/** One URL for each socket to open: `systemd:` stands for those that systemd has passed. Throws SystemError when it has passed none of that name. */
export function listenUrls(url: string): string[] {
  const name = parseActivation(url);
  return name === undefined ? [url] : activatedDescriptors(name).map((fd) => `fd:${fd}`);
}

/**
 * `unix://PATH` or `tcp://HOST:PORT`; without HOST every address, port 0 for a free one; `vsock://` (see openVsockUrl); `fd:NUMBER`, a
 * listening socket that this process was started with. A stale file is not removed, but in a folder of vsock's ports: whoever starts us
 * knows whether another process still uses it. The file has mode 0600; closing the server removes it, unless another has
 * taken its place. Rejects with SystemError, the resolver's error, or TypeError for a URL that names no place to listen on, with Go's messages.
 */
export async function openServer(url: string, accept: (socket: Socket) => void): Promise<OpenServer> {
  // Half-open: a client may end its request and wait for the answer, and a tunnel's two directions end on their own.
  const server = createServer({ allowHalfOpen: true, noDelay: true }, accept);
  if (isVsockUrl(url)) return openVsock(server, url);
  const fd = parseDescriptor(url);
  if (fd !== undefined) return openInherited(server, fd);
  const place = parseListenUrl(url, WANTED);
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
  return { server, address: tcpAddress(server), host };
}

function tcpAddress(server: Server): string {
  const { address, port } = server.address() as AddressInfo;
  return `tcp://${address.includes(':') ? `[${address}]` : address}:${port}`;
}

async function openVsock(server: Server, url: string): Promise<OpenServer> {
  const { fd, address, remove } = openVsockUrl(url, BACKLOG);
  server.once('close', remove);
  try {
    await adoptListener(fd, server);
  } catch (error) {
    remove();
    throw error;
  }
  return { server, address, host: undefined };
}

/** The file of an inherited unix socket is whoever's who made it. */
async function openInherited(server: Server, fd: number): Promise<OpenServer> {
  const { family } = takeInheritedListener(fd);
  server.once('close', () => giveBack(fd));
  const refused = (errno: number): never => {
    giveBack(fd);
    throw new SystemError('listen', errno, { address: `fd:${fd}` });
  };
  if (family === AF_VSOCK) await adoptListener(fd, server);
  else if (family === AF_UNIX || family === AF_INET || family === AF_INET6) await listen(server, { fd }, refused);
  else refused(EAFNOSUPPORT);
  const isTcp = familyName(family) === 'tcp';
  const bound = isTcp ? server.address() : null;
  // By its address: which name it has is not known.
  const host = bound !== null && typeof bound === 'object' ? bound.address : undefined;
  return { server, address: isTcp ? tcpAddress(server) : `fd:${fd}`, host };
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
