/** QEMU's `-netdev stream` and `-netdev socket,connect=` (contract §6.1): each connection is a VM at once. Several may attach (contract §6.8: one). */
import { QEMU_FRAMING, VNET_FRAMING } from './framing.ts';
import type { Receive } from './stream-listener.ts';

/** `offload`: a virtio-net header stands in front of each frame. */
export function receiveQemu(offload: boolean): Receive {
  const framing = offload ? VNET_FRAMING : QEMU_FRAMING;
  return (ports) => ({ accept: (fd, peer) => ports.attach(fd, framing, peer) !== null });
}
