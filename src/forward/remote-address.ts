/** The guest's side of a forward, with the answers of Contract §14.1 and §14.2. */
import { IpAddress, parseIpv4 } from '../packet/address.ts';
import { ForwardError } from './forward.ts';

export interface ForwardTarget {
  readonly address: IpAddress;
  readonly port: number;
}

/** Why nobody can be forwarded to at an address of either version; undefined when it can be a guest's, empty when the network has no IPv6. */
export type WhyNoGuest = (address: string) => string | undefined;

/** `a.b.c.d:port` or `[IPv6]:port`. Throws ForwardError. */
export function parseRemote(text: string, whyNoGuest: WhyNoGuest): ForwardTarget {
  const refuse = (reason: string): never => {
    throw new ForwardError('remote', `address ${text}: ${reason}`);
  };
  const colon = text.lastIndexOf(':');
  if (colon < 0 || text.endsWith(']')) return refuse('missing port in address');
  const host = text.slice(0, colon);
  const bracketed = /^\[(.*)\]$/.exec(host)?.[1];
  if (bracketed !== undefined) return parseRemote6(text, bracketed, parsePort(text.slice(colon + 1)), whyNoGuest);
  if (host.includes(':')) return refuse('too many colons in address');
  const port = parsePort(text.slice(colon + 1));
  const word = parseIpv4(host);
  if (word === undefined) return refuse(`${JSON.stringify(host)} is no IPv4 address of a guest`);
  const why = port === 0 ? 'there is no port 0' : whyNoGuest(host);
  if (why !== undefined) throw new ForwardError('address', `cannot forward to ${text}: ${why}`);
  return { address: IpAddress.v4(word), port };
}

/** gvproxy knows no such address; without IPv6 the answer is its own (contract §14.1). */
function parseRemote6(text: string, host: string, port: number, whyNoGuest: WhyNoGuest): ForwardTarget {
  const address = IpAddress.parse(host);
  const why = address === undefined || address.isIpv4 ? '' : whyNoGuest(address.toString());
  if (address === undefined || why === '') throw new ForwardError('address', 'invalid remote addr');
  const fault = why ?? (port === 0 ? 'there is no port 0' : undefined);
  if (fault !== undefined) throw new ForwardError('address', `cannot forward to ${text}: ${fault}`);
  return { address, port };
}

/** Go's `strconv.ParseUint` of 16 bits. */
function parsePort(digits: string): number {
  const fail = (reason: string): never => {
    throw new ForwardError('address', `strconv.ParseUint: parsing ${JSON.stringify(digits)}: ${reason}`);
  };
  if (!/^\d+$/.test(digits)) return fail('invalid syntax');
  const port = Number(digits);
  return port > 65_535 ? fail('value out of range') : port;
}

/** What a unix forward leads to. */
export type UnixTarget = { readonly kind: 'tcp'; readonly target: ForwardTarget } | { readonly kind: 'ssh-tunnel' };

/** `tcp://a.b.c.d:port`, or `ssh-tunnel://…`, whose rest is not looked at here. Throws ForwardError. */
export function parseUnixRemote(text: string, whyNoGuest: WhyNoGuest): UnixTarget {
  const fail = (reason: string): never => {
    throw new ForwardError('address', `failed to parse remote uri :${text} : parse ${JSON.stringify(text)}: ${reason}`);
  };
  const [, scheme = '', rest = ''] = /^(?:([a-zA-Z][a-zA-Z0-9+.-]*):)?(.*)$/s.exec(text)!;
  if (text.startsWith(':')) return fail('missing protocol scheme');
  if (scheme === '' && /^[^/?#]*:/.test(text)) return fail('first path segment in URL cannot contain colon');
  const name = scheme.toLowerCase();
  if (name === 'ssh-tunnel') return { kind: 'ssh-tunnel' };
  if (name !== 'tcp') throw new ForwardError('unsupported', `remote protocol for unix forwarder is not implemented: ${name}`);
  const authority = /^\/\/([^/?#]*)/.exec(rest)?.[1] ?? '';
  return { kind: 'tcp', target: parseRemote(authority.slice(authority.lastIndexOf('@') + 1), whyNoGuest) };
}
