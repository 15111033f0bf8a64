/** The network's IPv6: whether there is any, its prefix and addresses. */
import { createHash } from 'node:crypto';
import { IpAddress } from '../packet/address.ts';
import { type AddressPlan, ConfigError } from './subnet.ts';

/** What of the options says something of it. */
export interface Ipv6Choice {
  readonly ipv4?: boolean | undefined;
  readonly ipv6?: boolean | undefined;
  readonly subnet6?: string | undefined;
  readonly gatewayIP6?: string | undefined;
  readonly deviceIP6?: string | undefined;
  readonly hostIP6?: string | undefined;
}

export interface AddressPlan6 {
  /** CIDR of the network's /64. */
  readonly subnet6: string;
  readonly gatewayIP6: string;
  readonly deviceIP6: string;
  readonly hostIP6: string;
}

/** Those of both versions, as a network tells of them. */
export interface NetworkAddresses extends AddressPlan, Partial<AddressPlan6> {
  /** There when guests have IPv6 alone: the addresses of IPv4 then mean nothing. */
  readonly ipv4?: false;
}

export function addressesOf(options: AddressPlan & Partial<AddressPlan6> & { readonly ipv4?: boolean | undefined }): NetworkAddresses {
  const { subnet, gatewayIP, deviceIP, hostIP, ipv4, subnet6, gatewayIP6, deviceIP6, hostIP6 } = options;
  return {
    ...{ subnet, gatewayIP, deviceIP, hostIP },
    ...(ipv4 === false && { ipv4 }),
    ...(subnet6 !== undefined && { subnet6, gatewayIP6: gatewayIP6!, deviceIP6: deviceIP6!, hostIP6: hostIP6! }),
  };
}

const WANTED = 'want one /64 such as fd12:3456:789a:1::/64';
/** Hosts of the derived addresses: the host's reads as the last of IPv4's default subnet does. */
const GATEWAY = 1;
const DEVICE = 2;
const HOST = 0x254;
/** What every link of IPv6 carries (RFC 8200 §5). */
const LEAST_MTU = 1280;

/**
 * Undefined: guests have IPv4 only. They have both with `ipv6`, or when something is said of its addresses; what is not said is
 * derived. Throws ConfigError.
 */
export function planIpv6(choice: Ipv6Choice, subnet: string, mtu: number): AddressPlan6 | undefined {
  const { ipv4 = true, ipv6, subnet6 = '', gatewayIP6 = '', deviceIP6 = '', hostIP6 = '' } = choice;
  for (const [name, value] of Object.entries({ ipv4, ipv6: ipv6 ?? false })) {
    if (typeof value !== 'boolean') throw new ConfigError(`${name} can't be ${JSON.stringify(value)}: want true or false`);
  }
  const said = Object.entries({ subnet6, gatewayIP6, deviceIP6, hostIP6 }).find(([, value]) => value !== '');
  if (ipv6 === false && said !== undefined) throw new ConfigError(`${said[0]} is ${said[1]}, but ipv6 is off: leave out one of them`);
  if (ipv6 !== true && said === undefined) {
    if (!ipv4) throw new ConfigError('guests need an address: ipv4 is off, and ipv6 is not on');
    return undefined;
  }
  if (mtu < LEAST_MTU) throw new ConfigError(`mtu ${mtu} is too small for IPv6: want ${LEAST_MTU} or more`);
  const prefix = subnet6 === '' ? derivedPrefix(subnet) : parsePrefix(subnet6);
  const host = (name: string, given: string, derived: number): string =>
    given === '' ? new IpAddress(prefix.w0, prefix.w1, 0, derived).toString() : checkHost(name, given, prefix);
  const plan = {
    subnet6: `${prefix.toString()}/64`,
    gatewayIP6: host('gatewayIP6', gatewayIP6, GATEWAY),
    deviceIP6: host('deviceIP6', deviceIP6, DEVICE),
    hostIP6: host('hostIP6', hostIP6, HOST),
  };
  const { gatewayIP6: gateway, deviceIP6: device, hostIP6: last } = plan;
  if (new Set([gateway, device, last]).size < 3) {
    throw new ConfigError(`gatewayIP6, deviceIP6 and hostIP6 need to be distinct, not ${gateway}, ${device} and ${last}`);
  }
  return plan;
}

/**
 * A unique local /64 (RFC 4193) that is the same whenever a network has this IPv4 subnet: fd, and 56 bits of the SHA-256 of its
 * text. Nothing is routed between such networks, so that two hosts may have the same, as they have 192.168.127.0/24.
 */
function derivedPrefix(subnet: string): IpAddress {
  const hash = createHash('sha256').update(`guestwire ${subnet}`).digest();
  return new IpAddress(0xfd000000 | hash.readUIntBE(0, 3) | 0, hash.readInt32BE(3), 0, 0);
}

function parsePrefix(text: string): IpAddress {
  const fail = (why: string): never => {
    throw new ConfigError(`subnet6 can't be ${JSON.stringify(text)}: ${why}; ${WANTED}`);
  };
  if (typeof text !== 'string') return fail('it is no text');
  if (/[,\s]/.test(text)) return fail('a network has one prefix, not several');
  const [, address = '', bits = ''] = /^([^/]+)\/(\d{1,3})$/.exec(text) ?? [];
  const prefix = IpAddress.parse(address);
  if (prefix === undefined || prefix.isIpv4) return fail('it is no prefix of IPv6');
  if (bits !== '64') return fail(`guests make their addresses in a /64, not in a /${bits}`);
  // Global unicast or unique local (RFC 4291 §2.4, RFC 4193): anything else means something else to a guest's kernel.
  if (prefix.w0 >>> 29 !== 1 && prefix.w0 >>> 25 !== 0x7e) return fail('it is neither of 2000::/3 nor of fc00::/7');
  return new IpAddress(prefix.w0, prefix.w1, 0, 0);
}

/** As RFC 5952 writes it. */
function checkHost(name: string, text: string, prefix: IpAddress): string {
  const address = typeof text === 'string' ? IpAddress.parse(text) : undefined;
  const inside = address !== undefined && address.w0 === prefix.w0 && address.w1 === prefix.w1 && (address.w2 !== 0 || address.w3 !== 0);
  if (inside) return address.toString();
  throw new ConfigError(`${name} can't be ${JSON.stringify(text)}: want an address of a host in ${prefix.toString()}/64`);
}

/** A host's address of the prefix, the gateway's own and the routers' anycast address left out; `text` is one of IPv6 as RFC 5952 writes it. */
export function isInSubnet6(text: string, { gatewayIP6, subnet6 = '' }: Partial<AddressPlan6>): boolean {
  const prefix = IpAddress.parse(subnet6.slice(0, -'/64'.length))!;
  const { w0, w1, w2, w3 } = IpAddress.parse(text)!;
  return w0 === prefix.w0 && w1 === prefix.w1 && (w2 !== 0 || w3 !== 0) && text !== gatewayIP6;
}
