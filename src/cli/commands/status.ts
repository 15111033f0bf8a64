/** `guestwire status`: the running network in a few lines. */
import type { NetworkAddresses } from '../../config/subnet6.ts';
import { type Call, checkWords, STATUS } from './command.ts';
import { connectTo } from './client.ts';
import { bytesText, type Column, printListing } from './listing.ts';

export interface Root {
  readonly name: string;
  readonly version: string;
  readonly addresses: NetworkAddresses;
}

export interface Totals {
  readonly bytesSent: number;
  readonly bytesReceived: number;
  readonly ports: number;
  readonly flows: { readonly tcp: number; readonly udp: number };
  readonly counters: object;
}

interface Line {
  readonly what: string;
  readonly value: string | number;
  readonly shown?: string;
}

const COLUMNS: readonly Column<Line>[] = [
  { title: 'what', of: ({ what }) => what },
  { title: 'value', of: ({ value }) => value, shown: ({ shown, value }) => shown ?? String(value) },
];

export async function status(call: Call): Promise<number> {
  checkWords(call.words, 0, 0, 'none');
  const client = connectTo(call);
  const { version, addresses } = await client.get<Root>('/v1/');
  const { ports, flows, bytesReceived, bytesSent } = await client.get<Totals>('/v1/counters');
  const { forwards } = await client.get<{ forwards: unknown[] }>('/v1/forwards');
  const data = { url: client.url, version, addresses, vms: ports, forwards: forwards.length, flows, bytesReceived, bytesSent };
  const lines: Line[] = [
    { what: 'url', value: client.url },
    { what: 'version', value: version },
    ...addressLines(addresses),
    { what: 'VMs', value: ports },
    { what: 'forwards', value: forwards.length },
    { what: 'TCP flows', value: flows.tcp },
    { what: 'UDP flows', value: flows.udp },
    { what: 'bytes from VMs', value: bytesReceived, shown: bytesText(bytesReceived) },
    { what: 'bytes to VMs', value: bytesSent, shown: bytesText(bytesSent) },
  ];
  printListing(call, data, COLUMNS, lines);
  return STATUS.ok;
}

/** Those of each version that guests have. */
function addressLines(addresses: NetworkAddresses): Line[] {
  const { subnet, gatewayIP, deviceIP, hostIP, ipv4, subnet6, gatewayIP6, deviceIP6, hostIP6 } = addresses;
  const named = (...[network, gateway, device, host]: string[]): Line[] => [
    { what: 'subnet', value: network! },
    { what: 'gateway', value: gateway! },
    { what: 'first VM', value: device! },
    { what: "host's loopback", value: host! },
  ];
  return [
    ...(ipv4 === false ? [] : named(subnet, gatewayIP, deviceIP, hostIP)),
    ...(subnet6 === undefined ? [] : named(subnet6, gatewayIP6!, deviceIP6!, hostIP6!)),
  ];
}
