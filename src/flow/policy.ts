/** Where guests may connect to, and what their destinations really are. */
import { IpAddress } from '../packet/address.ts';
import type { FlowGate } from './gate.ts';

const NET_127 = 0x7f;
const LINK_LOCAL = 0xa9fe;
const MULTICAST_6 = 0xff;
/** First words of fd00:ec2::/32 and of fd20:ce::254. */
const EC2_6 = 0xfd000ec2 | 0;
const GOOGLE_6 = 0xfd2000ce | 0;
/** First word of 64:ff9b::/96, behind which a translator of the host's network finds an IPv4 address (RFC 6052 §2.1). */
const NAT64 = 0x0064ff9b;
const LOOPBACK_6: IpAddress = new IpAddress(0, 0, 0, 1);

export interface PolicyOptions {
  /** Guest-visible destination → host-dialled destination, both of one version of IP. */
  readonly nat: readonly (readonly [from: IpAddress, to: IpAddress])[];
  /** 169.254.0.0/16, where clouds serve credentials to whoever asks; and where they do so over IPv6. */
  readonly allowLinkLocal: boolean;
  /** Whether a port of the host's loopback leads to a guest. Given where guests must not reach each other. */
  readonly leadsToGuest?: (protocol: number, port: number) => boolean;
}

export class FlowPolicy {
  /** Is asked first; null: nobody is. */
  gate: FlowGate | null = null;
  readonly #nat4: ReadonlyMap<number, IpAddress>;
  readonly #nat6: readonly (readonly [IpAddress, IpAddress])[];
  readonly #allowLinkLocal: boolean;
  readonly #leadsToGuest: ((protocol: number, port: number) => boolean) | undefined;

  constructor(options: PolicyOptions) {
    this.#nat4 = new Map(options.nat.filter(([from]) => from.isIpv4).map(([from, to]) => [from.w3, to]));
    this.#nat6 = options.nat.filter(([from]) => !from.isIpv4);
    this.#allowLinkLocal = options.allowLinkLocal;
    this.#leadsToGuest = options.leadsToGuest;
  }

  /** Guests who talk to this address talk to another host. */
  isTranslated(address: IpAddress): boolean {
    return address.isIpv4 ? this.#nat4.has(address.w3) : this.#nat6.some(([from]) => from.equals(address));
  }

  /** The address the host dials for a destination the guest asked for. */
  translate(destination: IpAddress): IpAddress {
    if (destination.isIpv4) return this.#nat4.get(destination.w3) ?? destination;
    for (const [from, to] of this.#nat6) if (from.equals(destination)) return to;
    return destination;
  }

  /** The way to this address of the host's loopback, after translation, is one to another guest, who is kept apart. */
  isRoundabout(protocol: number, target: IpAddress, port: number): boolean {
    const loopback = target.isIpv4 ? target.w3 >>> 24 === NET_127 : target.equals(LOOPBACK_6);
    return this.#leadsToGuest !== undefined && loopback && this.#leadsToGuest(protocol, port);
  }

  /**
   * Decided on what the guest asked for, before translation. IPv4: 0/8, 127/8, link-local unless allowed, 224/4 and above, and the
   * same by way of NAT64. IPv6: groups, and what stands for link-local in clouds; what else is no host's the gateway refuses.
   */
  blocked(destination: IpAddress): boolean {
    const { isIpv4, w0, w1, w2, w3 } = destination;
    const translated = w0 === NAT64 && w1 === 0 && w2 === 0;
    if (!isIpv4 && !translated) return w0 >>> 24 === MULTICAST_6 || (!this.#allowLinkLocal && isMetadata(destination));
    const first = w3 >>> 24;
    if (first === 0 || first === NET_127 || first >= 224) return true;
    return w3 >>> 16 === LINK_LOCAL && !this.#allowLinkLocal;
  }
}

/** EC2's own addresses (metadata at fd00:ec2::254), Google's metadata server (fd20:ce::254), and 169.254.0.0/16 behind a local NAT64 (RFC 8215). */
function isMetadata({ w0, w1, w2, w3 }: IpAddress): boolean {
  if (w0 === NAT64) return w1 >>> 16 === 1 && w3 >>> 16 === LINK_LOCAL;
  return w0 === EC2_6 || (w0 === GOOGLE_6 && w1 === 0 && w2 === 0 && w3 === 0x254);
}
