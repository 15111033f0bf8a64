/** A VM that has a socket, or a device, to itself. */
import type { LinkEnvironment } from './link.ts';
import type { MessagePort } from './message-port.ts';
import type { MessageRegion } from './message-region.ts';
import { MessageSocket, type MessageSocketOwner, whyNotReceived } from './message-socket.ts';

export interface SingleOptions {
  readonly device?: boolean;
  /** A message of no bytes is the end of the connection, as on SOCK_SEQPACKET. */
  readonly endsWithEmpty?: boolean;
  /** Receiving goes on after `errno` (positive): what the fate of an earlier message left behind. */
  survives?(errno: number): boolean;
  /** A message of our own that has come back. */
  isOwn?(region: MessageRegion, index: number): boolean;
}

export class SinglePortSocket implements MessageSocketOwner {
  readonly socket: MessageSocket;
  readonly #port: MessagePort;
  readonly #options: SingleOptions;

  /** Takes over `fd` (nonblocking), unless it throws; `port` sends through it. Throws SystemError; RangeError when the arena is full. */
  constructor(fd: number, environment: LinkEnvironment, port: MessagePort, options: SingleOptions) {
    this.#port = port;
    this.#options = options;
    this.socket = new MessageSocket(fd, environment, this, options.device === true ? 'device' : 'socket');
    port.sendThrough(this.socket, null);
  }

  message(index: number): void {
    const { region } = this.socket;
    if (this.#options.isOwn?.(region, index) === true) return;
    if (this.#options.endsWithEmpty === true && region.length(index) === 0) this.#port.close(whyNotReceived(0));
    else this.#port.take(this.socket, index);
  }

  writable(): void {
    this.#port.flush();
  }

  failed(errno: number): void {
    if (this.#options.survives?.(errno) !== true) this.#port.close(whyNotReceived(errno));
  }
}
