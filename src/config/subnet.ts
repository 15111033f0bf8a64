/** Subnet and addresses as `gvproxy` derives and checks them (contract §2.3 rows 3 to 5), with its messages. */
import { formatIpv4, parseIpv4 } from '../packet/address.ts';

export const DEFAULT_SUBNET = '192.168.127.0/24';

/** A value that can't be used; the message is what gvproxy logs. */
export class ConfigError extends Error {
  override readonly name: string = 'ConfigError';
  readonly code = 'invalid-config' as const;
}

export interface AddressPlan {
  /** CIDR of the network's address: `10.0.0.0/24` when `10.0.0.5/24` was given. */
  readonly subnet: string;
  readonly gatewayIP: string;
  readonly deviceIP: string;
  readonly hostIP: string;
}

/**
 * Networks that no guest can have addresses of: its own kernel takes them for something else (RFC 6890, RFC 1112). A subnet
 * that overlaps one is refused; gvproxy starts with it, and then nothing is reachable.
 */
const UNUSABLE = [
  { network: 0, bits: 8, name: '0.0.0.0/8, which stands for "this host"' },
  { network: 0x7f000000, bits: 8, name: '127.0.0.0/8, which is loopback' },
  { network: 0xe0000000, bits: 4, name: '224.0.0.0/4, which is multicast' },
  { network: 0xffffffff, bits: 32, name: '255.255.255.255, which is broadcast' },
] as const;

/** Empty addresses are derived: first, second and last usable address. Throws ConfigError. */
export function planAddresses(subnet: string = DEFAULT_SUBNET, gateway = '', device = '', host = ''): AddressPlan {
  const { written, network, bits } = parseCidr(subnet);
  for (const unusable of UNUSABLE) {
    if (!overlaps(network, bits, unusable.network, unusable.bits)) continue;
    throw new ConfigError(`subnet ${subnet} overlaps ${unusable.name}: want a network such as ${DEFAULT_SUBNET}`);
  }
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
  return { subnet: `${formatIpv4(network)}/${bits}`, gatewayIP, deviceIP, hostIP };
}

/** Two networks overlap when they agree in the bits of the larger one. */
function overlaps(network: number, bits: number, other: number, otherBits: number): boolean {
  const shorter = Math.min(bits, otherBits);
  return shorter === 0 || (network ^ other) >>> (32 - shorter) === 0;
}

function parseCidr(text: string): { written: number; network: number; bits: number } {
  const match = /^([^/]+)\/(\d{1,2})$/.exec(text);
  const written = match ? parseIpv4(match[1]!) : undefined;
  const bits = Number(match?.[2]);
  if (match === null || written === undefined || bits > 32) {
    const v6 = /^[0-9a-fA-F:.]*:[0-9a-fA-F:.]*\/\d{1,3}$/.test(text);
    if (v6) throw new ConfigError(`failed to parse subnet: ${text} is an IPv6 network; want one of IPv4 here, a prefix of IPv6 is subnet6`);
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

/** Where an address lies; `reserved` are the network's own address and broadcast. `subnet` as `planAddresses` gives it. */
export function placeInSubnet(address: number, subnet: string): 'guest' | 'reserved' | 'outside' {
  const { network, bits } = parseCidr(subnet);
  const size = 2 ** (32 - bits);
  const offset = (address >>> 0) - (network >>> 0);
  if (offset < 0 || offset >= size) return 'outside';
  return offset === 0 || offset === size - 1 ? 'reserved' : 'guest';
}
