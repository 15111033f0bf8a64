/** Resolvers over Node's own sockets, and the host's files: off the packet path, where convenience is worth more than speed. */
import { createSocket } from 'node:dgram';
import { readFileSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import type { Upstream } from './upstream.ts';
import type { FileSystem } from './watched-file.ts';

/** Resolvers listen here; tests have theirs elsewhere. */
const PORT = 53;

export class NodeUpstream implements Upstream {
  readonly #port: number;

  constructor(port: number = PORT) {
    this.#port = port;
  }

  askUdp(server: string, query: Uint8Array, timeout: number, accept: (answer: Uint8Array) => boolean): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      const socket = createSocket(server.includes(':') ? 'udp6' : 'udp4');
      // Nobody waits for an answer once the network is closed: neither keeps the process alive.
      const timer = setTimeout(() => finish(new Error(`no answer from ${server}`)), timeout).unref();
      socket.unref();
      let isOpen = true;
      const finish = (result: Error | Uint8Array): void => {
        if (!isOpen) return;
        isOpen = false;
        clearTimeout(timer);
        socket.close();
        if (result instanceof Error) reject(result);
        else resolve(result);
      };
      socket.on('error', finish);
      socket.on('message', (answer) => {
        if (accept(answer)) finish(answer);
      });
      // Connected, so that only this server's answers arrive and a closed port is an error at once.
      // Without a route Node calls back with the error instead of emitting it.
      socket.connect(this.#port, server, (error?: Error) => {
        if (error) finish(error);
        else socket.send(query, (failure) => failure && finish(failure));
      });
    });
  }

  askTcp(server: string, query: Uint8Array, timeout: number, accept: (answer: Uint8Array) => boolean): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      const socket = connect(this.#port, server);
      socket.unref();
      // For the whole exchange: a server that trickles is as good as none.
      const timer = setTimeout(() => finish(new Error(`no answer from ${server}`)), timeout).unref();
      let received = Buffer.alloc(0);
      const finish = (result: Error | Uint8Array): void => {
        clearTimeout(timer);
        socket.destroy();
        if (result instanceof Error) reject(result);
        else resolve(result);
      };
      socket.once('error', finish);
      socket.once('close', () => finish(new Error(`${server} has closed the connection`)));
      socket.on('data', (chunk) => {
        received = Buffer.concat([received, chunk]);
        if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
        const answer = received.subarray(2, 2 + received.readUInt16BE(0));
        finish(accept(answer) ? answer : new Error(`${server} has answered another question`));
      });
      const length = Buffer.alloc(2);
      length.writeUInt16BE(query.length);
      socket.write(Buffer.concat([length, query]));
    });
  }
}

export const nodeFiles: FileSystem = {
  version(path: string): string | undefined {
    try {
      const { mtimeMs, size, ino } = statSync(path);
      return `${mtimeMs}/${size}/${ino}`;
    } catch {
      return undefined;
    }
  },
  read(path: string): string {
    try {
      return readFileSync(path, 'utf8');
    } catch {
      return '';
    }
  },
};
