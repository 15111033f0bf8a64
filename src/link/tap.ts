/**
 * A TAP interface of the host as a link: what is behind it, a bridge to a real network for one, is on the switch like a VM.
 *
 * Whoever has made the interface brings it up; while it is down, frames for it are lost, and counted. The link ends with the interface.
 */
import { EIO, EINVAL, EMSGSIZE, ENOBUFS, ENOMEM } from '../system/errno.ts';
import { openTap } from '../system/tap-device.ts';
import type { LinkEnvironment } from './link.ts';
import { MessageLink } from './message-link.ts';
import { DISCONNECT, LOSE } from './message-port.ts';
import { MessageRegion } from './message-region.ts';

export interface TapSpec {
  /** Of the interface, which is made unless there is one of this name. */
  readonly device: string;
  /** It gives and takes segments larger than its MTU. */
  readonly offload: boolean;
  /** See PortNames. */
  readonly name?: string;
}

/** A down interface, or one frame that it doesn't take: not its end. */
const LOSSES: ReadonlySet<number> = new Set([EIO, EINVAL, EMSGSIZE, ENOBUFS, ENOMEM]);

/** Throws SystemError; RangeError when the arena is full. */
export function openTapLink(spec: TapSpec, environment: LinkEnvironment): MessageLink {
  MessageRegion.of(environment.arena);
  const { fd, name } = openTap(spec.device, spec.offload);
  return MessageLink.attach(
    {
      address: `tap:${name}`,
      peer: name,
      name: spec.name,
      fd,
      device: true,
      offload: spec.offload,
      largestFrame: 0,
      refusal: (errno) => (LOSSES.has(errno) ? LOSE : DISCONNECT),
    },
    environment,
  );
}
