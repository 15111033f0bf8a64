/**
 * The unix socket of a forward. Node accepts whatever comes, so its server is there only while connections are wanted: the
 * kernel keeps the socket, and who comes meanwhile, as long as one descriptor of it is open.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { close, duplicate } from '../system/syscalls.ts';
import { listenUnix, type UnixListener } from '../system/unix-listener.ts';

/** Connections of one socket at a time; more wait in the kernel. */
const CONNECTION_LIMIT = 1024;
const BACKLOG = 4096;
/** Milliseconds until we listen again after that failed, for want of descriptors. */
const RETRY = 1000;

export class LocalSocket {
  readonly path: string;
  readonly #listener: UnixListener;
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
    this.#listener = listenUnix(path, BACKLOG, { replaceDead: true });
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
    close(this.#listener.fd);
    this.#listener.remove();
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
    const fd = duplicate(this.#listener.fd);
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
