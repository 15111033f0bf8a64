/** Who is who in the worlds with IPv6: the gateway, the host, and which VM an address of the prefix or link is one of. */
import { IpAddress } from '../../src/packet/address.ts';
import * as ipv6 from '../../src/packet/ipv6.ts';
import type { Mac } from '../../src/packet/mac.ts';

export const GATEWAY6 = IpAddress.parse('fd5a:94ef:e4:1::1')!;
export const HOST6 = IpAddress.parse('fd5a:94ef:e4:1::254')!;
/** Never asked for: no VM has its MAC address. */
export const DEVICE6 = IpAddress.parse('fd5a:94ef:e4:1::2')!;
const LINK = 0xfe800000;
/** VMs' addresses have it as their third word, and in the fourth the VM's number above 16 bits that are free. */
const GUESTS = 0x0a000000;

/** An address of the prefix that VM `vm` has made itself. */
export function global6(vm: number, free = 0): IpAddress {
  return new IpAddress(GATEWAY6.w0, GATEWAY6.w1, GUESTS, ((0x0a00 + vm) << 16) | free);
}

export function linkLocal6(vm: number, free = 0): IpAddress {
  return new IpAddress(LINK, 0, GUESTS, ((0x0a00 + vm) << 16) | free);
}

/** The one that a forwarded port leads to. */
export const GUEST6: IpAddress = global6(0);

/** The gateway's link-local address. */
export function linkLocalOf({ hi, lo }: Mac): IpAddress {
  return new IpAddress(LINK, 0, ipv6.interfaceHigh(hi, lo), ipv6.interfaceLow(lo));
}

/** The VM whose address it is, by how it is made; -1 for none. */
export function vmOf6({ w0, w2, w3 }: Pick<IpAddress, 'w0' | 'w2' | 'w3'>): number {
  if (w0 !== GATEWAY6.w0 && w0 !== (LINK | 0)) return -1;
  return w2 === GUESTS ? (w3 >>> 16) - 0x0a00 : -1;
}
