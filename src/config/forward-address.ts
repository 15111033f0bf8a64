/** What `forward` and `forwards` are given as text: a port of the host, and the guest's that it leads to. */
import { IpAddress, parseIpv4 } from '../packet/address.ts';
import { type AddressPlan6, isInSubnet6 } from './subnet6.ts';
import { ConfigError, placeInSubnet } from './subnet.ts';

interface Endpoint {
  readonly address: IpAddress;
  readonly port: number;
}

/** The virtual network that targets must be on. */
export interface ForwardNetwork extends Partial<AddressPlan6> {
  readonly ipv4?: boolean | undefined;
  readonly subnet: string;
  readonly gatewayIP: string;
  readonly gatewayVirtualIPs: readonly string[];
}

/** A name that a resolver may know (RFC 1123 §2.1), with the final dot and underscores that some have. Four numbers are a mistyped address. */
const NAME = /^(?![\d.]+$)[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?$/i;

const LOCAL_FORM = 'ip:port, localhost:port or :port (every address of the host), for UDP with udp: in front';

/** The host's side of a forward, as a key of `forwards` names it. */
export interface ForwardKey {
  readonly protocol: 'tcp' | 'udp';
  /** Without the protocol. */
  readonly local: string;
}

/**
 * `127.0.0.1:2222`, `[::1]:2222`, `localhost:2222`, `box.example:2222` or `:2222`, with `udp:` in front for UDP (contract §14.5); port 0
 * is any free one. Throws ConfigError.
 */
export function parseForwardKey(text: string): ForwardKey {
  const { protocol, local } = splitKey(text);
  return { protocol, local };
}

/** As `parseForwardKey`, for an address that needs no resolver. Throws ConfigError. */
export function parseForwardLocal(text: string): ForwardKey & Endpoint {
  const { protocol, local, host, port } = splitKey(text);
  // As Go does: no host is every address, IPv6 and IPv4.
  if (host === '') return { protocol, local, address: new IpAddress(0, 0, 0, 0), port };
  const address = host === 'localhost' ? IpAddress.parse('127.0.0.1') : IpAddress.parse(host);
  return address === undefined ? refuseLocal(text, `${JSON.stringify(host)} is no IP address`) : { protocol, local, address, port };
}

function splitKey(text: string): ForwardKey & { host: string; port: number } {
  const udp = typeof text === 'string' && text.startsWith('udp:');
  const local = udp ? text.slice(4) : text;
  const split = splitEndpoint(local);
  if (split === undefined) return refuseLocal(text, 'it is not an address and a port');
  const { host, port } = split;
  if (port > 65_535) return refuseLocal(text, `there is no port ${port}`);
  if (host !== '' && IpAddress.parse(host) === undefined && !NAME.test(host)) {
    return refuseLocal(text, `${JSON.stringify(host)} is neither an IP address nor the name of a host`);
  }
  return { protocol: udp ? 'udp' : 'tcp', local, host, port };
}

function refuseLocal(text: string, why: string): never {
  throw new ConfigError(`cannot forward from ${JSON.stringify(text)}: ${why}; want ${LOCAL_FORM}, such as 127.0.0.1:2222`);
}

/** The guest's side, `192.168.127.2:22`: an address of the virtual network that can be a guest's. Throws ConfigError. */
export function parseForwardTarget(text: string, network: ForwardNetwork): Endpoint {
  const fail = (why: string): never => {
    const { ipv4, subnet, subnet6 } = network;
    const where = [
      ...(ipv4 === false ? [] : [`ip:port of a guest in ${subnet}`]),
      ...(subnet6 === undefined ? [] : [`[ip]:port of one in ${subnet6}`]),
    ];
    throw new ConfigError(`cannot forward to ${JSON.stringify(text)}: ${why}; want ${where.join(' or ')}`);
  };
  const split = splitEndpoint(text);
  if (split === undefined) return fail('it is not an address and a port');
  const { host, port } = split;
  const version = network.subnet6 === undefined ? 'IPv4 ' : 'IP ';
  const address = version === 'IP ' || parseIpv4(host) !== undefined ? IpAddress.parse(host) : undefined;
  if (address === undefined) return fail(host === '' ? 'the address is missing' : `${JSON.stringify(host)} is no ${version}address`);
  if (port < 1 || port > 65_535) return fail(`there is no port ${port}`);
  const why = whyNoGuest(address.toString(), network);
  return why === undefined ? { address, port } : fail(why);
}

/** As `parseForwardTarget`, of a host that may be an IPv6 address without brackets. Throws ConfigError. */
export function parseDialTarget(host: string, port: number, network: ForwardNetwork): Endpoint {
  const isBare = typeof host === 'string' && host.includes(':') && !host.startsWith('[');
  return parseForwardTarget(`${isBare ? `[${host}]` : host}:${port}`, network);
}

/** Why an address, as `IpAddress` writes it, can't be a guest's; undefined when it can, empty when the network has none of its version. */
export function whyNoGuest(address: string, network: ForwardNetwork): string | undefined {
  const word = parseIpv4(address);
  if (word === undefined) return whyNoGuest6(address, network);
  if (network.ipv4 === false) return `${address} is of IPv4, which guests don't have`;
  const place = placeInSubnet(word, network.subnet);
  if (place === 'outside') return `${address} is not in the virtual network`;
  if (place === 'reserved') return `${address} stands for the network itself`;
  if (address === network.gatewayIP || network.gatewayVirtualIPs.includes(address)) return `${address} is the gateway's`;
  return undefined;
}

function whyNoGuest6(address: string, network: ForwardNetwork): string | undefined {
  const { subnet6, gatewayIP6, hostIP6, gatewayVirtualIPs } = network;
  if (subnet6 === undefined) return '';
  const isVirtual = address === hostIP6 || gatewayVirtualIPs.some((text) => IpAddress.parse(text)?.toString() === address);
  if (address === gatewayIP6 || isVirtual) return `${address} is the gateway's`;
  return isInSubnet6(address, network) ? undefined : `${address} is not in ${subnet6}`;
}

/** Host without brackets, and port; undefined when the text is not of that form. The port may be out of range. */
function splitEndpoint(text: string): { host: string; port: number } | undefined {
  // Programs in JavaScript may pass anything. An IPv6 address wants brackets: where it ends can't be told otherwise.
  const match = typeof text === 'string' ? /^(?:\[([0-9a-f:.]+)\]|([^:[\]]*)):(\d{1,9})$/i.exec(text) : null;
  return match === null ? undefined : { host: match[1] ?? match[2]!, port: Number(match[3]) };
}
