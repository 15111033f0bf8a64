/** A socket that whoever started this process has opened for it: one that listens becomes a listener, a connection a VM. */
import { activatedDescriptors } from '../system/activation.ts';
import { SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM } from '../system/constants.ts';
import { EINVAL } from '../system/errno.ts';
import { SystemError } from '../system/error.ts';
import { giveBack, takeInherited } from '../system/inherited.ts';
import { close } from '../system/syscalls.ts';
import type { Link, LinkEnvironment } from './link.ts';
import { attachMessageDescriptor } from './message-descriptor.ts';
import { LARGEST_FRAME } from './port.ts';
import type { DescriptorSpec } from './spec.ts';
import { StreamAttachment } from './stream-attachment.ts';
import { type Receive, type Reception, StreamListener } from './stream-listener.ts';

/** `receive` is for stream sockets. Throws SystemError for what is no socket, or none of that kind; RangeError when the arena is full. */
export function openDescriptor(spec: DescriptorSpec, environment: LinkEnvironment, receive: Receive): Link {
  const { descriptor, kind, name } = spec;
  const socket = takeInherited(typeof descriptor === 'number' ? descriptor : activated(descriptor));
  const { fd, type, listening } = socket;
  const address = `fd:${fd}`;
  const release = (): void => {
    close(fd);
    giveBack(fd);
  };
  const wanted = WANTED[kind];
  if (wanted !== undefined && wanted.type !== type) {
    release();
    throw new SystemError('open', EINVAL, { address, advice: `want ${wanted.text}` });
  }
  const { offload, largeFrames } = spec;
  if (type !== SOCK_STREAM) {
    const options = { offload, largestFrame: largeFrames ? LARGEST_FRAME : 0, ...(name !== undefined && { name }) };
    return attachMessageDescriptor(socket, options, environment);
  }
  // Its file, if it has one, belongs to whoever has made it.
  if (listening) return StreamListener.on({ fd, address, close: release }, environment, receive, name);
  let reception: Reception | undefined;
  const attach = (...link: Parameters<Receive>): boolean => {
    reception = receive(...link);
    return reception.accept(fd, address);
  };
  const left = (): void => {
    // A handshake that goes on would attach its VM to a link that is gone.
    reception?.close?.();
    giveBack(fd);
  };
  try {
    return new StreamAttachment(address, environment, attach, name, left);
  } catch (error) {
    release();
    throw error;
  }
}

const STREAM = { type: SOCK_STREAM, text: 'a stream socket' };
/** By kind; `fd` takes any. */
const WANTED: Readonly<Partial<Record<DescriptorSpec['kind'], { readonly type: number; readonly text: string }>>> = {
  qemu: STREAM,
  vpnkit: STREAM,
  bess: { type: SOCK_SEQPACKET, text: 'a socket of packets (SOCK_SEQPACKET)' },
  dgram: { type: SOCK_DGRAM, text: 'a datagram socket' },
};

function activated(name: string): number {
  const [fd, ...more] = activatedDescriptors(name);
  if (more.length === 0) return fd!;
  const advice = `there are ${more.length + 1} of them: FileDescriptorName= tells them apart`;
  throw new SystemError('open', EINVAL, { address: `systemd:${name}`, advice });
}
