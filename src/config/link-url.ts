/** How a VM is to attach, as users write it: `qemu+unix:///run/vm.sock?name=web`. docs/links.md has all forms. */
import type { DescriptorSpec, LinkSpec, SocketPlace } from '../link/spec.ts';
import { IpAddress } from '../packet/address.ts';
import { checkListenUrl } from './endpoint-url.ts';
import { ConfigError } from './subnet.ts';

/** What a form is made from. */
interface Parts {
  /** Behind the scheme and its colon, up to the query: `//` and what follows, or a word. */
  readonly rest: string;
  readonly query: ReadonlyMap<string, string>;
  /** What `name` says. */
  readonly common: { readonly name?: string };
  /** Throws ConfigError. */
  readonly refuse: (why: string) => never;
}

interface Form {
  /** As errors show it. */
  readonly usage: string;
  /** Of the query, beside `name`. */
  readonly keys: readonly string[];
  readonly read: (parts: Parts) => LinkSpec;
}

/** By what stands in front of the first colon. */
const FORMS: Readonly<Record<string, Form>> = {
  'qemu+unix': { usage: 'qemu+unix:///PATH', keys: ['connect', 'vnet_hdr'], read: (parts) => stream('qemu', 'unix', parts) },
  'qemu+tcp': { usage: 'qemu+tcp://HOST:PORT', keys: ['connect', 'vnet_hdr'], read: (parts) => stream('qemu', 'tcp', parts) },
  'vpnkit+unix': { usage: 'vpnkit+unix:///PATH', keys: [], read: (parts) => stream('vpnkit', 'unix', parts) },
  'vpnkit+tcp': { usage: 'vpnkit+tcp://HOST:PORT', keys: [], read: (parts) => stream('vpnkit', 'tcp', parts) },
  'qemu+vsock': { usage: 'qemu+vsock://:PORT', keys: ['vnet_hdr'], read: (parts) => stream('qemu', 'vsock', parts) },
  'vpnkit+vsock': { usage: 'vpnkit+vsock://:PORT', keys: [], read: (parts) => stream('vpnkit', 'vsock', parts) },
  'bess+unixpacket': { usage: 'bess+unixpacket:///PATH', keys: [], read: bess },
  'vfkit+unixgram': { usage: 'vfkit+unixgram:///PATH', keys: ['vnet_hdr', 'large_frames'], read: vfkit },
  'dgram+unix': { usage: 'dgram+unix:///PATH?remote=/PATH', keys: ['remote'], read: dgramUnix },
  'dgram+udp': { usage: 'dgram+udp://ADDRESS:PORT?remote=ADDRESS:PORT', keys: ['remote'], read: dgramUdp },
  'dgram+mcast': { usage: 'dgram+mcast://GROUP:PORT', keys: ['interface'], read: multicast },
  tap: { usage: 'tap:NAME', keys: ['vnet_hdr'], read: tap },
  stdio: { usage: 'stdio:', keys: [], read: stdio },
  'qemu+fd': { usage: 'qemu+fd:N', keys: ['vnet_hdr'], read: (parts) => descriptor('qemu', parts) },
  'vpnkit+fd': { usage: 'vpnkit+fd:N', keys: [], read: (parts) => descriptor('vpnkit', parts) },
  'bess+fd': { usage: 'bess+fd:N', keys: ['vnet_hdr'], read: (parts) => descriptor('bess', parts) },
  'dgram+fd': { usage: 'dgram+fd:N', keys: ['vnet_hdr', 'large_frames'], read: (parts) => descriptor('dgram', parts) },
  fd: { usage: 'fd:N', keys: ['vnet_hdr', 'large_frames'], read: (parts) => descriptor('fd', parts) },
  systemd: { usage: 'systemd:NAME', keys: ['vnet_hdr', 'large_frames'], read: activated },
};

/** Throws ConfigError, which says what there is instead. */
export function parseLinkUrl(text: string): LinkSpec {
  const refuse = (why: string): never => {
    throw new ConfigError(`cannot attach ${JSON.stringify(text)}: ${why}`);
  };
  if (typeof text !== 'string') refuse('want the URL of a link');
  const [, scheme, rest, , query = '', fragment] = /^([a-z][a-z+]*):([^?#]*)(\?([^#]*))?(#.*)?$/is.exec(text) ?? [];
  const form = scheme !== undefined && Object.hasOwn(FORMS, scheme.toLowerCase()) ? FORMS[scheme.toLowerCase()] : undefined;
  if (form === undefined) {
    const usages = Object.values(FORMS).map(({ usage }) => usage);
    return refuse(`${scheme === undefined ? 'not a URL' : `there is no link ${scheme}`}; there are ${usages.join(', ')}`);
  }
  if (fragment !== undefined) refuse('a # in a path is written %23');
  const values = readQuery(query, [...form.keys, 'name'], form, refuse);
  const name = values.get('name');
  if (name === '') refuse('name is empty');
  return form.read({ rest: rest!, query: values, common: name === undefined ? {} : { name }, refuse });
}

/**
 * What `-listen-qemu` and its like say (contract §2.2, §5.1): query and fragment mean nothing, nor does what follows `-listen-stdio`.
 * Schemes have been checked. Throws ConfigError.
 */
export function interfaceLink(kind: 'qemu' | 'vpnkit' | 'bess' | 'vfkit' | 'stdio', url: string): LinkSpec {
  if (kind === 'stdio') return { transport: 'stdio', kind };
  if (kind === 'bess') return { transport: 'unixpacket', kind, path: socketPath(url) };
  if (kind === 'vfkit') return { transport: 'unixgram', kind, path: socketPath(url), offload: false, largeFrames: false };
  if (kind === 'qemu' && typeof url === 'string' && /^(?:fd|systemd):/i.test(url)) return inheritedLink(url);
  checkListenUrl(url);
  return { transport: 'stream', kind, address: url, connect: false, offload: false };
}

/** Ours. What VMs of `systemd:` speak is told by the kind of socket. */
function inheritedLink(url: string): LinkSpec {
  return parseLinkUrl(/^fd:/i.test(url) ? `qemu+${url}` : url);
}

/** A host in front of it means nothing. */
function socketPath(url: string): string {
  const path = /^[^:]*:(?:\/\/[^/?#]*)?([^?#]*)/.exec(url)![1]!;
  return decoded(path, (why) => {
    throw new ConfigError(why);
  });
}

function readQuery(query: string, keys: readonly string[], { usage }: Form, refuse: (why: string) => never): Map<string, string> {
  const values = new Map<string, string>();
  for (const [key, value] of new URLSearchParams(query)) {
    if (!keys.includes(key)) refuse(`${usage} takes no ${JSON.stringify(key)}; it takes ${keys.toSorted().join(', ')}`);
    if (values.has(key)) refuse(`${key} is there twice`);
    values.set(key, value);
  }
  return values;
}

function stream(kind: 'qemu' | 'vpnkit', scheme: 'unix' | 'tcp' | 'vsock', { rest, query, common, refuse }: Parts): LinkSpec {
  if (!(scheme === 'unix' ? /^\/\/\/./ : /^\/\/./).test(rest)) refuse(`want ${FORMS[`${kind}+${scheme}`]!.usage}`);
  const connect = flag(query, 'connect', '1', refuse);
  return { ...common, transport: 'stream', kind, address: `${scheme}:${rest}`, connect, offload: flag(query, 'vnet_hdr', '12', refuse) };
}

function bess({ common, ...parts }: Parts): LinkSpec {
  return { ...common, transport: 'unixpacket', kind: 'bess', path: pathOf(parts, 'bess+unixpacket') };
}

function vfkit({ common, ...parts }: Parts): LinkSpec {
  return { ...common, transport: 'unixgram', kind: 'vfkit', path: pathOf(parts, 'vfkit+unixgram'), ...offers(parts) };
}

function dgramUnix({ common, ...parts }: Parts): LinkSpec {
  const local = pathOf(parts, 'dgram+unix');
  const remote = parts.query.get('remote') ?? '';
  if (!remote.startsWith('/')) parts.refuse(`want ${FORMS['dgram+unix']!.usage}: remote is the path of QEMU's socket`);
  if (remote === local) parts.refuse("remote is QEMU's socket: another than ours");
  return { ...common, transport: 'dgram-unix', kind: 'dgram', local, remote };
}

function dgramUdp({ rest, query, common, refuse }: Parts): LinkSpec {
  const local = placeOf(rest.replace(/^\/\//, ''), refuse);
  const where = query.get('remote') ?? refuse(`want ${FORMS['dgram+udp']!.usage}: remote is QEMU's address and port`);
  const remote = placeOf(where, (why) => refuse(`remote: ${why}`));
  if (remote.port === 0) refuse("remote: 0 is nobody's port");
  if (remote.address.isIpv4 !== local.address.isIpv4) refuse('remote: want an address of the same family, IPv4 or IPv6');
  if (remote.port === local.port && remote.address.equals(local.address)) refuse("remote is QEMU's address and port: another than ours");
  return { ...common, transport: 'dgram-udp', kind: 'dgram', local, remote };
}

function multicast({ rest, query, common, refuse }: Parts): LinkSpec {
  const group = placeOf(rest.replace(/^\/\//, ''), refuse);
  if (!group.address.isIpv4 || group.address.w3 >>> 28 !== 0xe) refuse('want a multicast group from 224.0.0.0 to 239.255.255.255');
  const own = query.get('interface');
  const address = own === undefined ? undefined : IpAddress.parse(own);
  if (own !== undefined && address?.isIpv4 !== true) refuse("interface is the IPv4 address of one of this host's interfaces");
  return { ...common, transport: 'multicast', kind: 'dgram', group, ...(address !== undefined && { interface: address }) };
}

function tap({ rest, query, common, refuse }: Parts): LinkSpec {
  if (!/^[^/\s]{1,15}$/.test(rest)) refuse('want tap:NAME, the name of an interface, of 1 to 15 characters');
  return { ...common, transport: 'tap', kind: 'tap', device: rest, offload: flag(query, 'vnet_hdr', '12', refuse) };
}

function descriptor(kind: DescriptorSpec['kind'], { common, ...parts }: Parts): LinkSpec {
  const { rest, refuse } = parts;
  if (!/^\d{1,9}$/.test(rest)) refuse('want the number of a descriptor behind fd:');
  const number = Number(rest);
  if (number < 3) refuse('descriptors 0 to 2 are the standard streams: stdio: takes them');
  return { ...common, transport: 'descriptor', kind, descriptor: number, ...offers(parts) };
}

function activated({ common, ...parts }: Parts): LinkSpec {
  return { ...common, transport: 'descriptor', kind: 'fd', descriptor: parts.rest, ...offers(parts) };
}

function stdio({ rest, common, refuse }: Parts): LinkSpec {
  if (rest !== '') refuse('nothing stands behind stdio:');
  return { ...common, transport: 'stdio', kind: 'stdio' };
}

/** What a VM takes beside frames of its MTU. */
function offers({ query, refuse }: Pick<Parts, 'query' | 'refuse'>): { offload: boolean; largeFrames: boolean } {
  return { offload: flag(query, 'vnet_hdr', '12', refuse), largeFrames: flag(query, 'large_frames', '1', refuse) };
}

function pathOf({ rest, refuse }: Pick<Parts, 'rest' | 'refuse'>, form: string): string {
  if (!/^\/\/\/./.test(rest)) refuse(`want ${FORMS[form]!.usage}`);
  return decoded(rest.slice(2), refuse);
}

function decoded(path: string, refuse: (why: string) => never): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return refuse(`invalid URL escape in ${path}`);
  }
}

/** `ADDRESS:PORT`, IPv6 in brackets. */
function placeOf(text: string, refuse: (why: string) => never): SocketPlace {
  const [, bracketed, plain = '', digits = ''] = /^(?:\[(.*)\]|([^:]*)):(\d{1,5})$/.exec(text) ?? [];
  const address = IpAddress.parse(bracketed ?? plain);
  const port = Number(digits);
  if (address === undefined || port > 65_535) return refuse(`want an IP address and a port, not ${JSON.stringify(text)}`);
  return { address, port };
}

/** True for `yes`, false for 0 or without the key. */
function flag(query: ReadonlyMap<string, string>, key: string, yes: string, refuse: (why: string) => never): boolean {
  const value = query.get(key) ?? '0';
  if (value !== '0' && value !== yes) refuse(`${key} can't be ${JSON.stringify(value)}: want ${yes} or 0`);
  return value === yes;
}
