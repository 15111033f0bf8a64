/** Option 119 (RFC 3397), without compression as gvproxy sends it (contract §11.2). */
import { encodeName } from '../dns/name.ts';

/** A domain that can't be written is left out. */
export function encodeSearchList(domains: readonly string[]): Uint8Array {
  return Buffer.concat(domains.map(encodeName).filter((name) => name !== undefined));
}
