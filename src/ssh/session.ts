/** The SSH connection that the connections of a forward share: made when it is needed, made again when it is gone. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClientChannel } from 'ssh2';
import { ChannelRefused, SshConnection, type SshConnectionOptions } from './connection.ts';
import type { SendGate } from './send-gate.ts';

/** Contract §14.6. */
const TRIES = 3;
const PAUSE = 200;

export interface OpenedChannel {
  readonly channel: ClientChannel;
  readonly gate: SendGate;
}

export class SshSession {
  readonly #options: SshConnectionOptions;
  readonly #closing = new AbortController();
  #connection: SshConnection | undefined;
  #connecting: Promise<SshConnection> | undefined;

  constructor(options: SshConnectionOptions) {
    this.#options = options;
  }

  /** Resolves when there is a connection; whoever asks meanwhile waits for the same one. Rejects as SshConnection.establish does. */
  async connect(): Promise<SshConnection> {
    if (this.#connection?.ended === false) return this.#connection;
    this.#connecting ??= this.#establish().finally(() => (this.#connecting = undefined));
    return this.#connecting;
  }

  async #establish(): Promise<SshConnection> {
    const { signal } = this.#closing;
    signal.throwIfAborted();
    const connection = await SshConnection.establish(this.#options, signal);
    if (signal.aborted) {
      connection.destroy();
      signal.throwIfAborted();
    }
    this.#connection = connection;
    return connection;
  }

  /** Opens a channel to the target's socket, connecting anew where that is needed. Rejects with gvproxy's text (contract §14.6). */
  async open(): Promise<OpenedChannel> {
    const { target } = this.#options;
    let failure = '';
    for (let attempt = 1; ; attempt++) {
      let connection: SshConnection | undefined;
      try {
        connection = await this.connect();
        return { channel: await connection.open(target.path), gate: connection.gate };
      } catch (error) {
        const { message } = error as Error;
        failure =
          error instanceof ChannelRefused || connection !== undefined
            ? `couldn't reestablish ssh tunnel on path: ${target.path}: ${message}`
            : `couldn't reestablish ssh connection: ${target.host}:${target.port}: ${message}`;
      }
      if (attempt === TRIES || this.#closing.signal.aborted) throw new Error(failure);
      await sleep(PAUSE, undefined, { signal: this.#closing.signal });
    }
  }

  /** Ends the connection and with it all channels. */
  close(): void {
    this.#closing.abort();
    this.#connection?.destroy();
  }
}
