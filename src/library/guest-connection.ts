/** A guest's TCP connection that ends in this process. */
import type { Duplex } from 'node:stream';
import type { IpAddress } from '../packet/address.ts';
import type { Peer } from '../flow/listener.ts';
import type { Port } from '../link/port.ts';

/** Named as in `net.Socket`, where `http.Server` and others look for them. */
export interface ConnectionAddresses {
  /** The guest's. */
  readonly remoteAddress: string;
  readonly remotePort: number;
  /** What the guest has connected to. */
  readonly localAddress: string;
  readonly localPort: number;
  /** The VM's end of the wire. */
  readonly vm: Port;
}

/** Its ends are independent (half-close); destroying it resets the guest's connection. */
export type GuestConnection = Duplex & ConnectionAddresses;

export function guestConnection(stream: Duplex, peer: Peer, address: IpAddress, port: number): GuestConnection {
  return Object.assign(stream, {
    remoteAddress: peer.address.toString(),
    remotePort: peer.port,
    localAddress: address.toString(),
    localPort: port,
    vm: peer.vm,
  });
}
