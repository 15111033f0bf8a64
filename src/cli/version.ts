import { readFileSync } from 'node:fs';

/** `v` and the package's version. */
export function version(): string {
  const { version: text } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string };
  return `v${text}`;
}
