/**
 * User Mode Linux's `transport=bess`: a listening SOCK_SEQPACKET socket, a port for each VM that connects; one message is one frame
 * (contract §6.5). slirp4netns's `--target-type=bess` has the same.
 */
import { SO_RCVBUF, SO_SNDBUF, SOCK_SEQPACKET, SOL_SOCKET } from '../system/constants.ts';
import { ECONNRESET } from '../system/errno.ts';
import { setOption } from '../system/socket-options.ts';
import { close } from '../system/syscalls.ts';
import { listenUnix } from '../system/unix-listener.ts';
import { Acceptor } from './acceptor.ts';
import type { Link, LinkEnvironment } from './link.ts';
import type { ListenSocket } from './listen-socket.ts';
import { losslessRefusal, type MessageLinkTraits, type MessagePort } from './message-port.ts';
import { MessagePorts } from './message-ports.ts';
import { MessageRegion } from './message-region.ts';
import { SinglePortSocket, type SingleOptions } from './single-port-socket.ts';

const BACKLOG = 128;
/** Asked of the kernel for a VM's socket; it grants what its limits allow. */
const SOCKET_BUFFER = 4 << 20;

export interface BessSpec {
  readonly path: string;
  /** See PortNames. */
  readonly name?: string;
}

const TRAITS: MessageLinkTraits = { offload: false, largestFrame: 0, refusal: losslessRefusal };

/** Of a connected SOCK_SEQPACKET socket. What was sent before a VM's end closed comes after the error that tells of frames it hasn't read. */
export const SEQPACKET: SingleOptions = { endsWithEmpty: true, survives: (errno) => errno === ECONNRESET };

/** Listens at `path`, which must be free. Throws SystemError; RangeError when the arena is full. */
export function openBess(spec: BessSpec, environment: LinkEnvironment): BessListener {
  // Where there is no room for this, no VM will find any.
  MessageRegion.of(environment.arena);
  const { fd, remove } = listenUnix(spec.path, BACKLOG, { type: SOCK_SEQPACKET });
  const release = (): void => {
    close(fd);
    remove();
  };
  try {
    return new BessListener({ fd, address: `unixpacket://${spec.path}`, close: release }, spec.name, environment);
  } catch (error) {
    release();
    throw error;
  }
}

export class BessListener implements Link {
  readonly address: string;
  readonly #socket: ListenSocket;
  readonly #environment: LinkEnvironment;
  readonly #acceptor: Acceptor;
  readonly #ports: MessagePorts;
  readonly #sockets: Map<MessagePort, SinglePortSocket> = new Map();
  #closed = false;

  /** Takes over `socket`, unless it throws. */
  constructor(socket: ListenSocket, name: string | undefined, environment: LinkEnvironment) {
    this.address = socket.address;
    this.#socket = socket;
    this.#environment = environment;
    this.#acceptor = new Acceptor(socket.fd, environment.loop, (fd) => this.#accept(fd));
    this.#ports = new MessagePorts(environment, TRAITS, name, (port) => this.#gone(port));
  }

  get refused(): number {
    return this.#ports.refused;
  }

  get acceptsPutOff(): number {
    return this.#acceptor.putOff;
  }

  #accept(fd: number): void {
    // Unix peers are unnamed: Go prints them as `@`.
    const port = this.#ports.create('@');
    if (port === null) return void close(fd);
    setOption(fd, SOL_SOCKET, SO_SNDBUF, SOCKET_BUFFER);
    setOption(fd, SOL_SOCKET, SO_RCVBUF, SOCKET_BUFFER);
    try {
      this.#sockets.set(port, new SinglePortSocket(fd, this.#environment, port, SEQPACKET));
    } catch {
      this.#ports.abandon(port);
      return void close(fd);
    }
    this.#ports.announce(port);
  }

  #gone(port: MessagePort): void {
    this.#sockets.get(port)!.socket.close();
    this.#sockets.delete(port);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#acceptor.close();
    this.#socket.close();
    this.#ports.close('listener closed');
    this.#environment.events.closed?.(this);
  }
}
