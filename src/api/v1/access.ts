/** Which requests change something. Small, and without the rest of the API: it is asked before that is loaded. */

const READING: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS']);

/** Whether a request of this method may change something; each route's mark in the OpenAPI document (`x-access`) says the same. */
export function isWrite(method: string): boolean {
  return !READING.has(method.toUpperCase());
}
