/** Hands connections of the host's clients to a guest: the part that TCP and unix forwards have in common. */
import type { IpAddress } from '../packet/address.ts';
import { Timer, type TimerWheel } from '../runtime/timer-wheel.ts';
import type { StreamEndpoint } from '../host/endpoint.ts';
import type { Neighbour, NeighbourTable } from '../gateway/neighbour.ts';
import type { TcpFlow } from '../flow/tcp/flow.ts';
import type { TcpEngine } from '../flow/tcp/engine.ts';
import type { ClientAddress } from './client-address.ts';
import type { ForwardTarget } from './remote-address.ts';

/** Contract §9.3: milliseconds within which the guest must have answered. */
const DIAL_TIMEOUT = 10_000;

/** Connections of all forwards that did not come about. */
export class ForwardCounters {
  /** The guest does not answer ARP, or the flow table is full. */
  refused = 0;
  /** The guest has not answered in time. */
  timedOut = 0;
}

export interface GuestSide {
  readonly neighbours: NeighbourTable;
  readonly tcp: TcpEngine;
  readonly timers: TimerWheel;
  readonly clients: ClientAddress;
  readonly counters: ForwardCounters;
}

export class GuestConnections {
  readonly #target: ForwardTarget;
  readonly #guest: GuestSide;

  constructor(target: ForwardTarget, guest: GuestSide) {
    this.#target = target;
    this.#guest = guest;
  }

  /** Connects a client to the guest; resets it where that can't be. */
  accept(endpoint: StreamEndpoint, client: IpAddress, clientPort: number): void {
    const { address } = this.#target;
    this.#guest.neighbours.resolve(address.w0, address.w1, address.w2, address.w3, (neighbour) => {
      const flow = neighbour === null ? null : this.#connect(neighbour, endpoint, client, clientPort);
      if (flow !== null) return this.#await(flow);
      this.#guest.counters.refused++;
      endpoint.reset();
    });
  }

  /** A client's own port may be taken: by its connection through another forward, or by a conversation that the guest began. */
  #connect(neighbour: Neighbour, endpoint: StreamEndpoint, client: IpAddress, clientPort: number): TcpFlow | null {
    const { clients, tcp } = this.#guest;
    const { address, port } = this.#target;
    const seen = clients.seenAs(client, address);
    const own = seen === client && clientPort > 0 ? tcp.connect(neighbour, port, seen, clientPort, endpoint) : null;
    return own ?? tcp.connect(neighbour, port, seen, 0, endpoint);
  }

  #await(flow: TcpFlow): void {
    const { tcp, timers, counters } = this.#guest;
    const timer = new Timer(() => {
      counters.timedOut++;
      tcp.reset(flow);
    });
    const settle = (): void => timers.cancel(timer);
    timers.arm(timer, DIAL_TIMEOUT);
    flow.onEstablished = settle;
    flow.onClosed = settle;
  }
}
