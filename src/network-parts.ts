/** Parts of a network that are made of its options alone. */
import { IpAddress, parseIpv4 } from './packet/address.ts';
import { parseMac } from './packet/mac.ts';
import type { Random } from './runtime/clock.ts';
import { processorTime } from './runtime/wall-clock.ts';
import type { TimerWheel } from './runtime/timer-wheel.ts';
import { Gateway, type GatewayOptions } from './gateway/gateway.ts';
import { Forwarder } from './service/dns/forwarder.ts';
import { parseHosts, parseNameservers } from './service/dns/host-files.ts';
import { NodeUpstream, nodeFiles } from './service/dns/node-upstream.ts';
import { DnsServer } from './service/dns/server.ts';
import { WatchedFile } from './service/dns/watched-file.ts';
import { Zones } from './service/dns/zones.ts';
import { ipv6Of } from './network-ipv6.ts';
import type { ResolvedOptions } from './network-options.ts';

/** The subnet's network and mask, as signed words. */
export function subnetOf({ subnet }: ResolvedOptions): { readonly network: number; readonly mask: number } {
  const [network, length] = subnet.split('/');
  const mask = Number(length) === 0 ? 0 : -1 << (32 - Number(length));
  return { network: parseIpv4(network!)! & mask, mask };
}

/** The gateway's other addresses of IPv4. */
export function virtualIpv4({ gatewayVirtualIPs }: ResolvedOptions): number[] {
  return gatewayVirtualIPs.map(parseIpv4).filter((address) => address !== undefined);
}

/** What guests' destinations are really: the host's address of IPv6 is its loopback, unless the options say otherwise. */
export function natOf({ hostIP6, nat }: ResolvedOptions): (readonly [from: IpAddress, to: IpAddress])[] {
  const pairs = [...(hostIP6 === undefined ? [] : [[hostIP6, '::1'] as const]), ...Object.entries(nat)];
  const parsed = pairs.map(([from, to]) => [IpAddress.parse(from)!, IpAddress.parse(to)!] as const);
  return [...new Map(parsed.map((pair) => [pair[0].toString(), pair])).values()];
}

type Environment = Pick<GatewayOptions, 'arena' | 'sum' | 'timers' | 'random' | 'waiting'>;

export function gatewayOf(options: ResolvedOptions, environment: Environment): Gateway {
  const { network, mask } = subnetOf(options);
  return new Gateway({
    ...environment,
    mac: parseMac(options.gatewayMacAddress)!,
    address: parseIpv4(options.gatewayIP)!,
    subnet: network,
    mask,
    virtualAddresses: virtualIpv4(options),
    mtu: options.mtu,
    ipv4: options.ipv4 ?? true,
    ...ipv6Of(options),
  });
}

/** The gateway's own names, then those that the host knows, then its resolvers. */
export function dnsOf(options: ResolvedOptions, timers: TimerWheel, random: Random): { readonly zones: Zones; readonly server: DnsServer } {
  const now = (): number => timers.now;
  const hosts = new WatchedFile('/etc/hosts', nodeFiles, now, parseHosts);
  const servers = new WatchedFile('/etc/resolv.conf', nodeFiles, now, parseNameservers);
  const forwarder = new Forwarder(new NodeUpstream(), () => servers.value, random);
  const zones = new Zones(options.dns, options.ipv6);
  return { zones, server: new DnsServer({ zones, hosts: () => hosts.value, forwarder, timers, processorTime }) };
}
