/** A TCP port of the host that leads to a guest. */
import type { IpAddress } from '../packet/address.ts';
import type { HostNetwork, StreamEndpoint, StreamListener } from '../host/endpoint.ts';
import type { NeighbourTable } from '../gateway/neighbour.ts';
import type { TcpEngine } from '../flow/tcp/engine.ts';

export interface ForwardTarget {
  readonly address: IpAddress;
  readonly port: number;
}

export interface TcpForwardOptions {
  readonly host: HostNetwork;
  readonly neighbours: NeighbourTable;
  readonly tcp: TcpEngine;
  /** Where the guest sees the connections come from: the gateway. */
  readonly source: IpAddress;
  readonly closed?: () => void;
}

export class TcpForward {
  readonly target: ForwardTarget;
  /** Connections that could not be handed to the guest: it does not answer ARP, or the flow table is full. */
  refused = 0;
  readonly #options: TcpForwardOptions;
  readonly #listener: StreamListener;

  /** Listens at once; port 0 picks a free one (see `port`). Throws SystemError when the address can't be bound. */
  constructor(local: IpAddress, localPort: number, target: ForwardTarget, options: TcpForwardOptions) {
    this.target = target;
    this.#options = options;
    this.#listener = options.host.listenStream(local, localPort, (endpoint) => this.#accept(endpoint));
  }

  /** The host's port. */
  get port(): number {
    return this.#listener.port;
  }

  #accept(endpoint: StreamEndpoint): void {
    const { address, port } = this.target;
    const { neighbours, tcp, source } = this.#options;
    neighbours.resolve(address.w0, address.w1, address.w2, address.w3, (neighbour) => {
      if (neighbour !== null && tcp.connect(neighbour, port, source, 0, endpoint) !== null) return;
      this.refused++;
      endpoint.reset();
    });
  }

  /** Ends listening; connections that are there go on. */
  close(): void {
    this.#listener.close();
    this.#options.closed?.();
  }
}
