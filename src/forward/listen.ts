/** Opens what a forward listens on. All throw SystemError when the host refuses. */
import type { IpAddress } from '../packet/address.ts';
import type { HostListeners } from '../host/endpoint.ts';
import type { InboundPorts } from '../flow/udp/inbound-ports.ts';
import { GuestConnections, type GuestSide } from './guest-connections.ts';
import type { Listening } from './host-forward.ts';
import type { ForwardTarget } from './remote-address.ts';

export interface ForwardWorld {
  readonly host: HostListeners;
  readonly guest: GuestSide;
  readonly inbound: InboundPorts;
}

/** Port 0 picks a free one. */
export function listenTcp({ host, guest }: ForwardWorld, address: IpAddress, port: number, target: ForwardTarget): Listening {
  const connections = new GuestConnections(target, guest);
  return host.listenStream(address, port, (endpoint, client, clientPort) => connections.accept(endpoint, client, clientPort));
}

/** Port 0 picks a free one. */
export function listenUdp({ host, guest, inbound }: ForwardWorld, address: IpAddress, port: number, target: ForwardTarget): Listening {
  const { neighbours, clients } = guest;
  const options = { ...target, neighbours, seenAs: (client: IpAddress) => clients.seenAs(client, target.address) };
  return inbound.open(options, (handler) => host.listenDatagram(address, port, handler));
}

/** Clients of a unix socket are seen as the gateway. */
export function listenUnix({ host, guest }: ForwardWorld, path: string, target: ForwardTarget): Listening {
  const connections = new GuestConnections(target, guest);
  return host.listenUnix(path, (endpoint, nobody) => connections.accept(endpoint, nobody, 0));
}
