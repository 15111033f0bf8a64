/** Sockets whose flow is gone, while the peer takes what it was sent (see StreamEndpoint.abandon). */

/** At once; beyond, a socket is closed with what it still had to send. */
const LIMIT = 256;

export class Leaving {
  readonly #sockets: Set<{ close(): void }> = new Set();

  /** False when there are too many. */
  admit(socket: { close(): void }): boolean {
    if (this.#sockets.size >= LIMIT) return false;
    this.#sockets.add(socket);
    return true;
  }

  delete(socket: { close(): void }): void {
    this.#sockets.delete(socket);
  }

  close(): void {
    for (const socket of this.#sockets) socket.close();
  }
}
