/** What of a network there is only where its guests have IPv6, made of its options. */
import { IpAddress } from './packet/address.ts';
import { formatMac, type Mac } from './packet/mac.ts';
import type { Ipv6Options } from './gateway/ipv6-gateway.ts';
import { LeasePool6 } from './service/dhcp6/lease-pool.ts';
import { Dhcp6Server } from './service/dhcp6/server.ts';
import { encodeName } from './service/dns/name.ts';
import type { ResolvedOptions } from './network-options.ts';

/** The gateway's IPv6, where guests have any. */
export function ipv6Of({ gatewayIP6, hostIP6, dnsSearchDomains }: ResolvedOptions): { readonly ipv6?: Ipv6Options } {
  if (gatewayIP6 === undefined) return {};
  const searchList = dnsSearchDomains.map(encodeName).filter((name) => name !== undefined);
  return { ipv6: { address: IpAddress.parse(gatewayIP6)!, virtualAddresses: [IpAddress.parse(hostIP6!)!], searchList } };
}

/** Addresses that are handed out, and by whom. */
export interface Dhcp6 {
  readonly leases: LeasePool6;
  readonly server: Dhcp6Server;
}

/** Addresses of IPv6 for those who ask for them: the device's goes to who has the device's of IPv4. */
export function dhcp6Of(options: ResolvedOptions, mac: Mac, leased: (mac: string, address: string) => void): Dhcp6 | null {
  const { deviceIP, deviceIP6, gatewayIP6, hostIP6, dhcpStaticLeases, dnsSearchDomains: searchDomains } = options;
  if (gatewayIP6 === undefined) return null;
  const [gateway, device, host] = [gatewayIP6, deviceIP6!, hostIP6!].map((text) => IpAddress.parse(text)!) as [
    IpAddress,
    IpAddress,
    IpAddress,
  ];
  const holder = dhcpStaticLeases[deviceIP]?.toLowerCase();
  const statics = new Map(holder === undefined ? [] : [[holder, device] as const]);
  const pool = new LeasePool6({ gateway, reserved: [gateway, host, device], statics });
  const told = ({ hi, lo }: Mac, address: IpAddress): void => leased(formatMac(hi, lo), address.toString());
  return { leases: pool, server: new Dhcp6Server({ pool, gateway, mac, searchDomains, leased: told }) };
}
