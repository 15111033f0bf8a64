/** One SSH connection to a guest, from its handshake to its end. */
import { constants } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import type { Duplex } from 'node:stream';
import type { Client, ClientChannel, ConnectConfig, ServerHostKeyAlgorithm } from 'ssh2';
import { keyType, knownHostKeys, type KnownHostKeys } from './known-hosts.ts';
import type { SshLog } from './log.ts';
import { usableKey } from './private-key.ts';
import { SendGate } from './send-gate.ts';
import type { SshTarget } from './target.ts';
import { Wire } from './wire.ts';

/** Connects to a port of a guest; `timeout` in milliseconds. Rejects when the guest can't be reached or `signal` is aborted. */
export type Dial = (host: string, port: number, options: { timeout: number; signal?: AbortSignal }) => Promise<Duplex>;

export interface SshConnectionOptions {
  readonly target: SshTarget;
  readonly dial: Dial;
  readonly log: SshLog;
  /** Path of the known_hosts file. */
  readonly knownHosts: string;
}

/** Milliseconds, contract §14.6. */
const DIAL_TIMEOUT = 5000;
/** Milliseconds; gvproxy waits for ever. */
const HANDSHAKE_TIMEOUT = 30_000;
/** Milliseconds between the questions whether the server still lives while a channel is opened. */
const OPEN_PATIENCE = 5000;
/** Milliseconds for a channel, with a server that lives. */
const OPEN_TIMEOUT = 30_000;
/** Bytes: ssh2 buffers 2 MiB and has granted 2 MiB more when the reader pauses. */
const CHANNEL_BUFFER = 5 << 20;
/** Bytes of a private key's file; 16,384 bits of RSA take 13,000. */
const KEY_FILE = 64 << 10;
/** Bytes of answers that a server asked for and does not read. */
const UNREAD_ANSWERS = 2 << 20;

/** In gvproxy's order, with what servers since OpenSSH 8.8 want in the place of ssh-rsa put first. */
const HOST_KEY_ALGORITHMS: readonly ServerHostKeyAlgorithm[] = [
  'rsa-sha2-256',
  'rsa-sha2-512',
  'ssh-rsa',
  'ecdsa-sha2-nistp256',
  'ecdsa-sha2-nistp384',
  'ecdsa-sha2-nistp521',
  'ssh-ed25519',
];

/** The guest answers, but key, user, password or host key do not fit: trying again helps only when somebody changes them. */
export class CredentialError extends Error {}

/** The server answered, and refused: the connection is well. */
export class ChannelRefused extends Error {}

export class SshConnection {
  readonly gate: SendGate;
  readonly #client: Client;
  readonly #wire: Wire;
  readonly #channels = new Set<ClientChannel>();
  #ended = false;
  #asking: Promise<boolean> | undefined;

  /** Rejects with an Error in Go's words; CredentialError when the guest was reached and they do not agree. */
  static async establish(options: SshConnectionOptions, signal: AbortSignal): Promise<SshConnection> {
    const { target, dial } = options;
    // Loading takes a while, and most networks never need it.
    const { default: ssh2 } = await import('ssh2');
    const known = await readKnownHosts(options);
    const config = configure(target, await readIdentity(target, ssh2.utils.parseKey), known);
    const socket = await dial(target.host, target.port, { timeout: DIAL_TIMEOUT, signal });
    const connection = new SshConnection(new ssh2.Client(), socket);
    await connection.#handshake(config, known, target, signal);
    return connection;
  }

  private constructor(client: Client, socket: Duplex) {
    this.#client = client;
    this.#wire = new Wire(socket, () => queueMicrotask(() => this.gate.release()));
    this.gate = new SendGate(this.#wire);
    this.#wire.on('drain', () => this.gate.release());
    this.#wire.on('close', () => {
      this.#ended = true;
      this.gate.clear();
    });
    // Errors that nobody waits for end the connection, and its end is what counts.
    client.on('error', () => this.destroy());
    client.on('end', () => this.destroy());
  }

  get ended(): boolean {
    return this.#ended;
  }

  destroy(): void {
    this.#ended = true;
    this.#wire.destroy();
  }

  #handshake(config: ConnectConfig, known: KnownHostKeys, target: SshTarget, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (error?: Error): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', abort);
        if (error === undefined) {
          resolve();
          return;
        }
        this.destroy();
        reject(error);
      };
      const abort = (): void => settle(new Error('the forward was closed'));
      const late = `ssh: handshake failed: no answer within ${HANDSHAKE_TIMEOUT / 1000} s`;
      const timer = setTimeout(() => settle(new Error(late)), HANDSHAKE_TIMEOUT);
      signal.addEventListener('abort', abort);
      let problem: string | undefined;
      const hostVerifier = (key: Buffer): boolean => {
        problem = hostKeyProblem(key, known);
        return problem === undefined;
      };
      this.#client.once('ready', () => settle());
      this.#client.once('close', () => settle(new Error('ssh: handshake failed: EOF')));
      this.#client.once('error', (error) => settle(handshakeError(error, target, problem)));
      this.#client.connect({ ...config, sock: this.#wire, hostVerifier });
      // Behind ssh2's own listener, which has paused the stream until it is ready.
      this.#wire.on('data', () => this.#judge());
      if (signal.aborted) abort();
    });
  }

  /** ssh2 holds nobody to the windows it grants, and answers whatever is asked. */
  #judge(): void {
    if (this.#wire.writableLength > UNREAD_ANSWERS) this.destroy();
    for (const channel of this.#channels) if (channel.readableLength > CHANNEL_BUFFER) this.destroy();
  }

  /** Opens a channel to a unix socket in the guest. Rejects with ChannelRefused when the server says no. */
  open(path: string): Promise<ClientChannel> {
    return new Promise((resolve, reject) => {
      let isPending = true;
      const finish = (): void => {
        isPending = false;
        clearInterval(questions);
        clearTimeout(limit);
      };
      const questions = setInterval(() => void this.#endIfDead(), OPEN_PATIENCE);
      const limit = setTimeout(() => {
        finish();
        reject(new Error(`no answer within ${OPEN_TIMEOUT / 1000} s`));
      }, OPEN_TIMEOUT);
      try {
        this.#client.openssh_forwardOutStreamLocal(path, (error, channel) => {
          if (error !== undefined) {
            finish();
            const { reason } = error as { reason?: unknown };
            reject(reason === undefined ? error : new ChannelRefused(refusal(error, Number(reason))));
          } else if (isPending) {
            finish();
            resolve(this.#watched(channel));
          } else channel.close();
        });
      } catch (error) {
        finish();
        reject(error as Error);
      }
    });
  }

  #watched(channel: ClientChannel): ClientChannel {
    this.#channels.add(channel);
    channel.once('close', () => this.#channels.delete(channel));
    channel.on('error', () => channel.close());
    // Nothing should come there, and what does must not pile up.
    channel.stderr.resume();
    return channel;
  }

  async #endIfDead(): Promise<void> {
    this.#asking ??= this.#answers().finally(() => (this.#asking = undefined));
    if (!(await this.#asking)) this.destroy();
  }

  /**
   * gvproxy asks `alive@gvproxy`. ssh2 can't send that, but any global request proves as much, for an unknown one is answered
   * too (RFC 4254 §4). This one asks for what we want anyway: no shells over this connection.
   */
  #answers(): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), OPEN_PATIENCE - 500);
      const answered = (): void => {
        clearTimeout(timer);
        resolve(!this.#ended);
      };
      try {
        this.#client.openssh_noMoreSessions(answered);
      } catch {
        answered();
      }
    });
  }
}

function configure(target: SshTarget, privateKey: string, known: KnownHostKeys): ConnectConfig {
  const methods: ('none' | 'publickey' | 'password')[] = ['none', 'publickey'];
  if (target.password !== undefined) methods.push('password');
  const types = new Set(known.accepted.map((key) => keyType(key)));
  return {
    username: target.user,
    privateKey,
    ...(target.password !== undefined && { password: target.password }),
    authHandler: methods,
    ident: 'Go',
    strictVendor: false,
    // Our own timer covers all of the handshake.
    readyTimeout: 0,
    // Only what known_hosts can judge, or a server with several keys might show another one.
    algorithms: { serverHostKey: HOST_KEY_ALGORITHMS.filter((name) => types.size === 0 || types.has(typeOfKey(name))) },
  };
}

function typeOfKey(algorithm: ServerHostKeyAlgorithm): string {
  return algorithm.startsWith('rsa-sha2-') ? 'ssh-rsa' : algorithm;
}

async function readIdentity({ identity, passphrase }: SshTarget, parse: (text: string) => unknown): Promise<string> {
  try {
    const key = await usableKey(await readKeyFile(identity), passphrase);
    const parsed = parse(key);
    if (parsed instanceof Error) throw parsed;
    return key;
  } catch (error) {
    throw new CredentialError(`identity file ${identity}: ${(error as Error).message}`, { cause: error });
  }
}

/** Guests name files too, through the API: reading a device never ends, opening a FIFO may wait for ever. */
async function readKeyFile(path: string): Promise<string> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stats = await file.stat();
    if (!stats.isFile() && !stats.isDirectory()) throw new Error('it is no regular file');
    if (stats.size > KEY_FILE && stats.isFile()) throw new Error(`it has ${stats.size} bytes: too many for a private key`);
    // Files of /proc say that they are empty, and may have no end either.
    const { buffer, bytesRead } = await file.read(Buffer.alloc(KEY_FILE), 0, KEY_FILE, 0);
    return buffer.toString('utf8', 0, bytesRead);
  } finally {
    await file.close();
  }
}

/** None when they are not asked for: then every host key will do. */
async function readKnownHosts({ target, log, knownHosts: path }: SshConnectionOptions): Promise<KnownHostKeys> {
  const { host, port, secure } = target;
  if (!secure) return { accepted: [], revoked: [] };
  const text = await readFile(path, 'utf8').catch((error: Error) => {
    log.debug(`known hosts can't be read: ${error.message}`);
    return '';
  });
  const known = knownHostKeys(text, host, port);
  if (known.accepted.length === 0) log.warning(`${path} has no key of ${host} port ${port}: its host key is not verified`);
  return known;
}

function hostKeyProblem(key: Buffer, { accepted, revoked }: KnownHostKeys): string | undefined {
  if (revoked.some((other) => other.equals(key))) return 'the host key is revoked';
  if (accepted.length > 0 && !accepted.some((other) => other.equals(key))) return 'ssh: host key mismatch';
  return undefined;
}

function handshakeError(error: Error & { level?: string }, target: SshTarget, hostKeyProblem: string | undefined): Error {
  if (hostKeyProblem !== undefined) return new CredentialError(`ssh: handshake failed: ${hostKeyProblem}`, { cause: error });
  if (error.level === 'client-authentication') {
    const methods = target.password === undefined ? 'none publickey' : 'none publickey password';
    const text = `ssh: unable to authenticate, attempted methods [${methods}], no supported methods remain`;
    return new CredentialError(`ssh: handshake failed: ${text} (user ${target.user}, key ${target.identity})`, { cause: error });
  }
  return new Error(`ssh: handshake failed: ${error.message}`, { cause: error });
}

const REASONS = ['', 'administratively prohibited', 'connect failed', 'unknown channel type', 'resource shortage'];

/** As Go prints it: `ssh: rejected: connect failed (open failed)`. */
function refusal(error: Error, reason: number): string {
  const detail = error.message.replace('(SSH) Channel open failure: ', '');
  return `ssh: rejected: ${REASONS[reason] ?? `unknown reason ${reason}`} (${detail})`;
}
