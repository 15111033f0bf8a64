/** Ends connections of clients that are slow or silent (contract §13.2). */
import type { Duplex } from 'node:stream';

/** Milliseconds for a request to arrive, and for its answer; and a kept connection may be idle so long. */
const TIMEOUT = 10_000;

export class Deadline {
  readonly #connection: Duplex;
  readonly #timeout: number;
  #timer: NodeJS.Timeout | undefined;
  #lifted = false;

  constructor(connection: Duplex, timeout: number = TIMEOUT) {
    this.#connection = connection;
    this.#timeout = timeout;
    connection.once('close', () => this.lift());
    this.renew();
  }

  /** Another part of a request or answer has its time from now on. */
  renew(): void {
    clearTimeout(this.#timer);
    if (!this.#lifted) this.#timer = setTimeout(() => this.#connection.destroy(), this.#timeout).unref();
  }

  /** For connections that last: those taken over, and event streams. */
  lift(): void {
    this.#lifted = true;
    clearTimeout(this.#timer);
  }
}
