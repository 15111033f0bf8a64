/** Whom a guest sees when a client of a forwarded port talks to it: the client, where its answers find back here, or the gateway. */
import type { IpAddress } from '../packet/address.ts';

const LINK_LOCAL = 0xa9fe;

export interface ClientAddressOptions {
  /** The gateway's address that a guest with this one is talked to from. */
  gatewayFor(guest: IpAddress): IpAddress;
  /** An address that a host beyond the gateway can have: no loopback, none of the virtual network's, none that is another host's to guests. */
  isOutside(address: IpAddress): boolean;
  /** The gateway's other addresses of IPv4. */
  readonly taken: ReadonlySet<number>;
  /** False: always the gateway. */
  readonly preserve: boolean;
}

export class ClientAddress {
  readonly #options: ClientAddressOptions;

  constructor(options: ClientAddressOptions) {
    this.#options = options;
  }

  /**
   * The very `client` where it is preserved (contract §19 #634). The gateway stands for the host's own loopback, for clients of the
   * other version of IP than the guest's, of unix sockets, and for addresses that a guest would look for on its own link.
   */
  seenAs(client: IpAddress, guest: IpAddress): IpAddress {
    const { taken, preserve } = this.#options;
    const sameVersion = client.isIpv4 === guest.isIpv4;
    const known = client.isIpv4 && (client.w3 >>> 16 === LINK_LOCAL || taken.has(client.w3));
    return preserve && sameVersion && !known && this.#options.isOutside(client) ? client : this.#options.gatewayFor(guest);
  }
}
