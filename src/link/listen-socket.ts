/** Opens the listening socket that an endpoint URL names (contract §5.1). */
import { lookup } from 'node:dns/promises';
import { unlinkSync } from 'node:fs';
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  IPPROTO_IPV6,
  IPV6_V6ONLY,
  SO_REUSEADDR,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
} from '../system/constants.ts';
import { EINVAL } from '../system/errno.ts';
import { check, SystemError } from '../system/error.ts';
import { readSockaddr, writeSockaddr, writeUnixSockaddr } from '../system/memory.ts';
import { addressOf, bindSocket, close, getsockname, listen, setsockopt, socket } from '../system/syscalls.ts';
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

/** `unix://PATH` or `tcp://HOST:PORT`. Throws SystemError, or TypeError for a URL that is none. */
export async function openListenSocket(url: string, arena: Arena): Promise<ListenSocket> {
  const parsed = new URL(url);
  const scratch = arena.allocate(256);
  try {
    if (parsed.protocol === 'unix:') return openUnix(decodeURIComponent(parsed.pathname), arena, scratch);
    if (parsed.protocol === 'tcp:') return await openTcp(parsed, arena, scratch);
    throw new SystemError('listen', EINVAL, { address: url, advice: 'unexpected scheme' });
  } finally {
    arena.free(scratch, 256);
  }
}

/** A stale file is not removed: whoever starts us knows whether another process still uses it. */
function openUnix(path: string, arena: Arena, scratch: number): ListenSocket {
  const context = { address: path };
  const size = writeUnixSockaddr(arena.bytes, scratch, path);
  if (size < 0) throw new SystemError('bind', EINVAL, { ...context, advice: 'a unix socket path has 1 to 107 bytes' });
  const fd = check(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), 'socket', context);
  start(fd, scratch, size, arena, context);
  const remove = (): void => {
    close(fd);
    try {
      unlinkSync(path);
    } catch {
      // Somebody else has removed it.
    }
  };
  return { fd, address: `unix://${path}`, close: remove };
}

async function openTcp(url: URL, arena: Arena, scratch: number): Promise<ListenSocket> {
  const port = Number(url.port);
  // URL lets `tcp://:80` through as a host of its own; gvproxy means every address.
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const address = IpAddress.parse(host === '' ? '::' : host) ?? IpAddress.parse((await lookup(host)).address)!;
  const context = { address: address.toString(), port };
  const fd = check(socket(address.isIpv4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), 'socket', context);
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

function start(fd: number, at: number, size: number, arena: Arena, context: { address: string; port?: number }): void {
  try {
    check(bindSocket(fd, addressOf(arena.memory.buffer) + at, size), 'bind', context);
    check(listen(fd, BACKLOG), 'listen', context);
  } catch (error) {
    close(fd);
    throw error;
  }
}
