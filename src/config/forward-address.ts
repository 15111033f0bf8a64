/** What `forward` and `forwards` are given as text: a TCP port of the host, and the guest's that it leads to. */
import { IpAddress, parseIpv4 } from '../packet/address.ts';
import { ConfigError, placeInSubnet } from './subnet.ts';

interface Endpoint {
  readonly address: IpAddress;
  readonly port: number;
}

/** The virtual network that targets must be on. */
export interface ForwardNetwork {
  readonly subnet: string;
  readonly gatewayIP: string;
  readonly gatewayVirtualIPs: readonly string[];
}

const LOCAL_FORM = 'ip:port, localhost:port or :port (every address of the host)';

/** The host's side: `127.0.0.1:2222`, `[::1]:2222`, `localhost:2222` or `:2222`; port 0 is any free one. Throws ConfigError. */
export function parseForwardLocal(text: string): Endpoint {
  const fail = (why: string): never => {
    throw new ConfigError(`cannot forward from ${JSON.stringify(text)}: ${why}; want ${LOCAL_FORM}, such as 127.0.0.1:2222`);
  };
  if (/^udp:/i.test(text)) return fail('this version forwards TCP only');
  const split = splitEndpoint(text);
  if (split === undefined) return fail('it is not an address and a port');
  const { host, port } = split;
  if (port > 65_535) return fail(`there is no port ${port}`);
  // As Go does: no host is every address, IPv6 and IPv4.
  if (host === '') return { address: new IpAddress(0, 0, 0, 0), port };
  const address = host === 'localhost' ? IpAddress.parse('127.0.0.1') : IpAddress.parse(host);
  return address === undefined ? fail(`${JSON.stringify(host)} is no IP address`) : { address, port };
}

/** The guest's side, `192.168.127.2:22`: an address of the virtual network that can be a guest's. Throws ConfigError. */
export function parseForwardTarget(text: string, network: ForwardNetwork): Endpoint {
  const fail = (why: string): never => {
    throw new ConfigError(`cannot forward to ${JSON.stringify(text)}: ${why}; want ip:port of a guest in ${network.subnet}`);
  };
  const split = splitEndpoint(text);
  if (split === undefined) return fail('it is not an address and a port');
  const { host, port } = split;
  const word = parseIpv4(host);
  if (word === undefined) return fail(host === '' ? 'the address is missing' : `${JSON.stringify(host)} is no IPv4 address`);
  if (port < 1 || port > 65_535) return fail(`there is no port ${port}`);
  const place = placeInSubnet(word, network.subnet);
  if (place === 'outside') return fail(`${host} is not in the virtual network`);
  if (place === 'reserved') return fail(`${host} stands for the network itself`);
  if (host === network.gatewayIP || network.gatewayVirtualIPs.includes(host)) return fail(`${host} is the gateway's`);
  return { address: IpAddress.v4(word), port };
}

/** Host without brackets, and port; undefined when the text is not of that form. The port may be out of range. */
function splitEndpoint(text: string): { host: string; port: number } | undefined {
  // Programs in JavaScript may pass anything. An IPv6 address wants brackets: where it ends can't be told otherwise.
  const match = typeof text === 'string' ? /^(?:\[([0-9a-f:.]+)\]|([^:[\]]*)):(\d{1,9})$/i.exec(text) : null;
  return match === null ? undefined : { host: match[1] ?? match[2]!, port: Number(match[3]) };
}
