import { readFileSync } from 'node:fs';

/** What `-version` prints and the log begins with: `gvproxy version v1.2.3`. Callers of gvproxy look for it. */
export function banner(name: string): string {
  return `${name} version v${version()}`;
}

/** The package's. */
export function version(): string {
  return (JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }).version;
}
