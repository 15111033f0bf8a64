/** Request targets as Go's `net/http` reads and cleans them (contract §13.2). */

export interface Target {
  /** Percent-decoded, as it was sent. */
  readonly path: string;
  /** As it was sent. */
  readonly escaped: string;
  readonly query: URLSearchParams;
  /** The query as it was sent, with its question mark; empty without one. */
  readonly search: string;
}

/** Undefined for a target that is no path, no URL, or has a broken escape. */
export function parseTarget(text: string): Target | undefined {
  const [, escaped = '', search = ''] = /^(?:https?:\/\/[^/?#]*)?(\/[^?#]*)?(\?[^#]*)?/i.exec(text)!;
  if (escaped === '' && !/^https?:/i.test(text)) return undefined;
  if (/%(?![0-9a-f]{2})/i.test(escaped)) return undefined;
  return { path: unescape(escaped), escaped, query: new URLSearchParams(search), search };
}

function unescape(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    // Not UTF-8: no path of ours, but none that Go refuses.
    return path;
  }
}

/** Where Go's mux redirects to: without `//`, `.` and `..`, a final slash kept. The same text when it is clean. */
export function cleanPath(path: string): string {
  if (path === '') return '/';
  const kept: string[] = [];
  for (const segment of path.split('/')) {
    if (segment === '..') kept.pop();
    else if (segment !== '' && segment !== '.') kept.push(segment);
  }
  const clean = `/${kept.join('/')}`;
  return path.endsWith('/') && clean !== '/' ? `${clean}/` : clean;
}
