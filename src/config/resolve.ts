/** Fills in what the options of a network leave out, and checks what they say: a mistake shows before anything is opened. */
import { IpAddress, parseIpv4 } from '../packet/address.ts';
import { parseMac } from '../packet/mac.ts';
import type { DnsZone, NetworkOptions, ResolvedOptions } from '../network-options.ts';
import { DEFAULT_MTU, DEVICE_MAC, DEVICE_UUID, GATEWAY_MAC, internalZones, isMtu, MTU_MAXIMUM, MTU_MINIMUM } from './defaults.ts';
import { parseForwardKey, parseForwardTarget } from './forward-address.ts';
import { isInSubnet6, planIpv6 } from './subnet6.ts';
import { ConfigError, placeInSubnet, planAddresses } from './subnet.ts';

/** Throws ConfigError, which names the option. */
export function resolveOptions(options: NetworkOptions = {}): ResolvedOptions {
  checkNames(options);
  const addresses = planAddresses(options.subnet, options.gatewayIP, options.deviceIP, options.hostIP);
  const { gatewayIP, deviceIP, hostIP } = addresses;
  const ipv6 = planIpv6(options, addresses.subnet, options.mtu ?? DEFAULT_MTU);
  const resolved: ResolvedOptions = {
    ...addresses,
    mtu: options.mtu ?? DEFAULT_MTU,
    gatewayMacAddress: options.gatewayMacAddress ?? GATEWAY_MAC,
    nat: options.nat ?? { [hostIP]: '127.0.0.1' },
    gatewayVirtualIPs: options.gatewayVirtualIPs ?? [hostIP],
    dns: options.dns ?? internalZones(gatewayIP, hostIP, ipv6, options.ipv4),
    dnsSearchDomains: options.dnsSearchDomains ?? [],
    dhcpStaticLeases: options.dhcpStaticLeases ?? { [deviceIP]: DEVICE_MAC },
    vpnKitUUIDMacAddresses: options.vpnKitUUIDMacAddresses ?? { [DEVICE_UUID]: DEVICE_MAC },
    forwards: options.forwards ?? {},
    preserveClientAddress: options.preserveClientAddress ?? true,
    ec2MetadataAccess: options.ec2MetadataAccess ?? false,
    isolation: options.isolation ?? false,
    guard: options.guard ?? 'mac',
    ...(ipv6 && { ipv4: options.ipv4 ?? true, ipv6: true, ...ipv6 }),
  };
  check(resolved);
  return { ...resolved, ...absent(options) };
}

/** Options that are left out where they are not given. */
function absent({ captureFile, tcpMaxInFlight, tcpConnectTimeout }: NetworkOptions): Partial<ResolvedOptions> {
  if (captureFile !== undefined && (typeof captureFile !== 'string' || captureFile === ''))
    reject('captureFile', captureFile, 'the path of a file');
  if (tcpMaxInFlight !== undefined) checkWhole('tcpMaxInFlight', tcpMaxInFlight, MOST_IN_FLIGHT);
  if (tcpConnectTimeout !== undefined) checkWhole('tcpConnectTimeout', tcpConnectTimeout, LONGEST_CONNECT);
  return {
    ...(captureFile === undefined ? {} : { captureFile }),
    ...(tcpMaxInFlight === undefined ? {} : { tcpMaxInFlight }),
    ...(tcpConnectTimeout === undefined ? {} : { tcpConnectTimeout }),
  };
}

const MOST_IN_FLIGHT = 65_536;
/** Milliseconds. */
const LONGEST_CONNECT = 3_600_000;

function checkWhole(option: string, value: number, most: number): void {
  if (!Number.isInteger(value) || value < 1 || value > most) reject(option, value, `a whole number from 1 to ${most}`);
}

/** The names there are; the compiler keeps the list complete. */
const NAMES: Readonly<Record<keyof NetworkOptions, true>> = {
  mtu: true,
  subnet: true,
  gatewayIP: true,
  gatewayMacAddress: true,
  deviceIP: true,
  hostIP: true,
  ipv4: true,
  ipv6: true,
  subnet6: true,
  gatewayIP6: true,
  deviceIP6: true,
  hostIP6: true,
  nat: true,
  gatewayVirtualIPs: true,
  dns: true,
  dnsSearchDomains: true,
  dhcpStaticLeases: true,
  vpnKitUUIDMacAddresses: true,
  forwards: true,
  preserveClientAddress: true,
  ec2MetadataAccess: true,
  tcpMaxInFlight: true,
  tcpConnectTimeout: true,
  captureFile: true,
  isolation: true,
  guard: true,
};

/** Programs in JavaScript have no compiler that tells them of a misspelt option. */
function checkNames(options: NetworkOptions): void {
  if (typeof options !== 'object' || options === null)
    throw new ConfigError(`the options of a network are an object, not ${JSON.stringify(options)}`);
  for (const name of Object.keys(options)) {
    if (!Object.hasOwn(NAMES, name)) throw new ConfigError(`there is no option ${name}; there are ${Object.keys(NAMES).join(', ')}`);
  }
}

function reject(option: string, value: unknown, wanted: string): never {
  const given = typeof value === 'number' ? String(value) : (JSON.stringify(value) ?? String(value));
  throw new ConfigError(`${option} can't be ${given}: want ${wanted}`);
}

function check(options: ResolvedOptions): void {
  const { mtu, gatewayMacAddress, nat, gatewayVirtualIPs, dns, dnsSearchDomains, dhcpStaticLeases, ec2MetadataAccess } = options;
  if (!isMtu(mtu)) reject('mtu', mtu, `a whole number from ${MTU_MINIMUM} to ${MTU_MAXIMUM}`);
  checkMac('gatewayMacAddress', gatewayMacAddress);
  const checkIp = options.ipv6 === true ? checkAnyAddress : checkAddress;
  for (const [from, to] of entries('nat', nat)) {
    checkIp('a key of nat', from);
    checkIp(`nat[${JSON.stringify(from)}]`, to);
    const { isIpv4 } = IpAddress.parse(from)!;
    if (IpAddress.parse(to)!.isIpv4 !== isIpv4)
      reject(`nat[${JSON.stringify(from)}]`, to, `an IPv${isIpv4 ? 4 : 6} address, as the key is`);
  }
  for (const address of list('gatewayVirtualIPs', gatewayVirtualIPs)) {
    checkIp('gatewayVirtualIPs', address);
    const of6 = parseIpv4(address) === undefined ? IpAddress.parse(address)!.toString() : undefined;
    if (of6 !== undefined && !isInSubnet6(of6, options)) reject('gatewayVirtualIPs', address, `an address of a host in ${options.subnet6}`);
  }
  for (const zone of list('dns', dns)) checkZone(zone, checkIp);
  for (const domain of list('dnsSearchDomains', dnsSearchDomains)) {
    if (typeof domain !== 'string') reject('dnsSearchDomains', domain, 'domain names');
  }
  for (const [address, mac] of entries('dhcpStaticLeases', dhcpStaticLeases)) {
    const place = placeInSubnet(checkAddress('a key of dhcpStaticLeases', address), options.subnet);
    if (place !== 'guest') reject('a key of dhcpStaticLeases', address, `an address of a guest in ${options.subnet}`);
    checkMac(`dhcpStaticLeases[${JSON.stringify(address)}]`, mac);
  }
  for (const [uuid, mac] of entries('vpnKitUUIDMacAddresses', options.vpnKitUUIDMacAddresses)) {
    if (!UUID.test(uuid)) reject('a key of vpnKitUUIDMacAddresses', uuid, `a UUID such as ${DEVICE_UUID}`);
    checkMac(`vpnKitUUIDMacAddresses[${JSON.stringify(uuid)}]`, mac);
  }
  for (const [local, target] of entries('forwards', options.forwards)) {
    parseForwardKey(local);
    parseForwardTarget(target, options);
  }
  if (typeof options.preserveClientAddress !== 'boolean') reject('preserveClientAddress', options.preserveClientAddress, 'true or false');
  if (typeof ec2MetadataAccess !== 'boolean') reject('ec2MetadataAccess', ec2MetadataAccess, 'true or false');
  if (typeof options.isolation !== 'boolean') reject('isolation', options.isolation, 'true or false');
  if (!GUARDS.includes(options.guard)) reject('guard', options.guard, GUARDS.join(', '));
}

const GUARDS: readonly string[] = ['off', 'mac', 'lease'];
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

function entries(option: string, value: Readonly<Record<string, string>>): [string, string][] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) reject(option, value, 'an object');
  return Object.entries(value);
}

function list<T>(option: string, value: readonly T[]): readonly T[] {
  if (!Array.isArray(value)) reject(option, value, 'an array');
  return value;
}

function checkAddress(option: string, value: string): number {
  return (typeof value === 'string' ? parseIpv4(value) : undefined) ?? reject(option, value, 'an IPv4 address such as 192.168.127.9');
}

function checkAnyAddress(option: string, value: string): void {
  if (typeof value !== 'string' || IpAddress.parse(value) === undefined)
    reject(option, value, 'an IPv4 or IPv6 address such as 192.168.127.9');
}

/** The group bit stands for several stations (IEEE 802 §8.2); nobody has such an address. Leases are compared in this form. */
function checkMac(option: string, value: string): void {
  const mac = typeof value === 'string' && !value.includes('-') ? parseMac(value) : undefined;
  if (mac === undefined || mac.hi & 0x100) reject(option, value, 'the MAC address of one station, such as 5a:94:ef:e4:0c:ee');
}

function checkZone(zone: DnsZone, checkIp: (option: string, value: string) => unknown): void {
  const { name, records, defaultIP } = zone;
  // Contract §12.2: a zone without the dot would never match.
  if (typeof name !== 'string' || !name.endsWith('.')) reject('the name of a zone in dns', name, 'a name with its final dot');
  for (const record of list(`records of ${name} in dns`, records)) {
    if (typeof record.name !== 'string')
      reject(`a record's name in ${name}`, record.name, 'a name, or the empty text where pattern decides');
    checkIp(`${record.name} in ${name}`, record.ip);
  }
  if (defaultIP !== undefined) checkIp(`defaultIP of ${name}`, defaultIP);
}
