/** Where an SSH forward leads: `ssh-tunnel://` of the API (contract §14.4), `ssh://` of `-forward-*` (§14.6). */
import { isIP } from 'node:net';

export interface SshTarget {
  /** Address of the guest. */
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string | undefined;
  /** Of the socket in the guest. */
  readonly path: string;
  /** Path of the private key on the host. */
  readonly identity: string;
  readonly passphrase: string | undefined;
  /** The host key must be the one that known_hosts has, if it has one. */
  readonly secure: boolean;
}

interface Url {
  readonly scheme: string;
  readonly user: string;
  readonly password: string | undefined;
  readonly host: string;
  readonly port: string;
  readonly path: string;
  readonly query: URLSearchParams;
}

/** `ssh-tunnel://USER@IP[:22]/PATH?key=FILE[&passphrase=…][&secure=true]`. Throws an Error with gvproxy's text (contract §14.2). */
export function parseSshTarget(text: string): SshTarget {
  const url = parsed(text);
  if (url.scheme !== 'ssh-tunnel') throw new Error(`remote protocol for unix forwarder is not implemented: ${url.scheme}`);
  const identity = url.query.get('key') ?? '';
  if (identity === '') throw new Error('key not provided for unix-ssh connection');
  return target(url, identity);
}

/** `ssh://USER@IP[:22]/PATH[?secure=true]`; the key is named beside it. Throws an Error that says what is wrong. */
export function parseForwardTarget(text: string, identity: string): SshTarget {
  const url = parsed(text);
  if (url.scheme !== 'ssh') throw new Error(`URI scheme not supported: ${url.scheme}`);
  return target(url, identity);
}

/** The path of `-forward-sock`: a `unix:` URL or the path itself. Throws an Error with gvproxy's text (contract §14.1, §14.6). */
export function parseForwardSocket(text: string): string {
  if (!text.includes('://')) return text;
  const { scheme, path } = parsed(text);
  if (scheme === 'npipe') throw new Error('named pipes are not supported by this platform');
  if (scheme !== 'unix') throw new Error(`URI scheme not supported: ${scheme}`);
  return path;
}

function target(url: Url, identity: string): SshTarget {
  if (url.path === '' || url.path === '/') throw new Error('remote uri must contain a path to a socket file');
  if (isIP(url.host) === 0) throw new Error(`invalid remote addr: ${url.host === '' ? 'no host' : `${url.host} is not an IP address`}`);
  if (url.user === '') throw new Error('remote uri must name a user, as in ssh-tunnel://core@192.168.127.2/path');
  const port = url.port === '' ? 22 : Number(url.port);
  if (port < 1 || port > 65_535) throw new Error(`invalid port ${url.port} in remote uri (want 1 to 65535)`);
  return {
    host: url.host,
    port,
    user: url.user,
    password: url.password,
    path: url.path,
    identity,
    passphrase: url.query.get('passphrase') || undefined,
    secure: url.query.get('secure') === 'true',
  };
}

/** Go's rules for URLs and its messages; `URL` takes `a//b` for a path of its own and refuses `unix://tmp/x`. */
function parsed(text: string): Url {
  const refuse = (reason: string): never => {
    throw new Error(`failed to parse remote uri :${text} : parse ${JSON.stringify(text)}: ${reason}`);
  };
  const decode = (part: string): string => {
    const broken = /%(?![0-9a-f]{2}).{0,2}/is.exec(part);
    if (broken !== null) refuse(`invalid URL escape ${JSON.stringify(broken[0])}`);
    try {
      return decodeURIComponent(part);
    } catch {
      return refuse('the escapes are not UTF-8');
    }
  };
  if (hasControl(text)) refuse('net/url: invalid control character in URL');
  if (text.startsWith(':')) refuse('missing protocol scheme');
  const [, scheme = '', rest = '', query = ''] = /^(?:([a-z][a-z0-9+.-]*):)?([^?#]*)(?:\?([^#]*))?/i.exec(text)!;
  if (scheme === '' && /^[^/]*:/.test(rest)) refuse('first path segment in URL cannot contain colon');
  const [, authority = '', path = ''] = /^(?:\/\/([^/]*))?(.*)$/s.exec(rest)!;
  const at = authority.lastIndexOf('@');
  const [, user = '', password] = /^([^:]*)(?::(.*))?$/s.exec(authority.slice(0, Math.max(at, 0)))!;
  const [, bracketed, plain = '', behind = ''] = /^(?:\[([^\]]*)\]|([^:]*))(.*)$/s.exec(authority.slice(at + 1))!;
  if (!/^(:\d*)?$/.test(behind)) refuse(`invalid port ${JSON.stringify(behind)} after host`);
  return {
    scheme: scheme.toLowerCase(),
    user: decode(user),
    password: password === undefined ? undefined : decode(password),
    host: decode(bracketed ?? plain),
    port: behind.slice(1),
    path: decode(path),
    query: new URLSearchParams(query),
  };
}

function hasControl(text: string): boolean {
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code < 0x20 || code === 0x7f) return true;
  }
  return false;
}
