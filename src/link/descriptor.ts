/** A socket that whoever started this process has opened for it: one that listens becomes a listener, a connection a VM. */
import { SOCK_STREAM } from '../system/constants.ts';
import { EINVAL } from '../system/errno.ts';
import { SystemError } from '../system/error.ts';
import { giveBack, takeInherited } from '../system/inherited.ts';
import { close } from '../system/syscalls.ts';
import type { Link, LinkEnvironment } from './link.ts';
import type { DescriptorSpec } from './spec.ts';
import { StreamAttachment } from './stream-attachment.ts';
import { type Receive, StreamListener } from './stream-listener.ts';

/** `receive` is for stream sockets. Throws SystemError for what is no socket, or none of that kind; RangeError when the arena is full. */
export function openDescriptor({ descriptor, name }: DescriptorSpec, environment: LinkEnvironment, receive: Receive): Link {
  const { fd, type, listening } = takeInherited(descriptor);
  const address = `fd:${fd}`;
  const release = (): void => {
    close(fd);
    giveBack(fd);
  };
  if (type !== SOCK_STREAM) {
    release();
    throw new SystemError('open', EINVAL, { address, advice: 'want a stream socket' });
  }
  // Its file, if it has one, belongs to whoever has made it.
  if (listening) return StreamListener.on({ fd, address, close: release }, environment, receive, name);
  try {
    const attach = (...link: Parameters<Receive>): boolean => receive(...link).accept(fd, address);
    return new StreamAttachment(address, environment, attach, name, () => giveBack(fd));
  } catch (error) {
    release();
    throw error;
  }
}
