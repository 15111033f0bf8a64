/** A TCP port of the virtual network that this process serves. */
import { EventEmitter } from 'node:events';
import type { Listener, Peer } from '../flow/listener.ts';
import type { GuestConnection } from './guest-connection.ts';

export interface GuestServerEvents {
  connection: [connection: GuestConnection, peer: Peer];
  /** It serves no more: it was closed, its signal has aborted, or the network was closed. */
  close: [];
}

/** Connections that are open go on when it is closed. */
export class GuestServer extends EventEmitter<GuestServerEvents> implements Listener, Disposable {
  /** As guests see it. */
  readonly address: string;
  readonly port: number;
  #stop: (() => void) | null = null;

  constructor(address: string, port: number) {
    super();
    this.address = address;
    this.port = port;
  }

  /** Once; `stop` ends what was begun for it. */
  started(stop: () => void): this {
    this.#stop = stop;
    return this;
  }

  get listening(): boolean {
    return this.#stop !== null;
  }

  close(): void {
    const stop = this.#stop;
    if (stop === null) return;
    this.#stop = null;
    stop();
    this.emit('close');
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
