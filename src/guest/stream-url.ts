/** gvforwarder's `-url`: where the stream of frames leads to (contract §5.2). */
import { parseVsockUrl } from '../system/vsock-url.ts';

export type StreamUrl =
  /** `path` of the request that begins the stream; empty for none. */
  | { readonly kind: 'vsock'; readonly cid: number; readonly port: number; readonly path: string }
  | { readonly kind: 'unix'; readonly file: string; readonly path: string }
  | { readonly kind: 'stdio'; readonly program: string; readonly args: readonly string[] };

const WANTED = 'want vsock://CID:PORT/connect, unix:///PATH or stdio:/PROGRAM?flag=value';

/** Throws TypeError. */
export function parseStreamUrl(url: string): StreamUrl {
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(url)?.[1]?.toLowerCase();
  if (scheme === 'vsock') return vsock(url);
  const [, path = '', query = ''] = /^[^:]*:(?:\/\/[^/?#]*)?([^?#]*)(?:\?([^#]*))?/.exec(url) ?? [];
  if (scheme === 'unix') return { kind: 'unix', file: named(decoded(path, url), url), path: '/connect' };
  if (scheme === 'stdio') {
    const args = [...new URLSearchParams(query)].map(([name, value]) => `-${name}=${value}`);
    return { kind: 'stdio', program: named(decoded(path, url), url), args };
  }
  throw new TypeError(`unexpected scheme (${JSON.stringify(url)}: ${WANTED})`);
}

function vsock(url: string): StreamUrl {
  const place = parseVsockUrl(url);
  if (place.kind !== 'vsock' || place.cid === undefined)
    throw new TypeError(`${url} names no machine to connect to: want vsock://CID:PORT/connect`);
  return { kind: 'vsock', cid: place.cid, port: place.port, path: place.path };
}

function named(path: string, url: string): string {
  if (path === '') throw new TypeError(`${JSON.stringify(url)} has no path: ${WANTED}`);
  return path;
}

function decoded(path: string, url: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    throw new TypeError(`invalid URL escape in ${url}`);
  }
}
