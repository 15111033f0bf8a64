/** The host's servers of a soak: what guests send is hashed, what they are sent can be hashed by them. */
import { createHash } from 'node:crypto';
import type { Socket as DatagramSocket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { serveEcho, serveHash } from './host-servers.ts';

/** Ports of one address of the loopback, by what listens there. */
export interface SoakPorts {
  /** Answers with the sha256 of what it got, in hex. */
  readonly hash: number;
  /** The same, but reads slowly. */
  readonly slowHash: number;
  /** Asked for a number of bytes (one line, decimal), sends them: those of `pattern`. */
  readonly source: number;
  readonly echo: number;
  /** Reads a little, and resets. */
  readonly reset: number;
  readonly datagramEcho: number;
}

const CHUNK = 65_536;
const RESET_AFTER = 20_000;
const SLOW_CHUNK_PAUSE = 20;

/** What `source` sends: bytes that depend on their position. */
export function pattern(at: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  for (let i = 0; i < length; i++) bytes[i] = ((at + i) * 2654435761) >>> 24;
  return bytes;
}

const CYCLE = pattern(0, CHUNK);

/** sha256, in hex, of the first `length` bytes that `source` sends. */
export function sourceHash(length: number): string {
  const hash = createHash('sha256');
  for (let at = 0; at < length; at += CHUNK) hash.update(CYCLE.subarray(0, Math.min(CHUNK, length - at)));
  return hash.digest('hex');
}

/** Servers at one address, and how guests reach them. */
export interface SoakPlace {
  readonly version: 4 | 6;
  /** The host's address, and the gateway's, as guests know them. */
  readonly host: string;
  readonly gateway: string;
  readonly ports: SoakPorts;
}

/** And where they listen. */
type Addresses = Omit<SoakPlace, 'ports'> & { readonly loopback: string };

export class SoakHosts {
  readonly places: readonly SoakPlace[];
  readonly #servers: readonly Server[];
  readonly #datagrams: readonly DatagramSocket[];
  readonly #connections: Set<Socket>;

  private constructor(
    places: readonly SoakPlace[],
    servers: readonly Server[],
    datagrams: readonly DatagramSocket[],
    connections: Set<Socket>,
  ) {
    this.places = places;
    this.#servers = servers;
    this.#datagrams = datagrams;
    this.#connections = connections;
  }

  /** Servers at each of the addresses. */
  static async start(addresses: readonly Addresses[]): Promise<SoakHosts> {
    const connections = new Set<Socket>();
    const servers: Server[] = [];
    const datagrams: DatagramSocket[] = [];
    const serve = async (loopback: string, take: (socket: Socket) => void): Promise<number> => {
      const server = createServer({ allowHalfOpen: true }, (socket) => {
        connections.add(socket);
        socket.on('close', () => connections.delete(socket));
        socket.on('error', () => socket.destroy());
        take(socket);
      });
      servers.push(server);
      server.listen(0, loopback, 1024);
      await once(server, 'listening');
      return (server.address() as AddressInfo).port;
    };
    const places: SoakPlace[] = [];
    for (const { loopback, ...place } of addresses) {
      const hash = await serveHash(loopback);
      servers.push(hash.server);
      const echo = await serveEcho(loopback);
      datagrams.push(echo.socket);
      const ports = {
        hash: hash.port,
        slowHash: await serve(loopback, (socket) => void hashSlowly(socket).catch(() => socket.destroy())),
        source: await serve(loopback, (socket) => void send(socket).catch(() => socket.destroy())),
        echo: await serve(loopback, (socket) => void socket.pipe(socket)),
        reset: await serve(loopback, resetSoon),
        datagramEcho: echo.port,
      };
      places.push({ ...place, ports });
    }
    return new SoakHosts(places, servers, datagrams, connections);
  }

  /** Connections of guests that are open. */
  get open(): number {
    return this.#connections.size;
  }

  close(): void {
    for (const server of this.#servers) server.close();
    for (const socket of this.#connections) socket.destroy();
    for (const socket of this.#datagrams) socket.close();
  }
}

async function hashSlowly(socket: Socket): Promise<void> {
  const hash = createHash('sha256');
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    hash.update(chunk as Buffer);
    await new Promise((resolve) => {
      setTimeout(resolve, SLOW_CHUNK_PAUSE);
    });
  }
  socket.end(`${hash.digest('hex')}\n`);
}

async function send(socket: Socket): Promise<void> {
  let request = '';
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    request += (chunk as Buffer).toString();
    if (request.includes('\n')) break;
  }
  for (let left = Number.parseInt(request, 10); left > 0; left -= CHUNK) {
    if (!socket.write(CYCLE.subarray(0, Math.min(CHUNK, left)))) await once(socket, 'drain');
  }
  socket.end();
  socket.resume();
}

function resetSoon(socket: Socket): void {
  let got = 0;
  socket.on('data', ({ length }) => {
    got += length;
    if (got > RESET_AFTER) socket.resetAndDestroy();
  });
}
