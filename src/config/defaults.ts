/** The network that gvproxy makes when no configuration file is given (contract §3.2, §3.3). */
import type { DnsZone, NetworkOptions } from '../network-options.ts';
import type { AddressPlan6 } from './subnet6.ts';
import { type AddressPlan, ConfigError, planAddresses } from './subnet.ts';

export { DEFAULT_SUBNET } from './subnet.ts';
export const DEFAULT_MTU = 1500;
export const MTU_MINIMUM = 68;
export const MTU_MAXIMUM = 65_535;
export const DEFAULT_SSH_PORT = 2222;
export const GATEWAY_MAC = '5a:94:ef:e4:0c:dd';
export const DEVICE_MAC = '5a:94:ef:e4:0c:ee';
/** By which HyperKit's machines have always named themselves (contract §3.3). */
export const DEVICE_UUID = 'c3d68012-0208-11ea-9fd7-f2189899ab08';

/** What gvproxy's flags say of the network; what is left out is as without the flag. */
export interface CommandLineNetwork {
  /** Default: those of `planAddresses()`. */
  readonly addresses?: AddressPlan;
  /** 68..65535, or 0: the default, 1500. */
  readonly mtu?: number;
  /** Port of the host's loopback that leads to the device's port 22: 1024..65535, or -1: no forward. Default 2222. */
  readonly sshPort?: number;
  /** Empty: none. */
  readonly captureFile?: string;
  /** Default: none (the program takes those of /etc/resolv.conf). */
  readonly searchDomains?: readonly string[];
  readonly ec2MetadataAccess?: boolean;
}

/** gvproxy's network without a configuration file, the SSH forward included. Throws ConfigError, with gvproxy's messages. */
export function commandLineNetwork(input: CommandLineNetwork = {}): NetworkOptions {
  const { addresses = planAddresses(), mtu = 0, sshPort = DEFAULT_SSH_PORT, captureFile = '' } = input;
  if (mtu !== 0 && !isMtu(mtu)) throw new ConfigError('mtu is out of range');
  if (sshPort !== -1 && !isSshPort(sshPort)) throw new ConfigError('ssh-port value must be between 1024 and 65535');
  const options: NetworkOptions = {
    ...addresses,
    mtu: mtu === 0 ? DEFAULT_MTU : mtu,
    dnsSearchDomains: input.searchDomains ?? [],
    forwards: sshForward(sshPort, addresses.deviceIP),
    ec2MetadataAccess: input.ec2MetadataAccess ?? false,
  };
  return captureFile === '' ? options : { ...options, captureFile };
}

/** Contract §3.3; -1: none. */
export function sshForward(sshPort: number, deviceIP: string): Readonly<Record<string, string>> {
  return sshPort === -1 ? {} : { [`127.0.0.1:${sshPort}`]: `${deviceIP}:22` };
}

/** RFC 791 §3.2 has the smallest; the largest is what an IPv4 header can say. */
export function isMtu(value: number): boolean {
  return Number.isInteger(value) && value >= MTU_MINIMUM && value <= MTU_MAXIMUM;
}

/** Contract §2.3 row 11. */
export function isSshPort(value: number): boolean {
  return Number.isInteger(value) && value >= 1024 && value <= 65_535;
}

/** Names that every guest knows the gateway and the host by: the addresses of both that it can talk to. */
export function internalZones(gatewayIP: string, hostIP: string, ipv6?: AddressPlan6, ipv4 = true): readonly DnsZone[] {
  const records = [
    ...(ipv4
      ? [
          { name: 'gateway', ip: gatewayIP },
          { name: 'host', ip: hostIP },
        ]
      : []),
    ...(ipv6 === undefined
      ? []
      : [
          { name: 'gateway', ip: ipv6.gatewayIP6 },
          { name: 'host', ip: ipv6.hostIP6 },
        ]),
  ];
  return ['containers.internal.', 'docker.internal.'].map((name) => ({ name, records }));
}
