/** Which IPv6 addresses are the gateway's, which can be guests', and which groups it listens to. */
import { IpAddress } from '../packet/address.ts';
import * as ipv6 from '../packet/ipv6.ts';
import type { Mac } from '../packet/mac.ts';

const LINK_LOCAL = 0xfe800000 | 0;
const LINK_GROUP = 0xff020000 | 0;
/** ff02::1:ff00:0/104: solicited-node groups (RFC 4291 §2.7.1). */
const SOLICITED_2 = 1;
const SOLICITED_3 = 0xff000000 | 0;
/** Last words of the groups below ff02:: that are for us: all nodes, all routers, version 2 listener reports. */
const ALL_NODES = 1;
const ALL_ROUTERS = 2;
const LISTENERS = 0x16;
/** ff02::1:2: all DHCPv6 servers and relays (RFC 8415 §7.1). */
const ALL_DHCP = 0x10002;

export const ALL_NODES_GROUP: IpAddress = new IpAddress(LINK_GROUP, 0, 0, ALL_NODES);

export class Ipv6Addresses {
  readonly gateway: IpAddress;
  /** The gateway's own, from its MAC address: what routers must advertise themselves by. */
  readonly linkLocal: IpAddress;
  /** All that neighbour discovery answers for; the first is of the network's prefix. */
  readonly answered: readonly IpAddress[];

  /** `gateway` is of the network's /64. */
  constructor(gateway: IpAddress, virtual: readonly IpAddress[], mac: Mac) {
    this.gateway = gateway;
    this.linkLocal = new IpAddress(LINK_LOCAL, 0, ipv6.interfaceHigh(mac.hi, mac.lo), ipv6.interfaceLow(mac.lo));
    this.answered = [gateway, this.linkLocal, ...virtual];
  }

  /** The gateway's own, without virtual ones. */
  isLocal(w0: number, w1: number, w2: number, w3: number): boolean {
    return is(this.gateway, w0, w1, w2, w3) || is(this.linkLocal, w0, w1, w2, w3);
  }

  isAnswered(w0: number, w1: number, w2: number, w3: number): boolean {
    for (let i = 0; i < this.answered.length; i++) if (is(this.answered[i]!, w0, w1, w2, w3)) return true;
    return false;
  }

  /** Of the network's prefix. */
  isOnLink(w0: number, w1: number): boolean {
    return w0 === this.gateway.w0 && w1 === this.gateway.w1;
  }

  /** Can be a guest's: of the prefix or link-local, but not ours, nor the routers' anycast address (RFC 4291 §2.6.1). */
  isGuest(w0: number, w1: number, w2: number, w3: number): boolean {
    if (!this.isOnLink(w0, w1) && !ipv6.isLinkLocal(w0)) return false;
    return (w2 !== 0 || w3 !== 0) && !this.isAnswered(w0, w1, w2, w3);
  }

  /** A host's beyond the gateway. */
  isOutside(w0: number, w1: number, w2: number): boolean {
    return !ipv6.isReserved(w0, w1, w2) && !ipv6.isMulticast(w0) && !ipv6.isLinkLocal(w0) && !this.isOnLink(w0, w1);
  }

  /** A group that the gateway is in. */
  isJoined(w0: number, w1: number, w2: number, w3: number): boolean {
    if (w0 !== LINK_GROUP || w1 !== 0) return false;
    if (w2 === 0) return w3 === ALL_NODES || w3 === ALL_ROUTERS || w3 === LISTENERS || w3 === ALL_DHCP;
    if (w2 !== SOLICITED_2) return false;
    for (const { w3: last } of this.answered) if (w3 === solicitedLow(last)) return true;
    return false;
  }

  /** The gateway's address that a guest with such an address is talked to from. */
  sourceFor(w0: number): IpAddress {
    return ipv6.isLinkLocal(w0) ? this.linkLocal : this.gateway;
  }
}

/** Last word of the group that an address with this last word is asked for in; the words before it are ff02:: and 1. */
function solicitedLow(w3: number): number {
  return SOLICITED_3 | (w3 & 0xffffff);
}

/** The group that an address is asked for in. */
export function solicitedNode(w3: number): IpAddress {
  return new IpAddress(LINK_GROUP, 0, SOLICITED_2, solicitedLow(w3));
}

/** As a datagram's destination: all DHCPv6 servers. */
export function isDhcpGroup(w0: number, w1: number, w2: number, w3: number): boolean {
  return w0 === LINK_GROUP && w1 === 0 && w2 === 0 && w3 === ALL_DHCP;
}

function is(address: IpAddress, w0: number, w1: number, w2: number, w3: number): boolean {
  return address.w3 === w3 && address.w2 === w2 && address.w1 === w1 && address.w0 === w0;
}
