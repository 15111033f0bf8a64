/** Subnet and addresses as `gvproxy` derives and checks them (contract §2.3 rows 3 to 5), with its messages. */
import { formatIpv4, parseIpv4 } from '../packet/address.ts';

/** A value that can't be used; the message is what gvproxy logs. */
export class ConfigError extends Error {}

export interface AddressPlan {
  readonly subnet: string;
  readonly gatewayIP: string;
  readonly deviceIP: string;
  readonly hostIP: string;
}

/** Empty addresses are derived: first, second and last usable address. Throws ConfigError. */
export function planAddresses(subnet: string, gateway: string, device: string, host: string): AddressPlan {
  const { written, network, bits } = parseCidr(subnet);
  const size = 2 ** (32 - bits);
  const usable = (name: string, offset: number): string => {
    if (size < 8) throw new ConfigError(`failed to identify usable ${name} IP address in subnet: subnet too small`);
    return formatIpv4((network + offset) | 0);
  };
  const gatewayIP = gateway || usable('gateway', 1);
  const deviceIP = device || usable('device', 2);
  const hostIP = host || usable('host', size - 2);
  try {
    if (size < 8) throw new ConfigError('subnet too small');
    for (const address of [gatewayIP, deviceIP, hostIP]) checkAddress(address, subnet, written, network, size);
    if (new Set([gatewayIP, deviceIP, hostIP]).size < 3) throw new ConfigError('IP addresses need to be distinct');
  } catch (error) {
    throw new ConfigError(`failed to validate configuration IPs: ${(error as Error).message}`);
  }
  return { subnet, gatewayIP, deviceIP, hostIP };
}

function parseCidr(text: string): { written: number; network: number; bits: number } {
  const match = /^([^/]+)\/(\d{1,2})$/.exec(text);
  const written = match ? parseIpv4(match[1]!) : undefined;
  const bits = Number(match?.[2]);
  if (match === null || written === undefined || bits > 32) {
    const v6 = /^[0-9a-fA-F:.]*:[0-9a-fA-F:.]*\/\d{1,3}$/.test(text);
    if (v6) throw new ConfigError(`failed to parse subnet: ${text} is an IPv6 network; the virtual network is IPv4 in this version`);
    throw new ConfigError(`failed to parse subnet: invalid CIDR address: ${text}`);
  }
  return { written, network: bits === 0 ? 0 : written & (-1 << (32 - bits)), bits };
}

function checkAddress(text: string, subnet: string, written: number, network: number, size: number): void {
  const address = parseIpv4(text);
  if (address === undefined) throw new ConfigError(`invalid IP address: ${text}`);
  const offset = (address >>> 0) - (network >>> 0);
  if (offset < 0 || offset >= size) throw new ConfigError(`IP (${text}) not in subnet (${subnet})`);
  // The address as written in the CIDR: gvproxy compares with that, not with the network's.
  if (address === written) throw new ConfigError(`IP must not be address of subnet: ${text}`);
  if (offset === size - 1) throw new ConfigError(`IP must not be broadcast address: ${text}`);
}
