/** A unix socket of the host that leads to a unix socket in a guest, through SSH (contract §14.4, §14.6). */
import { homedir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Socket } from 'node:net';
import { CredentialError, type Dial } from './connection.ts';
import { LocalSocket } from './local-socket.ts';
import type { SshLog } from './log.ts';
import { SshSession } from './session.ts';
import { splice } from './splice.ts';
import type { SshTarget } from './target.ts';

export interface SshForwardOptions {
  /** Path of the socket. A socket that nobody listens on is replaced; the new one has mode 0600. */
  readonly local: string;
  readonly remote: SshTarget;
  readonly dial: Dial;
  readonly log: SshLog;
  /** `first-connection`: SSH is connected when the first connection comes. `now`: connections wait in the kernel until it is. */
  readonly connect: 'now' | 'first-connection';
  /** With `now`: called once, after gvproxy's 60 attempts, with its text. The forward goes on trying until it is closed. */
  readonly onGivingUp?: (error: Error) => void;
  /** Path; the user's own without it. */
  readonly knownHosts?: string;
  /** Waits for milliseconds; rejects when `signal` is aborted. */
  readonly pause?: (milliseconds: number, signal: AbortSignal) => Promise<void>;
}

/** Contract §14.6. */
const ATTEMPTS = 60;
const FIRST_PAUSES: readonly number[] = [100, 200, 400, 800];
const PAUSE = 1000;

export class SshForward {
  readonly protocol = 'unix';
  readonly local: string;
  readonly remote: SshTarget;
  readonly #options: SshForwardOptions;
  readonly #session: SshSession;
  readonly #socket: LocalSocket;
  readonly #closing = new AbortController();

  /** The socket is there when this returns. Throws SystemError when it can't be opened. */
  constructor(options: SshForwardOptions) {
    const { local, remote, dial, log, knownHosts = join(homedir(), '.ssh', 'known_hosts') } = options;
    this.local = local;
    this.remote = remote;
    this.#options = options;
    this.#session = new SshSession({ target: remote, dial, log, knownHosts });
    this.#socket = new LocalSocket(local, (connection) => void this.#serve(connection));
    if (options.connect === 'now') void this.#setUp();
    else this.#socket.accept();
  }

  /** Until SSH is up, or the forward closed. The guest may boot for as long as it likes. */
  async #setUp(): Promise<void> {
    const { log, onGivingUp, pause = realPause } = this.#options;
    const { signal } = this.#closing;
    let credentials = '';
    for (let attempt = 1; !signal.aborted; attempt++) {
      try {
        await this.#session.connect();
        log.info(`Socket forward established: ${this.local} to ${this.remote.path}`);
        this.#socket.accept();
        return;
      } catch (error) {
        if (signal.aborted) return;
        const { message } = error as Error;
        log.debug(`ssh forward ${this.local}, attempt ${attempt}: ${message}`);
        // What only the user can mend is said at once, and once.
        if (error instanceof CredentialError && message !== credentials) log.warning(`ssh forward ${this.local}: ${message}`);
        if (error instanceof CredentialError) credentials = message;
        if (attempt === ATTEMPTS) onGivingUp?.(new Error(`setupProxy failed: timeout: ${message}`, { cause: error }));
        else if (attempt % ATTEMPTS === 0) log.warning(`ssh forward ${this.local} still waits for ${this.remote.host}: ${message}`);
      }
      await pause(FIRST_PAUSES[attempt - 1] ?? PAUSE, signal).catch(() => {});
    }
  }

  async #serve(connection: Socket): Promise<void> {
    try {
      const { channel, gate } = await this.#session.open();
      if (connection.destroyed) channel.close();
      else splice(connection, channel, gate);
    } catch (error) {
      if (!this.#closing.signal.aborted) this.#options.log.error((error as Error).message);
      connection.destroy();
    }
  }

  /** Removes the socket and ends its connections. */
  close(): void {
    this.#closing.abort();
    this.#socket.close();
    for (const connection of this.#socket.connections) connection.destroy();
    this.#session.close();
  }
}

async function realPause(milliseconds: number, signal: AbortSignal): Promise<void> {
  await sleep(milliseconds, undefined, { signal });
}
