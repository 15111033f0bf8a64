/** Whom a guest sees when a client of a forwarded port talks to it: the client, where its answers find back here, or the gateway. */
import type { IpAddress } from '../packet/address.ts';

const LINK_LOCAL = 0xa9fe;

export interface ClientAddressOptions {
  readonly gateway: IpAddress;
  /** An address that a host beyond the gateway can have: no loopback, none of the virtual network's. */
  isOutside(address: IpAddress): boolean;
  /** Addresses that mean something else to guests: those that are translated, and the gateway's others. */
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
   * The very `client` where it is preserved (contract §19 #634). The gateway stands for the host's own loopback, for clients of IPv6,
   * of unix sockets, and for addresses that a guest would look for on its own link.
   */
  seenAs(client: IpAddress): IpAddress {
    const { gateway, taken, preserve } = this.#options;
    const word = client.w3;
    const preserved = preserve && client.isIpv4 && word >>> 16 !== LINK_LOCAL && this.#options.isOutside(client) && !taken.has(word);
    return preserved ? client : gateway;
  }
}
