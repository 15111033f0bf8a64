/** URLs of stream sockets that we listen on (contract §5.1), with Go's messages. */

export type ListenUrl = { readonly path: string } | { readonly path: undefined; readonly host: string; readonly port: number };

/** `unix://PATH`, or `tcp://HOST:PORT`, where an empty host is every address and an empty port 0. Throws TypeError for any other, with what is `wanted`. */
export function parseListenUrl(url: string, wanted: string = 'unix:///PATH or tcp://HOST:PORT'): ListenUrl {
  // Not `URL`: that refuses `tcp://:80`.
  const [, scheme = '', authority = '', path = ''] = /^(?:([a-z][a-z0-9+.-]*):)?(?:\/\/([^/?#]*))?([^?#]*)/i.exec(url)!;
  if (scheme.toLowerCase() === 'unix') return { path: decoded(path) };
  if (scheme.toLowerCase() === 'tcp') return hostPort(authority.slice(authority.lastIndexOf('@') + 1));
  throw new TypeError(`unexpected scheme ${JSON.stringify(scheme)} in ${url} (want ${wanted})`);
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    throw new TypeError(`invalid URL escape in ${path}`);
  }
}

function hostPort(text: string): { path: undefined; host: string; port: number } {
  if (text === '') return { path: undefined, host: '', port: 0 };
  const refuse = (reason: string, what = text): never => {
    throw new TypeError(`listen tcp: address ${what}: ${reason}`);
  };
  const [, bracketed, plain = '', digits] = /^(?:\[(.*)\]|(.*?))(?::([^:\]]*))?$/s.exec(text)!;
  if (digits === undefined) return refuse('missing port in address');
  if (plain.includes(':')) return refuse('too many colons in address');
  if (!/^\d*$/.test(digits) || Number(digits) > 65_535) return refuse('invalid port', digits);
  return { path: undefined, host: bracketed ?? plain, port: Number(digits) };
}
