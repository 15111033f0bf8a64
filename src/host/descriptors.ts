/** How many descriptors this process may have: every conversation with the outside takes one. */
import { readFileSync } from 'node:fs';
import { AF_UNIX, SOCK_CLOEXEC, SOCK_DGRAM } from '../system/constants.ts';
import { close, duplicateAbove, socket } from '../system/syscalls.ts';

/** Where the limit can't be read. POSIX promises no more than 20; every Linux since long gives 1024. */
const UNKNOWN = 1024;
/** For so many descriptors the kernel makes room beforehand: more than the flows of one network. */
const ROOM = 16_384;

let reserved = false;

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
 * Has the kernel make room for many descriptors, once per process and on another thread. It does so anyway whenever a process
 * outgrows its table, at 64, 256, 512, 1024, …; but where there are several threads, as in Node, whoever opens that descriptor
 * waits until no processor can still be looking at the old table: 13 to 16 ms in which no frame moves.
 */
export function reserveDescriptors(): void {
  if (reserved) return;
  reserved = true;
  const fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  duplicateAbove(fd, Math.min(ROOM, descriptorLimit()) - 1, (copy) => {
    if (copy >= 0) close(copy);
    close(fd);
  });
}
