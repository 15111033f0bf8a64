/**
 * Stream sockets of families that Node does not know (AF_VSOCK) as Node's own sockets and servers.
 *
 * Node's `net` takes a descriptor of a unix socket, keeps its number, and from then on only reads, writes, shuts down, accepts
 * and closes: calls that all stream sockets have. So it is given a unix socket that goes nowhere, whose number then comes to mean
 * ours, before Node's loop has looked at it.
 */
import { once } from 'node:events';
import { type Server, Socket } from 'node:net';
import { AF_UNIX, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM } from './constants.ts';
import { check } from './error.ts';
import { scratchAddress, scratchWords } from './scratch.ts';
import { bindSocket, close, replaceDescriptor, socket } from './syscalls.ts';

/** Takes over `fd`: connected, nonblocking. Its ends are independent. Throws SystemError; then `fd` is closed. */
export function adoptSocket(fd: number): Socket {
  const stand = standIn(fd);
  const adopted = new Socket({ fd: stand, allowHalfOpen: true });
  swap(fd, stand, () => adopted.destroy());
  return adopted;
}

/** Takes over `fd`: listening, nonblocking. Resolves when `server` accepts there. Rejects with SystemError; then `fd` is closed. */
export async function adoptListener(fd: number, server: Server): Promise<void> {
  const stand = standIn(fd);
  // Only the family: the kernel chooses a name, which no file has. Without a name there is no listening.
  scratchWords[0] = AF_UNIX;
  try {
    check(bindSocket(stand, scratchAddress(), 2), 'bind');
    server.listen({ fd: stand, exclusive: true });
  } catch (error) {
    close(stand);
    close(fd);
    throw error;
  }
  // Not listening: the error is about to be emitted, and the number is free.
  if (server.listening) swap(fd, stand, () => server.close());
  else close(fd);
  await once(server, 'listening');
}

function standIn(fd: number): number {
  const stand = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (stand < 0) close(fd);
  return check(stand, 'socket');
}

function swap(fd: number, stand: number, undo: () => void): void {
  const swapped = replaceDescriptor(fd, stand);
  close(fd);
  if (swapped < 0) undo();
  check(swapped, 'dup3');
}

/** What Node keeps a socket's descriptor in. Not documented, and there since Node 0.x; there is no other way. */
interface Handle {
  readonly fd: number;
}

/** Of an open socket; -1 when it is closed. It stays Node's. */
export function descriptorOf(socket: Socket): number {
  return (socket as unknown as { readonly _handle: Handle | null })._handle?.fd ?? -1;
}
