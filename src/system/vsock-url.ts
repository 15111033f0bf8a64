/**
 * `vsock://` URLs (contract §5.1, §5.2). What the host part is decides:
 *
 *     vsock://:1024, vsock://3:1024            AF_VSOCK: a context id, or this machine's own
 *     vsock://null:1024/vm_directory           a word and a folder: the unix socket there that HyperKit and vfkit make of a port
 *     vsock://00000400-FACB-…-64006A7986D3     a GUID: a service of Hyper-V
 *
 * gvproxy takes the first on Linux, the second on macOS (whatever the word is), the third on Windows.
 */
import { VMADDR_CID_HOST } from './constants.ts';
import { isGuid } from './hyperv.ts';

export type VsockPlace =
  /** `cid` undefined: this machine's own. `path` as in the URL, decoded. */
  | { readonly kind: 'vsock'; readonly cid: number | undefined; readonly port: number; readonly path: string }
  /** `file` is the unix socket's. */
  | { readonly kind: 'directory'; readonly file: string }
  | { readonly kind: 'hyperv'; readonly service: string; readonly path: string };

const MAXIMUM = 0xffffffff;

export function isVsockUrl(url: string): boolean {
  return /^vsock:/i.test(url);
}

/** Throws TypeError with Go's words. */
export function parseVsockUrl(url: string): VsockPlace {
  const [, authority = '', escaped = ''] = /^vsock:(?:\/\/([^/?#]*))?([^?#]*)/i.exec(url)!;
  const [, host = '', port = ''] = /^(?:.*@)?([^:]*)(?::(.*))?$/s.exec(authority)!;
  const path = decoded(escaped, url);
  if (isGuid(host)) {
    if (port !== '') throw new TypeError(`the GUID in ${url} says the port: want vsock://${host}`);
    return { kind: 'hyperv', service: host, path };
  }
  if (host === '' || /^\d+$/.test(host)) {
    return { kind: 'vsock', cid: host === '' ? undefined : parseUint32(host, url), port: parseUint32(port, url), path };
  }
  if (path === '' || path === '/') parseUint32(host, url);
  return { kind: 'directory', file: directorySocket(path, parseUint32(port, url)) };
}

/** The file of a port of the host in a folder of HyperKit's: `folder/00000002.00000400`. */
export function directorySocket(folder: string, port: number): string {
  return `${folder.replace(/\/+$/, '')}/${hex(VMADDR_CID_HOST)}.${hex(port)}`;
}

function hex(number: number): string {
  return number.toString(16).padStart(8, '0');
}

function parseUint32(text: string, url: string): number {
  const reason = /^\d+$/.test(text) ? (Number(text) > MAXIMUM ? 'value out of range' : undefined) : 'invalid syntax';
  if (reason === undefined) return Number(text);
  throw new TypeError(
    `strconv.ParseUint: parsing ${JSON.stringify(text)}: ${reason} (in ${url}; want vsock://:PORT, vsock://CID:PORT or vsock://null:PORT/FOLDER)`,
  );
}

function decoded(path: string, url: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    throw new TypeError(`invalid URL escape in ${url}`);
  }
}
