/** What a service sees of the virtual network: the interface behind `listen()` and the gateway's own DHCP, DNS and HTTP. */
import type { Duplex } from 'node:stream';
import type { IpAddress } from '../packet/address.ts';
import type { Mac } from '../packet/mac.ts';
import type { Port } from '../link/port.ts';

/** A VM, by its link: what one VM may have is counted by it. */
export type Vm = Port;

export interface Peer {
  readonly address: IpAddress;
  readonly port: number;
  readonly vm: Vm;
  /** Of the frame that a datagram came in; of streams it is not told. */
  readonly mac?: Mac;
}

/** A guest has connected; the stream is open in both directions and ends independently (half-close). */
export type StreamService = (connection: Duplex, peer: Peer) => void;

/**
 * A datagram came in. `payload` is the service's own copy. `reply` answers from the address and port it was sent to; a
 * datagram whose sender has no address yet (0.0.0.0) is answered to 255.255.255.255 and the Ethernet broadcast address.
 */
export type DatagramService = (payload: Uint8Array, peer: Peer, reply: (payload: Uint8Array) => void) => void;

export interface Listener {
  close(): void;
}

/** Which datagrams to a port are taken. */
export interface DatagramListening {
  /** Those to every other destination that reaches the gateway, too: DHCP. */
  readonly anyAddress?: boolean;
  /** Those of one version of IP. */
  readonly version?: 4 | 6;
}

/** Listens inside the virtual network. Throws when the port is taken. */
export interface ServiceHost {
  /** On the gateway's addresses. */
  listenStream(port: number, service: StreamService): Listener;
  /** On the gateway's addresses. */
  listenDatagram(port: number, service: DatagramService, options?: DatagramListening): Listener;
}
