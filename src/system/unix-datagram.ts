/** Unix datagram sockets: whom they may send to, and how they make room for their successor. */
import { renameSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { randomBytes } from 'node:crypto';
import { AF_UNIX, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK } from './constants.ts';
import { addressOf, close, connect, socket } from './syscalls.ts';
import { bindUnix, type UnixListener } from './unix-listener.ts';

const address: Uint8Array<ArrayBuffer> = new Uint8Array(new ArrayBuffer(128));

/**
 * A socket of ours, without a name, connected to the one at `peer` (a sockaddr_un): epoll tells when that one takes more. A negative
 * errno else: -ECONNREFUSED or -ENOENT when nobody is there, -EPERM when the peer is connected to a socket and hears only that.
 */
export function connectDatagram(peer: Uint8Array): number {
  const fd = datagramSocket();
  if (fd < 0) return fd;
  const status = connectTo(fd, peer);
  if (status === 0) return fd;
  close(fd);
  return status;
}

/** A socket without a name, connected to nobody; or a negative errno. */
export function datagramSocket(): number {
  return socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/** Connects `fd`, whether it is connected already or not. Returns 0, or a negative errno: see `connectDatagram`. */
export function connectTo(fd: number, peer: Uint8Array): number {
  address.set(peer);
  return connect(fd, addressOf(address.buffer), peer.length);
}

/**
 * Puts a new socket at `path` in place of `old`, which those who are connected to it keep. Null when that can't be done: somebody
 * else's file stands there, or the folder takes none.
 */
export function succeed(path: string, old: UnixListener): UnixListener | null {
  const provisional = join(dirname(path), `.${randomBytes(4).toString('hex')}`);
  let bound: UnixListener | undefined;
  try {
    if (!old.owns(path)) return null;
    bound = bindUnix(provisional, { type: SOCK_DGRAM });
    renameSync(provisional, path);
    return bound.movedTo(path);
  } catch {
    if (bound !== undefined) {
      close(bound.fd);
      bound.remove();
    }
    return null;
  }
}
