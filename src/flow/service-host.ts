/** Lets services listen on the gateway's address, as guests see it. */
import { IpAddress } from '../packet/address.ts';
import type { Arena } from '../runtime/arena.ts';
import { DuplexEndpoint } from '../host/duplex-endpoint.ts';
import type { DatagramListening, DatagramService, Listener, ServiceHost, StreamService } from './listener.ts';
import type { Accept, TcpEngine } from './tcp/engine.ts';
import type { UdpEngine } from './udp/engine.ts';

export class GatewayServices implements ServiceHost {
  readonly #arena: Arena;
  readonly #tcp: TcpEngine;
  readonly #udp: UdpEngine;
  readonly #handed: () => void;

  /** `handed` is told whenever a service was given something to do (see TurnLoop.handedToNode). */
  constructor(arena: Arena, tcp: TcpEngine, udp: UdpEngine, handed: () => void) {
    this.#handed = handed;
    this.#arena = arena;
    this.#tcp = tcp;
    this.#udp = udp;
  }

  listenStream(port: number, service: StreamService): Listener {
    return this.#tcp.listen(port, this.accepting(service));
  }

  /** Takes guests' connections for a service of this process. */
  accepting(service: StreamService): Accept {
    return (flow) => {
      const endpoint = new DuplexEndpoint(this.#arena, this.#handed);
      endpoint.handler = flow;
      flow.endpoint = endpoint;
      const address = new IpAddress(flow.guest0, flow.guest1, flow.guest2, flow.guest3);
      const peer = { address, port: flow.guestPort, vm: flow.vm };
      // A guest may go before its handshake is complete, when the service does not know of the stream yet.
      endpoint.duplex.on('error', () => {});
      flow.onEstablished = () => {
        service(endpoint.duplex, peer);
        this.#handed();
      };
      return true;
    };
  }

  listenDatagram(port: number, service: DatagramService, options: DatagramListening = {}): Listener {
    const handing: DatagramService = (payload, peer, reply) => {
      service(payload, peer, reply);
      this.#handed();
    };
    return this.#udp.listen(port, handing, options);
  }
}
