/** Takes a connection out of Node's hands: from then on it is a descriptor of ours. */
import { Socket } from 'node:net';
import { ArgumentError } from '../errors.ts';
import { EBADF } from '../system/errno.ts';
import { check, SystemError } from '../system/error.ts';
import { duplicate } from '../system/syscalls.ts';

/** What Node keeps the descriptor in. Not documented, and there since Node 0.x; there is no other way. */
interface Handle {
  readonly fd: number;
  readStop(): void;
}

/** `rest`: what Node has read, and nobody has taken. Throws SystemError when the connection is closed already, or no descriptor is left. */
export function takeOver(socket: Socket): { fd: number; rest: Uint8Array } {
  if (!(socket instanceof Socket)) throw new ArgumentError(`attachSocket wants a connection of node:net, not ${String(socket)}`);
  const handle = (socket as unknown as { readonly _handle: Handle | null })._handle;
  if (handle === null || handle.fd < 0) throw new SystemError('dup', EBADF);
  handle.readStop();
  const rest: Uint8Array[] = [];
  for (let chunk = socket.read() as Uint8Array | null; chunk !== null; chunk = socket.read() as Uint8Array | null) rest.push(chunk);
  // Nonblocking already: that belongs to the connection, and both descriptors are of the same one.
  const fd = check(duplicate(handle.fd), 'dup');
  socket.destroy();
  return { fd, rest: Buffer.concat(rest) };
}
