/** How many descriptors this process may have: every conversation with the outside takes one. */
import { readFileSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';
import { close, duplicateAbove } from '../system/syscalls.ts';

/** Where the limit can't be read. POSIX promises no more than 20; every Linux since long gives 1024. */
const UNKNOWN = 1024;
/** For so many descriptors the kernel makes room beforehand: more than the flows of one network. */
const ROOM = 16_384;
/** Node has it open whatever it was started with. */
const STANDARD_ERROR = 2;

let reserved: Promise<void> | undefined = isMainThread ? undefined : Promise.resolve();

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

/**
 * Has the kernel make room for many descriptors, once per process; not for a worker's sake, which may end before it is done. The
 * kernel does so anyway whenever a process outgrows its table, at 64, 256, 512, 1024, …; but where there are several threads, as in
 * Node, whoever opens that descriptor waits until no processor can still be looking at the old table: 13 to 16 ms in which no frame
 * moves. Here another thread waits.
 */
export function reserveDescriptors(): Promise<void> {
  reserved ??= new Promise((resolve) => {
    duplicateAbove(STANDARD_ERROR, Math.min(ROOM, descriptorLimit()) - 1, (copy) => {
      if (copy >= 0) close(copy);
      resolve();
    });
  });
  return reserved;
}
