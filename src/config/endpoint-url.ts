/** The URL of a listening socket, checked before it is opened (contract §5.1). */
import { ConfigError } from './subnet.ts';

const WANTED = 'want unix:///path/to/socket or tcp://host:port';

/** `unix://PATH` or `tcp://HOST:PORT`; port 0 is any free one. Throws ConfigError. */
export function checkListenUrl(text: string): void {
  const parsed = typeof text === 'string' && URL.canParse(text) ? new URL(text) : undefined;
  if (parsed === undefined) {
    const hint = typeof text === 'string' && /^[./]/.test(text) ? ' (a path of a unix socket follows unix://)' : '';
    throw new ConfigError(`cannot listen on ${JSON.stringify(text)}: not a URL${hint}; ${WANTED}`);
  }
  if (parsed.protocol !== 'unix:' && parsed.protocol !== 'tcp:') {
    throw new ConfigError(`cannot listen on ${JSON.stringify(text)}: unexpected scheme; ${WANTED}`);
  }
  if (parsed.protocol === 'tcp:' && parsed.port === '') {
    throw new ConfigError(`cannot listen on ${JSON.stringify(text)}: the port is missing; ${WANTED}`);
  }
}
