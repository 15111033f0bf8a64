/**
 * The unix socket of a forward. Node accepts whatever comes, so its server is there only while connections are wanted: the
 * kernel keeps the socket, and who comes meanwhile, as long as one descriptor of it is open.
 */
import { fchmodSync, lstatSync, statSync, unlinkSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { AF_UNIX, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK, SOCK_STREAM } from '../system/constants.ts';
import { EADDRINUSE, ECONNREFUSED, EINVAL } from '../system/errno.ts';
import { check, SystemError } from '../system/error.ts';
import { writeUnixSockaddr } from '../system/memory.ts';
import { addressOf, bindSocket, close, connect, duplicate, listen, socket } from '../system/syscalls.ts';

/** Connections of one socket at a time; more wait in the kernel. */
const CONNECTION_LIMIT = 1024;
const BACKLOG = 4096;
/** Milliseconds until we listen again after that failed, for want of descriptors. */
const RETRY = 1000;

export class LocalSocket {
  readonly path: string;
  readonly #fd: number;
  readonly #inode: number;
  readonly #onConnection: (socket: Socket) => void;
  readonly #connections = new Set<Socket>();
  #server: Server | undefined;
  #accepting = false;
  #closed = false;
  #retry: NodeJS.Timeout | undefined;

  /**
   * Listens at once, with mode 0600 and after removing a socket that nobody listens on; nothing is accepted before `accept` is
   * called. Connections are handed over paused and half-open. Throws SystemError.
   */
  constructor(path: string, onConnection: (socket: Socket) => void) {
    this.path = path;
    this.#onConnection = onConnection;
    this.#fd = bound(path);
    this.#inode = statSync(path).ino;
  }

  get connections(): ReadonlySet<Socket> {
    return this.#connections;
  }

  /** Takes the connections that wait, and those to come. */
  accept(): void {
    this.#accepting = true;
    this.#update();
  }

  /** Connections that are open go on; those that wait are refused. The file is removed, unless somebody has put another there. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#accepting = false;
    this.#update();
    close(this.#fd);
    try {
      if (statSync(this.path).ino === this.#inode) unlinkSync(this.path);
    } catch {
      // Somebody else has removed it.
    }
  }

  #update(): void {
    const wanted = this.#accepting && this.#connections.size < CONNECTION_LIMIT;
    clearTimeout(this.#retry);
    this.#retry = undefined;
    if (wanted && this.#server === undefined) this.#serve();
    else if (!wanted && this.#server !== undefined) {
      this.#server.close();
      this.#server = undefined;
    }
  }

  #serve(): void {
    const fd = duplicate(this.#fd);
    if (fd < 0) {
      this.#retry = setTimeout(() => this.#update(), RETRY);
      return;
    }
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (connection) => this.#take(connection));
    this.#server = server;
    server.on('error', () => {
      server.close();
      if (this.#server !== server) return;
      this.#server = undefined;
      this.#retry = setTimeout(() => this.#update(), RETRY);
    });
    server.listen({ fd, backlog: BACKLOG });
  }

  #take(connection: Socket): void {
    this.#connections.add(connection);
    connection.on('error', () => connection.destroy());
    connection.once('close', () => {
      this.#connections.delete(connection);
      this.#update();
    });
    this.#update();
    this.#onConnection(connection);
  }
}

/** The descriptor of a listening socket at `path`. */
function bound(path: string): number {
  const scratch = new ArrayBuffer(256);
  const context = { address: path };
  const size = writeUnixSockaddr(new Uint8Array(scratch), 0, path);
  if (size < 0) throw new SystemError('bind', EINVAL, { ...context, advice: 'a unix socket path has 1 to 107 bytes' });
  removeStale(path, addressOf(scratch), size);
  const fd = check(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), 'socket', context);
  try {
    // Linux gives the file the mode of the socket: it never exists with another one, and the process's umask stays alone.
    fchmodSync(fd, 0o600);
    check(bindSocket(fd, addressOf(scratch), size), 'bind', context);
    check(listen(fd, BACKLOG), 'listen', context);
    return fd;
  } catch (error) {
    close(fd);
    throw error;
  }
}

/** What an earlier process has left may go. What else stands there is somebody's, and a guest that uses the API must not be able to delete it. */
function removeStale(path: string, address: number, size: number): void {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw new SystemError('bind', EADDRINUSE, { address: path, advice: 'what stands there is not a socket: choose another path' });
  }
  // Of another kind: a server would take one of its own kind for a client.
  const fd = check(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), 'socket', { address: path });
  const answer = connect(fd, address, size);
  close(fd);
  if (answer === -ECONNREFUSED) unlinkSync(path);
}
