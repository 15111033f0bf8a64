/** What `/etc/hosts` and `/etc/resolv.conf` say (hosts(5), resolv.conf(5)). */
import { IpAddress } from '../../packet/address.ts';
import { setU32 } from '../../packet/bytes.ts';
import { encodeName } from './name.ts';

export interface HostNames {
  /** Lower-case name → addresses, 4 or 16 bytes each. */
  readonly addresses: ReadonlyMap<string, readonly Uint8Array[]>;
  /** Name under in-addr.arpa or ip6.arpa → the first name of the address, as in a message (one element). */
  readonly pointers: ReadonlyMap<string, readonly Uint8Array[]>;
}

export function parseHosts(text: string): HostNames {
  const addresses = new Map<string, Uint8Array[]>();
  const pointers = new Map<string, Uint8Array[]>();
  for (const line of text.split('\n')) {
    const [literal, ...names] = line.replace(/#.*/, '').trim().split(/\s+/);
    const address = literal === undefined ? undefined : IpAddress.parse(literal);
    if (address === undefined) continue;
    const bytes = addressBytes(address);
    for (const name of names) {
      const key = name.toLowerCase().replace(/\.$/, '');
      const known = addresses.get(key);
      if (known) known.push(bytes);
      else addresses.set(key, [bytes]);
    }
    const reverse = reverseName(bytes);
    const target = names[0] === undefined ? undefined : encodeName(names[0]);
    if (target !== undefined && !pointers.has(reverse)) pointers.set(reverse, [target]);
  }
  return { addresses, pointers };
}

function addressBytes(address: IpAddress): Uint8Array {
  const bytes = new Uint8Array(16);
  [address.w0, address.w1, address.w2, address.w3].forEach((word, i) => setU32(bytes, i * 4, word));
  return address.isIpv4 ? bytes.slice(12) : bytes;
}

/** RFC 1035 §3.5, RFC 3596 §2.5. */
function reverseName(address: Uint8Array): string {
  if (address.length === 4) return `${[...address].toReversed().join('.')}.in-addr.arpa`;
  return `${Buffer.from(address).toString('hex').split('').toReversed().join('.')}.ip6.arpa`;
}

/** At most this many servers are asked (MAXNS of resolv.conf(5)). */
const SERVERS = 3;

/** Addresses of the nameservers; those with a zone or that are no literals are left out. */
export function parseNameservers(text: string): readonly string[] {
  const servers: string[] = [];
  for (const line of text.split('\n')) {
    const match = /^nameserver\s+(\S+)/.exec(line);
    if (match && IpAddress.parse(match[1]!) !== undefined) servers.push(match[1]!);
  }
  return servers.slice(0, SERVERS);
}

/** The first line that begins with `search ` exactly, split at single spaces (contract §12.6). */
export function parseSearchDomains(text: string): readonly string[] {
  const line = text.split('\n').find((candidate) => candidate.startsWith('search '));
  return line === undefined ? [] : line.slice('search '.length).split(' ');
}
