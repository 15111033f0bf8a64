/** Opens the listening socket that an endpoint URL names (contract §5.1). */
import { lookup } from 'node:dns/promises';
import {
  AF_INET,
  AF_INET6,
  IPPROTO_IPV6,
  IPV6_V6ONLY,
  SO_REUSEADDR,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
} from '../system/constants.ts';
import { check } from '../system/error.ts';
import { parseListenUrl } from '../system/listen-url.ts';
import { readSockaddr, writeSockaddr } from '../system/memory.ts';
import { addressOf, bindSocket, close, getsockname, listen, setsockopt, socket } from '../system/syscalls.ts';
import { listenUnix } from '../system/unix-listener.ts';
import { openVsockUrl } from '../system/vsock-listener.ts';
import { isVsockUrl } from '../system/vsock-url.ts';
import type { Arena } from '../runtime/arena.ts';
import { formatAddress, IpAddress } from '../packet/address.ts';

const BACKLOG = 128;

export interface ListenSocket {
  readonly fd: number;
  /** What was bound, with the port that the kernel chose for port 0: `unix:///run/vm.sock`, `tcp://127.0.0.1:4000`. */
  readonly address: string;
  /** Closes the socket and removes its file. */
  close(): void;
}

/**
 * `unix://PATH` or `tcp://HOST:PORT`; without HOST every address, port 0 for a free one; `vsock://` (see openVsockUrl). Throws SystemError, the resolver's
 * error, or TypeError for a URL that names no place to listen on, with Go's messages.
 */
export async function openListenSocket(url: string, arena: Arena): Promise<ListenSocket> {
  if (isVsockUrl(url)) return openVsock(url);
  const place = parseListenUrl(url);
  if (place.path !== undefined) return openUnix(place.path);
  const scratch = arena.allocate(256);
  try {
    return await openTcp(place.host, place.port, arena, scratch);
  } finally {
    arena.free(scratch, 256);
  }
}

/** A stale file is not removed: whoever starts us knows whether another process still uses it. */
function openUnix(path: string): ListenSocket {
  const { fd, remove } = listenUnix(path, BACKLOG);
  const closeBoth = (): void => {
    close(fd);
    remove();
  };
  return { fd, address: `unix://${path}`, close: closeBoth };
}

function openVsock(url: string): ListenSocket {
  const { fd, address, remove } = openVsockUrl(url, BACKLOG);
  const closeBoth = (): void => {
    close(fd);
    remove();
  };
  return { fd, address, close: closeBoth };
}

async function openTcp(host: string, port: number, arena: Arena, scratch: number): Promise<ListenSocket> {
  const address = host === '' ? everyAddress() : (IpAddress.parse(host) ?? (await resolved(host)));
  const context = { address: address.toString(), port };
  const fd = check(streamSocket(address), 'socket', context);
  const base = addressOf(arena.memory.buffer);
  arena.words[scratch >> 2] = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, base + scratch, 4);
  arena.words[scratch >> 2] = 0;
  if (!address.isIpv4) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, base + scratch, 4);
  const size = writeSockaddr(arena.bytes, scratch, address.w0, address.w1, address.w2, address.w3, port);
  start(fd, scratch, size, arena, context);
  arena.words[(scratch + 128) >> 2] = 128;
  check(getsockname(fd, base + scratch, base + scratch + 128), 'getsockname', context);
  const bound = readSockaddr(arena.bytes, scratch)!;
  const text = formatAddress(...bound.words);
  return { fd, address: `tcp://${text.includes(':') ? `[${text}]` : text}:${bound.port}`, close: () => void close(fd) };
}

/** Both families, or IPv4 on a kernel without IPv6. */
function everyAddress(): IpAddress {
  const every = new IpAddress(0, 0, 0, 0);
  const fd = streamSocket(every);
  if (fd < 0) return IpAddress.v4(0);
  close(fd);
  return every;
}

/** IPv4 where a name has both families, as Go does: QEMU's `connect=127.0.0.1:…` must find what `tcp://localhost:…` opened. */
async function resolved(host: string): Promise<IpAddress> {
  return IpAddress.parse((await lookup(host, { verbatim: false })).address)!;
}

/** A descriptor, or a negative errno. */
function streamSocket(address: IpAddress): number {
  return socket(address.isIpv4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

function start(fd: number, at: number, size: number, arena: Arena, context: { address: string; port?: number }): void {
  try {
    check(bindSocket(fd, addressOf(arena.memory.buffer) + at, size), 'bind', context);
    check(listen(fd, BACKLOG), 'listen', context);
  } catch (error) {
    close(fd);
    throw error;
  }
}
