/** How many descriptors this process may have: every conversation with the outside takes one. */
import { readFileSync } from 'node:fs';

/** Where the limit can't be read. POSIX promises no more than 20; every Linux since long gives 1024. */
const UNKNOWN = 1024;

/** The soft limit, which Node raises to the hard one when it starts. */
export function descriptorLimit(): number {
  try {
    const found = /^Max open files\s+(\d+|unlimited)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
    if (found === 'unlimited') return Number.MAX_SAFE_INTEGER;
    return found === undefined ? UNKNOWN : Number(found);
  } catch {
    return UNKNOWN;
  }
}
