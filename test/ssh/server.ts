/** An SSH server in this process, and a unix-socket service behind it, for the tests of this folder. */
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect as connectTo, createServer, type AddressInfo, type Server as NetServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { once } from 'node:events';
import ssh2, { type Connection, type ParsedKey, type ServerChannel } from 'ssh2';
import type { Dial } from '../../src/ssh/connection.ts';
import type { SshLog } from '../../src/ssh/log.ts';
import type { SshTarget } from '../../src/ssh/target.ts';

export interface KeyPair {
  readonly private: string;
  /** As authorized_keys has it. */
  readonly public: string;
}

/** Not with ssh2's own generator: one in some Ed25519 keys that it makes is malformed. */
export function ecdsaKeys(): KeyPair {
  const encoding = { type: 'sec1', format: 'pem' } as const;
  const publicKeyEncoding = { type: 'spki', format: 'pem' } as const;
  return withPublic(generateKeyPairSync('ec', { namedCurve: 'prime256v1', privateKeyEncoding: encoding, publicKeyEncoding }).privateKey);
}

export function rsaKeys(): KeyPair {
  const privateKeyEncoding = { type: 'pkcs1', format: 'pem' } as const;
  const publicKeyEncoding = { type: 'spki', format: 'pem' } as const;
  return withPublic(generateKeyPairSync('rsa', { modulusLength: 2048, privateKeyEncoding, publicKeyEncoding }).privateKey);
}

function withPublic(pem: string): KeyPair {
  const key = ssh2.utils.parseKey(pem);
  if (key instanceof Error) throw key;
  return { private: pem, public: `${key.type} ${key.getPublicSSH().toString('base64')}` };
}

export const HOST_KEY: KeyPair = ecdsaKeys();
export const CLIENT_KEY: KeyPair = ecdsaKeys();

export function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'guestwire-ssh-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export interface ServerOptions {
  readonly hostKeys?: readonly string[];
  /** Public keys that may log in; CLIENT_KEY's without. */
  readonly keys?: readonly string[];
  readonly password?: string;
  readonly port?: number;
  /** Instead of joining a channel to the socket that it asks for. */
  readonly onChannel?: (channel: ServerChannel, path: string) => void;
  /** Instead of answering a request for a channel; `reject` refuses it. */
  readonly onOpen?: (accept: () => ServerChannel, reject: () => void, path: string) => void;
}

export class SshServer {
  readonly server: InstanceType<typeof ssh2.Server>;
  readonly connections: Connection[] = [];
  readonly idents: string[] = [];
  readonly opened: string[] = [];
  readonly sockets: Socket[] = [];
  /** Of the public keys that were offered. */
  readonly algorithms: string[] = [];
  logins = 0;
  readonly #options: ServerOptions;
  readonly #net: NetServer;

  static async start(t: TestContext, options: ServerOptions = {}): Promise<SshServer> {
    const server = new SshServer(options);
    t.after(() => server.stop());
    await server.listening();
    return server;
  }

  private constructor(options: ServerOptions) {
    this.#options = options;
    this.server = new ssh2.Server({ hostKeys: [...(options.hostKeys ?? [HOST_KEY.private])] }, (client, { header }) => {
      this.idents.push(header.identRaw);
      this.#client(client);
    });
    this.#net = createServer({ noDelay: true }, (socket) => {
      this.sockets.push(socket);
      socket.on('error', () => {});
      this.server.injectSocket(socket);
    });
    this.#net.listen(options.port ?? 0, '127.0.0.1');
  }

  async listening(): Promise<void> {
    if (!this.#net.listening) await once(this.#net, 'listening');
  }

  get port(): number {
    return (this.#net.address() as AddressInfo).port;
  }

  /** As when the guest is switched off: every connection ends. */
  stop(): void {
    this.#net.close();
    for (const socket of this.sockets) socket.destroy();
  }

  #client(client: Connection): void {
    this.connections.push(client);
    client.on('error', () => {});
    const keys = (this.#options.keys ?? [CLIENT_KEY.public]).map((text) => ssh2.utils.parseKey(text) as ParsedKey);
    client.on('authentication', (context) => {
      if (context.method === 'password' && context.password === this.#options.password) return context.accept();
      if (context.method !== 'publickey') return context.reject(['publickey', 'password']);
      const key = keys.find((candidate) => candidate.getPublicSSH().equals(context.key.data));
      if (key === undefined) return context.reject();
      if (context.signature === undefined || context.blob === undefined) return context.accept();
      this.algorithms.push(context.key.algo);
      return key.verify(context.blob, context.signature, context.hashAlgo) ? context.accept() : context.reject();
    });
    client.on('ready', () => this.logins++);
    client.on('openssh.streamlocal', (accept, reject, { socketPath }) => {
      this.opened.push(socketPath);
      if (this.#options.onOpen !== undefined) {
        this.#options.onOpen(accept, reject, socketPath);
        return;
      }
      if (this.#options.onChannel !== undefined) {
        this.#options.onChannel(accept(), socketPath);
        return;
      }
      const socket = connectTo({ path: socketPath, allowHalfOpen: true });
      // A channel that is accepted behind the end of its connection is never closed.
      client.once('close', () => socket.destroy());
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.off('error', reject);
        socket.on('error', () => channel.close());
        const channel = accept();
        // ssh2 closes its side of a channel with the first end; sshd, like us, with the second.
        channel.on('data', (chunk: Buffer) => {
          if (!socket.write(chunk)) channel.pause();
        });
        socket.on('drain', () => channel.resume());
        channel.on('end', () => socket.end());
        socket.on('data', (chunk) => {
          if (!channel.write(chunk)) socket.pause();
        });
        channel.on('drain', () => socket.resume());
        socket.on('end', () => channel.eof());
        socket.on('close', () => channel.close());
        channel.on('close', () => socket.destroy());
      });
    });
  }
}

export function dialTo(port: () => number): Dial {
  return async (_host, _port, { signal }) => {
    const socket = connectTo({ port: port(), host: '127.0.0.1', noDelay: true });
    const abort = (): void => void socket.destroy();
    signal?.addEventListener('abort', abort);
    try {
      await once(socket, 'connect', { ...(signal !== undefined && { signal }) });
    } finally {
      signal?.removeEventListener('abort', abort);
    }
    return socket;
  };
}

export class RecordedLog implements SshLog {
  readonly lines: string[] = [];

  error(text: string): void {
    this.lines.push(`error ${text}`);
  }

  warning(text: string): void {
    this.lines.push(`warning ${text}`);
  }

  info(text: string): void {
    this.lines.push(`info ${text}`);
  }

  debug(text: string): void {
    this.lines.push(`debug ${text}`);
  }

  /** Without what is for debugging. */
  get spoken(): string[] {
    return this.lines.filter((line) => !line.startsWith('debug '));
  }
}

export function targetOf(fields: Partial<SshTarget> & { identity: string }): SshTarget {
  const fixed = { host: '192.168.127.2', port: 22, user: 'core', password: undefined, passphrase: undefined, secure: false };
  return { ...fixed, path: '/run/service.sock', ...fields };
}
