/** What of a network there is only where its guests have IPv6, made of its options. */
import { IpAddress } from './packet/address.ts';
import { formatMac, type Mac, parseMac } from './packet/mac.ts';
import type { Ipv6Options } from './gateway/ipv6-gateway.ts';
import { type Client6, LeasePool6 } from './service/dhcp6/lease-pool.ts';
import { Dhcp6Server } from './service/dhcp6/server.ts';
import { encodeName } from './service/dns/name.ts';
import type { ResolvedOptions } from './network-options.ts';

/** The gateway's IPv6, where guests have any. */
export function ipv6Of({ gatewayIP6, hostIP6, gatewayVirtualIPs, dnsSearchDomains }: ResolvedOptions): { readonly ipv6?: Ipv6Options } {
  if (gatewayIP6 === undefined) return {};
  const searchList = dnsSearchDomains.map(encodeName).filter((name) => name !== undefined);
  return { ipv6: { address: IpAddress.parse(gatewayIP6)!, virtualAddresses: virtualIpv6(hostIP6!, gatewayVirtualIPs), searchList } };
}

/** The gateway's other addresses: the host's is always one. */
function virtualIpv6(hostIP6: string, gatewayVirtualIPs: readonly string[]): IpAddress[] {
  return [hostIP6, ...gatewayVirtualIPs].map((text) => IpAddress.parse(text)!).filter(({ isIpv4 }) => !isIpv4);
}

/** Addresses that are handed out, and by whom. */
export interface Dhcp6 {
  readonly leases: LeasePool6;
  readonly server: Dhcp6Server;
}

/** Who keeps addresses for those whose they are. */
export interface Keeper {
  reserve(address: IpAddress, hi: number, lo: number): void;
  lease(address: IpAddress, vm: Client6['vm']): void;
}

/** Addresses of IPv6 for those who ask for them: the device's goes to who has the device's of IPv4. */
export function dhcp6Of(
  options: ResolvedOptions,
  mac: Mac,
  keeper: Keeper | undefined,
  leased: (mac: string, address: string) => void,
): Dhcp6 | null {
  const { deviceIP, deviceIP6, gatewayIP6, hostIP6, gatewayVirtualIPs, dhcpStaticLeases, dnsSearchDomains: searchDomains } = options;
  if (gatewayIP6 === undefined) return null;
  const [gateway, device] = [IpAddress.parse(gatewayIP6)!, IpAddress.parse(deviceIP6!)!];
  const holder = dhcpStaticLeases[deviceIP]?.toLowerCase();
  const statics = new Map(holder === undefined ? [] : [[holder, device] as const]);
  const pool = new LeasePool6({ gateway, reserved: [gateway, device, ...virtualIpv6(hostIP6!, gatewayVirtualIPs)], statics });
  for (const [of, address] of statics) keeper?.reserve(address, parseMac(of)!.hi, parseMac(of)!.lo);
  const told = ({ hi, lo }: Mac, address: IpAddress, vm: Client6['vm']): void => {
    keeper?.lease(address, vm);
    leased(formatMac(hi, lo), address.toString());
  };
  return { leases: pool, server: new Dhcp6Server({ pool, gateway, mac, searchDomains, leased: told }) };
}
