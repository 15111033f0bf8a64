/** A port or unix socket of the host that leads to a guest. */
import type { Forward, ForwardProtocol, ForwardRequest } from './forward.ts';

/** What listens: closing it ends that, and for UDP the conversations. */
export interface Listening {
  /** The port that was bound; 0 for a unix socket. */
  readonly port: number;
  close(): void;
}

export class HostForward implements Forward {
  readonly protocol: ForwardProtocol;
  readonly local: string;
  readonly remote: string;
  readonly #listening: Listening;
  readonly #closing: (forward: HostForward) => void;
  #closed = false;

  /** `closing` is called once. */
  constructor(
    protocol: ForwardProtocol,
    { local, remote }: Omit<ForwardRequest, 'protocol'>,
    listening: Listening,
    closing: (forward: HostForward) => void,
  ) {
    this.protocol = protocol;
    this.local = local;
    this.remote = remote;
    this.#listening = listening;
    this.#closing = closing;
  }

  /** The host's port, chosen by the host where port 0 was asked for; 0 for a unix socket. */
  get port(): number {
    return this.#listening.port;
  }

  get boundPort(): number | undefined {
    return this.protocol === 'unix' ? undefined : this.port;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Ends listening. TCP connections that are there go on, through unix sockets too; the conversations of UDP end. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#listening.close();
    this.#closing(this);
  }
}
