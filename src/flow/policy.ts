/** Where guests may connect to, and what their destinations really are. IPv4 destinations are signed words. */

const NET_127 = 0x7f;
const LINK_LOCAL = 0xa9fe;

export interface PolicyOptions {
  /** Guest-visible destination → host-dialled destination. */
  readonly nat: ReadonlyMap<number, number>;
  /** 169.254.0.0/16, where clouds serve credentials to whoever asks. */
  readonly allowLinkLocal: boolean;
  /** Whether a port of the host's loopback leads to a guest. Given where guests must not reach each other. */
  readonly leadsToGuest?: (protocol: number, port: number) => boolean;
}

export class FlowPolicy {
  readonly #nat: ReadonlyMap<number, number>;
  readonly #allowLinkLocal: boolean;
  readonly #leadsToGuest: ((protocol: number, port: number) => boolean) | undefined;

  constructor(options: PolicyOptions) {
    this.#nat = options.nat;
    this.#allowLinkLocal = options.allowLinkLocal;
    this.#leadsToGuest = options.leadsToGuest;
  }

  /** The address the host dials for a destination the guest asked for. */
  translate(destination: number): number {
    return this.#nat.get(destination) ?? destination;
  }

  /** The way to this address of the host's loopback, after translation, is one to another guest, who is kept apart. */
  isRoundabout(protocol: number, target: number, port: number): boolean {
    return this.#leadsToGuest !== undefined && target >>> 24 === NET_127 && this.#leadsToGuest(protocol, port);
  }

  /** Decided on what the guest asked for, before translation: 0/8, 127/8, link-local unless allowed, 224/4 and above. */
  blocked(destination: number): boolean {
    const first = destination >>> 24;
    if (first === 0 || first === NET_127 || first >= 224) return true;
    return destination >>> 16 === LINK_LOCAL && !this.#allowLinkLocal;
  }
}
