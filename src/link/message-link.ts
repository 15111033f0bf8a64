/** A link with a single port whose messages are frames: what takes them in, and what is closed with it. */
import { close } from '../system/syscalls.ts';
import type { Link, LinkEnvironment } from './link.ts';
import type { MessageLinkTraits, MessagePort } from './message-port.ts';
import { MessagePorts } from './message-ports.ts';
import { MessageSocket } from './message-socket.ts';
import { SinglePortSocket, type SingleOptions } from './single-port-socket.ts';
import { CapacityError } from '../errors.ts';

export interface MessageLinkOptions extends MessageLinkTraits, SingleOptions {
  /** See Link. */
  readonly address: string;
  /** What the VM is called, unless `name` says otherwise. */
  readonly peer: string;
  readonly name?: string | undefined;
  /** Nonblocking; the link's from now on, even when attaching fails. */
  readonly fd: number;
  /** Frames leave through this one instead. */
  readonly sender?: number;
  /** A sockaddr that frames are sent to where the socket isn't connected. */
  readonly to?: Uint8Array;
  /** After the sockets have been closed. */
  closed?(): void;
}

export class MessageLink implements Link {
  readonly address: string;
  readonly refused: number = 0;
  readonly #options: MessageLinkOptions;
  readonly #environment: LinkEnvironment;
  readonly #ports: MessagePorts;
  readonly #socket: SinglePortSocket;
  readonly #sender: MessageSocket | null;
  readonly #port: MessagePort;
  #closed = false;

  private constructor(options: MessageLinkOptions, environment: LinkEnvironment) {
    this.address = options.address;
    this.#options = options;
    this.#environment = environment;
    this.#ports = new MessagePorts(environment, options, options.name, () => this.#end());
    const port = this.#ports.create(options.peer);
    if (port === null) throw this.#failed(null, null, new CapacityError('no-room', 'the arena has no room for another port'));
    let socket: SinglePortSocket | null = null;
    try {
      socket = new SinglePortSocket(options.fd, environment, port, options);
      this.#sender = options.sender === undefined ? null : new MessageSocket(options.sender, environment, socket, 'sender');
    } catch (error) {
      throw this.#failed(port, socket, error as Error);
    }
    this.#port = port;
    this.#socket = socket;
    this.sendFrom(this.#sender === null);
    this.#ports.announce(port);
  }

  /** Throws RangeError when the arena is full, SystemError when a descriptor can't be watched. */
  static attach(options: MessageLinkOptions, environment: LinkEnvironment): MessageLink {
    return new MessageLink(options, environment);
  }

  #failed(port: MessagePort | null, socket: SinglePortSocket | null, error: Error): Error {
    const { fd, sender } = this.#options;
    if (port !== null) this.#ports.abandon(port);
    this.#ports.close('');
    if (socket === null) close(fd);
    else socket.socket.close();
    if (sender !== undefined) close(sender);
    this.#options.closed?.();
    return error;
  }

  /** Frames leave through the socket that they come in through, to `to`; or through the sender. */
  sendFrom(own: boolean): void {
    if (own || this.#sender === null) this.#port.sendThrough(this.#socket.socket, this.#options.to ?? null);
    else this.#port.sendThrough(this.#sender, null);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  close(): void {
    if (!this.#closed) this.#ports.close('link closed');
  }

  /** The port has closed: the VM is gone, or the link was told to. */
  #end(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.socket.close();
    this.#sender?.close();
    this.#options.closed?.();
    this.#ports.close('');
    this.#environment.events.closed?.(this);
  }
}
