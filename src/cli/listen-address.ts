/** Endpoint URLs as gvproxy checks them before it starts: Go's `url.Parse`, its messages, and no more (contract §2.3, §5). */
import { goQuote } from './go-quote.ts';

export interface ListenAddress {
  /** Lower case; empty when there is none. */
  readonly scheme: string;
  /** Decoded; empty when there is none, or nothing but a word behind the scheme. */
  readonly path: string;
}

/** For the log: in `unix://run/x` the path is `/x`, in the original as here (contract §5.1), which hardly anybody means. */
export function strayHost(url: string): string | undefined {
  const [, host, path] = /^unix[a-z]*:\/\/([^/?#]+)(\/[^?#]*)/i.exec(url) ?? [];
  return host === undefined
    ? undefined
    : `the path in ${url} is ${path}: ${goQuote(host)} is no part of it, for a path follows three slashes`;
}

/** Throws an Error with Go's message. */
export function parseListenAddress(text: string): ListenAddress {
  const refuse = (reason: string): never => {
    throw new Error(`parse ${goQuote(text)}: ${reason}`);
  };
  const [, scheme = '', rest = ''] = /^(?:([a-zA-Z][a-zA-Z0-9+.-]*):)?([^?#]*)/.exec(text)!;
  if (text.startsWith(':')) refuse('missing protocol scheme');
  if (scheme === '' && /^[^/]*:/.test(rest)) refuse('first path segment in URL cannot contain colon');
  const [, authority = '', path = ''] = /^(?:\/\/([^/]*))?(.*)$/s.exec(rest)!;
  const host = authority.slice(authority.lastIndexOf('@') + 1);
  if (host.startsWith('[') && !host.includes(']')) refuse("missing ']' in host");
  const behind = host.startsWith('[')
    ? host.slice(host.lastIndexOf(']') + 1)
    : host.slice(host.includes(':') ? host.lastIndexOf(':') : host.length);
  if (!/^(:\d*)?$/.test(behind)) refuse(`invalid port ${goQuote(behind)} after host`);
  const escape = /%(?![0-9a-fA-F]{2}).{0,2}/s.exec(rest);
  if (escape !== null) refuse(`invalid URL escape ${goQuote(escape[0])}`);
  return { scheme: scheme.toLowerCase(), path: path.startsWith('/') ? decodeURIComponent(path) : '' };
}
