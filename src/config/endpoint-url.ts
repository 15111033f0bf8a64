/** The URL of a listening socket, checked for its scheme before it is opened (contract §5.1); the rest is judged where it is opened. */
import { ConfigError } from './subnet.ts';

const WANTED = 'want unix:///path/to/socket, tcp://host:port or vsock://:port';
/** What gvproxy listens on besides. */
const LATER = ['unixpacket'];

/** `unix://…`, `tcp://…` or `vsock://…`. Throws ConfigError. */
export function checkListenUrl(text: string): void {
  const scheme = typeof text === 'string' ? /^([a-z][a-z0-9+.-]*):\/\//i.exec(text)?.[1]?.toLowerCase() : undefined;
  if (scheme === 'unix' || scheme === 'tcp' || scheme === 'vsock') return;
  throw new ConfigError(`cannot listen on ${JSON.stringify(text)}: ${fault(text, scheme)}; ${WANTED}`);
}

function fault(text: string, scheme: string | undefined): string {
  if (scheme === undefined)
    return `not a URL${typeof text === 'string' && /^[./]/.test(text) ? ' (a path of a unix socket follows unix://)' : ''}`;
  return LATER.includes(scheme) ? `${scheme} is not supported by this version of guestwire` : 'unexpected scheme';
}
