/** How a VM is to attach, as users write it: `qemu+unix:///run/vm.sock?name=web`. docs/links.md has all forms. */
import type { LinkSpec } from '../link/spec.ts';
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
  'qemu+fd': { usage: 'qemu+fd:N', keys: ['vnet_hdr'], read: (parts) => descriptor('qemu', parts) },
  'vpnkit+fd': { usage: 'vpnkit+fd:N', keys: [], read: (parts) => descriptor('vpnkit', parts) },
  fd: { usage: 'fd:N', keys: ['vnet_hdr'], read: (parts) => descriptor('fd', parts) },
  stdio: { usage: 'stdio:', keys: [], read: stdio },
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

/** What `-listen-qemu` and its like say (contract §2.2, §5.1): query and fragment mean nothing, nor does what follows `-listen-stdio`. Throws ConfigError. */
export function interfaceLink(kind: 'qemu' | 'vpnkit' | 'stdio', url: string): LinkSpec {
  if (kind === 'stdio') return { transport: 'stdio', kind };
  checkListenUrl(url);
  return { transport: 'stream', kind, address: url, connect: false, offload: false };
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

function stream(kind: 'qemu' | 'vpnkit', scheme: 'unix' | 'tcp', { rest, query, common, refuse }: Parts): LinkSpec {
  if (!(scheme === 'unix' ? /^\/\/\/./ : /^\/\/./).test(rest)) refuse(`want ${FORMS[`${kind}+${scheme}`]!.usage}`);
  const connect = flag(query, 'connect', '1', refuse);
  return { ...common, transport: 'stream', kind, address: `${scheme}:${rest}`, connect, offload: flag(query, 'vnet_hdr', '12', refuse) };
}

function descriptor(kind: 'qemu' | 'vpnkit' | 'fd', { rest, query, common, refuse }: Parts): LinkSpec {
  if (!/^\d{1,9}$/.test(rest)) refuse('want the number of a descriptor behind fd:');
  const number = Number(rest);
  if (number < 3) refuse('descriptors 0 to 2 are the standard streams: stdio: takes them');
  return { ...common, transport: 'descriptor', kind, descriptor: number, offload: flag(query, 'vnet_hdr', '12', refuse) };
}

function stdio({ rest, common, refuse }: Parts): LinkSpec {
  if (rest !== '') refuse('nothing stands behind stdio:');
  return { ...common, transport: 'stdio', kind: 'stdio' };
}

/** True for `yes`, false for 0 or without the key. */
function flag(query: ReadonlyMap<string, string>, key: string, yes: string, refuse: (why: string) => never): boolean {
  const value = query.get(key) ?? '0';
  if (value !== '0' && value !== yes) refuse(`${key} can't be ${JSON.stringify(value)}: want ${yes} or 0`);
  return value === yes;
}
