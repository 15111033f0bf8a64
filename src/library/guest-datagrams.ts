/** UDP between this process and guests: a socket on the gateway's address, and a conversation that a guest began with somebody else. */
import { EventEmitter } from 'node:events';
import type { IpAddress } from '../packet/address.ts';
import type { Arena } from '../runtime/arena.ts';
import { LARGEST_DATAGRAM, MessageEndpoint } from '../host/message-endpoint.ts';
import type { Neighbour, NeighbourTable } from '../gateway/neighbour.ts';
import type { Port } from '../link/port.ts';
import { ArgumentError } from '../errors.ts';

export interface DatagramSource {
  /** The guest's. */
  readonly address: string;
  readonly port: number;
  readonly vm: Port;
}

export interface GuestSocketEvents {
  message: [payload: Buffer, from: DatagramSource];
  /** It was closed, its signal has aborted, or the network was closed. */
  close: [];
}

/** What a socket needs of its network. */
export interface SocketWorld {
  readonly neighbours: NeighbourTable;
  /** Throws ConfigError for what is no guest's address and port. */
  target(host: string, port: number): { readonly address: IpAddress; readonly port: number };
  /** From the gateway's address and this port; false: lost. */
  send(to: Neighbour, address: IpAddress, port: number, fromPort: number, payload: Uint8Array): boolean;
}

/** A UDP port of the gateway. */
export class GuestSocket extends EventEmitter<GuestSocketEvents> implements Disposable {
  readonly address: string;
  readonly port: number;
  readonly #world: SocketWorld;
  #stop: (() => void) | null = null;

  constructor(address: string, port: number, world: SocketWorld) {
    super();
    this.address = address;
    this.port = port;
    this.#world = world;
  }

  /** Once; `stop` ends what was begun for it. */
  started(stop: () => void): this {
    this.#stop = stop;
    return this;
  }

  /**
   * Sends to a guest. Resolves with false when the datagram is lost here: nobody answers for the address, its VM's link has no room, or this
   * is closed. Throws ConfigError for what is no guest's address and port, ArgumentError for more bytes than a datagram has (65,507).
   */
  send(payload: Uint8Array, port: number, host: string): Promise<boolean> {
    checkPayload(payload);
    const { address } = this.#world.target(host, port);
    if (this.#stop === null) return Promise.resolve(false);
    const copy = Uint8Array.from(payload);
    return new Promise((resolve) => {
      this.#world.neighbours.resolve(address.w0, address.w1, address.w2, address.w3, (neighbour) => {
        resolve(this.#stop !== null && neighbour !== null && this.#world.send(neighbour, address, port, this.port, copy));
      });
    });
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

export interface GuestConversationEvents {
  message: [payload: Buffer];
  /** It was quiet for long, its VM has gone, or the network was closed. */
  close: [];
}

/** A guest's UDP conversation that ends in this process instead of where the guest meant it to. */
export class GuestConversation extends EventEmitter<GuestConversationEvents> {
  /** For the flow. */
  readonly endpoint: MessageEndpoint;

  /** `handed`: see TurnLoop.handedToNode. */
  constructor(arena: Arena, handed: () => void) {
    super();
    this.endpoint = new MessageEndpoint(arena, {
      message: (payload) => {
        queueMicrotask(() => this.emit('message', payload));
        handed();
      },
      closed: () => queueMicrotask(() => this.emit('close')),
    });
  }

  /** To the guest, from where it meant to talk to. False: lost here. Throws ArgumentError for more bytes than a datagram has (65,507). */
  send(payload: Uint8Array): boolean {
    checkPayload(payload);
    return this.endpoint.post(payload);
  }
}

function checkPayload(payload: Uint8Array): void {
  if (!(payload instanceof Uint8Array)) throw new ArgumentError(`a datagram is a Uint8Array, not ${typeof payload}`);
  if (payload.length > LARGEST_DATAGRAM)
    throw new ArgumentError(`a datagram of ${payload.length} bytes: the largest has ${LARGEST_DATAGRAM}`);
}
