/** The network that gvproxy makes when no configuration file is given (contract §3.2, §3.3). */
import type { DnsZone, NetworkOptions } from '../network-options.ts';
import { type AddressPlan, ConfigError } from './subnet.ts';

export const DEFAULT_MTU = 1500;
export const DEFAULT_SUBNET = '192.168.127.0/24';
export const DEFAULT_SSH_PORT = 2222;
export const GATEWAY_MAC = '5a:94:ef:e4:0c:dd';
export const DEVICE_MAC = '5a:94:ef:e4:0c:ee';

export interface CommandLineNetwork {
  readonly addresses: AddressPlan;
  /** 0: the default. */
  readonly mtu: number;
  /** -1: no forward. */
  readonly sshPort: number;
  readonly captureFile: string;
  readonly searchDomains: readonly string[];
  readonly ec2MetadataAccess: boolean;
}

/** Smallest MTU that IPv4 allows (RFC 791 §3.2), and the largest a packet can be. */
const MTU_MINIMUM = 68;
const MTU_MAXIMUM = 65_535;

/** Throws ConfigError. */
export function commandLineNetwork(input: CommandLineNetwork): NetworkOptions {
  const { gatewayIP, deviceIP, hostIP, subnet } = input.addresses;
  const mtu = input.mtu === 0 ? DEFAULT_MTU : input.mtu;
  if (mtu < MTU_MINIMUM || mtu > MTU_MAXIMUM) throw new ConfigError('mtu is out of range');
  const zones: DnsZone[] = ['containers.internal.', 'docker.internal.'].map((name) => ({
    name,
    records: [
      { name: 'gateway', ip: gatewayIP },
      { name: 'host', ip: hostIP },
    ],
  }));
  const options: NetworkOptions = {
    mtu,
    subnet,
    gatewayIP,
    gatewayMacAddress: GATEWAY_MAC,
    deviceIP,
    hostIP,
    nat: { [hostIP]: '127.0.0.1' },
    gatewayVirtualIPs: [hostIP],
    dns: zones,
    dnsSearchDomains: input.searchDomains,
    dhcpStaticLeases: { [deviceIP]: DEVICE_MAC },
    forwards: input.sshPort === -1 ? {} : { [`127.0.0.1:${input.sshPort}`]: `${deviceIP}:22` },
    ec2MetadataAccess: input.ec2MetadataAccess,
  };
  return input.captureFile === '' ? options : { ...options, captureFile: input.captureFile };
}
