/** A VM that has a message socket to itself. */
import type { LinkEnvironment } from './link.ts';
import type { MessagePort } from './message-port.ts';
import { MessageSocket, type MessageSocketOwner, whyNotReceived } from './message-socket.ts';

export interface SingleOptions {
  /** A message of no bytes is the end of the connection, as on SOCK_SEQPACKET. */
  readonly endsWithEmpty?: boolean;
  /** Receiving may fail, and go on: what the error of an earlier message's delivery leaves behind. */
  readonly survives?: (errno: number) => boolean;
  readonly device?: boolean;
}

export class SinglePortSocket implements MessageSocketOwner {
  readonly socket: MessageSocket;
  readonly #port: MessagePort;
  readonly #options: SingleOptions;

  /** Takes over `fd`; `port` sends through it. Throws SystemError; RangeError when the arena is full. */
  constructor(fd: number, environment: LinkEnvironment, port: MessagePort, options: SingleOptions) {
    this.#port = port;
    this.#options = options;
    this.socket = new MessageSocket(fd, environment, this, options.device === true ? 'device' : 'socket');
    port.sendThrough(this.socket, null);
  }

  message(index: number): void {
    if (this.#options.endsWithEmpty === true && this.socket.region.length(index) === 0) this.#port.close(whyNotReceived(0));
    else this.#port.take(this.socket, index);
  }

  writable(): void {
    this.#port.flush();
  }

  failed(errno: number): void {
    if (this.#options.survives?.(errno) !== true) this.#port.close(whyNotReceived(errno));
  }
}
