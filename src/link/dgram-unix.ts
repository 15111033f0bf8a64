/**
 * QEMU's `-netdev dgram` between two paths: one datagram is one frame, and nobody tells of anybody's end.
 *
 * The port is there as long as the link, whether QEMU is or not: frames for nobody are lost, and counted. Else nothing is lost. QEMU
 * isn't connected, so frames go out through a second socket that is: epoll tells when QEMU has taken some. A peer that has connected to
 * our path hears only the socket there.
 */
import { SO_RCVBUF, SO_SNDBUF, SOCK_DGRAM, SOL_SOCKET } from '../system/constants.ts';
import { EINVAL, ENOBUFS, ENOMEM, EPERM } from '../system/errno.ts';
import { check, SystemError } from '../system/error.ts';
import { writeUnixSockaddr } from '../system/memory.ts';
import { setOption } from '../system/socket-options.ts';
import { connectTo, datagramSocket } from '../system/unix-datagram.ts';
import { bindUnix, type UnixListener } from '../system/unix-listener.ts';
import { close } from '../system/syscalls.ts';
import type { LinkEnvironment } from './link.ts';
import { MessageLink } from './message-link.ts';
import { AGAIN, LOSE, WAIT } from './message-port.ts';
import { MessageRegion } from './message-region.ts';

/** Asked of the kernel; it grants what its limits allow. */
const BUFFER = 4 << 20;

export interface UnixDgramSpec {
  /** Our path; a socket's file there that nobody uses any more makes room. */
  readonly local: string;
  /** QEMU's path. */
  readonly remote: string;
  /** See PortNames. */
  readonly name?: string;
}

/** Throws SystemError; RangeError when the arena is full. */
export function openUnixDgram(spec: UnixDgramSpec, environment: LinkEnvironment): MessageLink {
  MessageRegion.of(environment.arena);
  const remote = new Uint8Array(128);
  const size = writeUnixSockaddr(remote, 0, spec.remote);
  if (size < 0) throw new SystemError('connect', EINVAL, { address: spec.remote, advice: 'a unix socket path has 1 to 107 bytes' });
  const bound = bindUnix(spec.local, { type: SOCK_DGRAM, replaceDead: true });
  return new Sending(bound, senderBeside(bound), remote.subarray(0, size), spec, environment).link;
}

function senderBeside(bound: UnixListener): number {
  try {
    return check(datagramSocket(), 'socket');
  } catch (error) {
    close(bound.fd);
    bound.remove();
    throw error;
  }
}

/** Which of the two sockets frames leave through. */
class Sending {
  readonly link: MessageLink;
  readonly #sender: number;
  readonly #remote: Uint8Array;
  /** The peer hears only the socket at our path. */
  #fromOwn = false;

  constructor(bound: UnixListener, sender: number, remote: Uint8Array, spec: UnixDgramSpec, environment: LinkEnvironment) {
    this.#sender = sender;
    this.#remote = remote;
    for (const fd of [bound.fd, sender]) {
      setOption(fd, SOL_SOCKET, SO_SNDBUF, BUFFER);
      setOption(fd, SOL_SOCKET, SO_RCVBUF, BUFFER);
    }
    this.link = MessageLink.attach(
      {
        address: `unixgram://${spec.local}`,
        peer: spec.remote,
        name: spec.name,
        fd: bound.fd,
        sender,
        to: remote,
        offload: false,
        largestFrame: 0,
        refusal: (errno) => this.#refusal(errno),
        survives: () => true,
        closed: () => bound.remove(),
      },
      environment,
    );
  }

  #refusal(errno: number): number {
    if (errno === ENOBUFS || errno === ENOMEM) return WAIT;
    const status = connectTo(this.#sender, this.#remote);
    if (status !== 0 && (status !== -EPERM || this.#fromOwn)) return LOSE;
    this.#fromOwn = status !== 0;
    this.link.sendFrom(this.#fromOwn);
    return AGAIN;
  }
}
