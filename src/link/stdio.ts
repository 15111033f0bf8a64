/** Frames on standard input and output (contract §6.2), as podman's WSL machines have them: one VM, and its end is the link's. */
import { close } from '../system/syscalls.ts';
import { takeStandardStreams } from '../system/standard-streams.ts';
import { VPNKIT_FRAMING } from './framing.ts';
import type { Link, LinkEnvironment } from './link.ts';
import type { StdioSpec } from './spec.ts';
import { StreamAttachment } from './stream-attachment.ts';

/** Throws SystemError when standard input and output can't carry frames; RangeError when the arena is full. */
export function openStdio({ name }: StdioSpec, environment: LinkEnvironment): Link {
  const ends = takeStandardStreams();
  try {
    return new StreamAttachment('stdio:', environment, (ports) => ports.attach(ends.in, VPNKIT_FRAMING, 'stdio', ends.out) !== null, name);
  } catch (error) {
    close(ends.in);
    close(ends.out);
    throw error;
  }
}
