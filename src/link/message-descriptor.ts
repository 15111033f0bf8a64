/**
 * An inherited socket whose messages are frames: a connected SOCK_SEQPACKET or SOCK_DGRAM (one end of a pair, whose other end QEMU, vfkit
 * or User Mode Linux has as its `fd=`), or a SOCK_SEQPACKET that listens, as bess does.
 *
 * That a datagram socket's other end has gone is noticed when a frame for it can't be sent.
 */
import { AF_UNIX, SO_RCVBUF, SO_SNDBUF, SOCK_DGRAM, SOCK_SEQPACKET, SOL_SOCKET } from '../system/constants.ts';
import { EINVAL } from '../system/errno.ts';
import { SystemError } from '../system/error.ts';
import { giveBack, type InheritedSocket } from '../system/inherited.ts';
import { scratchAddress, scratchLength } from '../system/scratch.ts';
import { setOption } from '../system/socket-options.ts';
import { close, getpeername } from '../system/syscalls.ts';
import { BessListener, SEQPACKET } from './bess.ts';
import type { Link, LinkEnvironment } from './link.ts';
import { MessageLink } from './message-link.ts';
import { LOSE, losslessRefusal } from './message-port.ts';
import { MessageRegion } from './message-region.ts';
import type { SingleOptions } from './single-port-socket.ts';

/** Asked of the kernel; it grants what its limits allow. */
const BUFFER = 4 << 20;

export interface MessageDescriptorSpec {
  /** A virtio-net header stands in front of each frame. */
  readonly offload: boolean;
  /** See Port.largestFrame. */
  readonly largestFrame?: number;
  /** See PortNames. */
  readonly name?: string;
}

/** An error that an earlier datagram has met. */
const DGRAM: SingleOptions = { survives: () => true };

/** Takes over `socket`, and gives it back when the link ends, or this throws: SystemError for another kind, RangeError when the arena is full. */
export function attachMessageDescriptor(socket: InheritedSocket, spec: MessageDescriptorSpec, environment: LinkEnvironment): Link {
  const { fd, family, type, listening } = socket;
  const address = `fd:${fd}`;
  const release = (): void => {
    close(fd);
    giveBack(fd);
  };
  try {
    checkKind(socket, address);
    MessageRegion.of(environment.arena);
    if (listening) return new BessListener({ fd, address, close: release }, spec.name, environment);
  } catch (error) {
    release();
    throw error;
  }
  setOption(fd, SOL_SOCKET, SO_SNDBUF, BUFFER);
  setOption(fd, SOL_SOCKET, SO_RCVBUF, BUFFER);
  return MessageLink.attach(
    {
      ...(type === SOCK_SEQPACKET ? SEQPACKET : DGRAM),
      address,
      peer: address,
      name: spec.name,
      fd,
      offload: spec.offload,
      largestFrame: spec.largestFrame ?? 0,
      refusal: family === AF_UNIX ? losslessRefusal : () => LOSE,
      closed: () => giveBack(fd),
    },
    environment,
  );
}

function checkKind({ fd, type, listening }: InheritedSocket, address: string): void {
  const refuse = (advice: string): never => {
    throw new SystemError('open', EINVAL, { address, advice });
  };
  if (type !== SOCK_SEQPACKET && type !== SOCK_DGRAM) refuse('want a SOCK_SEQPACKET or SOCK_DGRAM socket');
  if (!listening && getpeername(fd, scratchAddress(), scratchLength()) < 0) refuse('want a connected socket, one end of a pair');
}
