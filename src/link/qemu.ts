/** QEMU's `-netdev stream` and `-netdev socket,connect=` (contract §6.1): each connection is a VM at once. Several may attach (contract §6.8: one). */
import { type Framing, QEMU_FRAMING, VNET_FRAMING } from './framing.ts';
import type { LinkEnvironment } from './link.ts';
import type { StreamSpec } from './spec.ts';
import { type Reception, StreamListener } from './stream-listener.ts';
import type { StreamPorts } from './stream-ports.ts';

/** Rejects as StreamListener.open does. */
export async function openQemu({ address, offload, name }: StreamSpec, environment: LinkEnvironment): Promise<StreamListener> {
  return StreamListener.open(address, environment, receive(offload ? VNET_FRAMING : QEMU_FRAMING), name);
}

function receive(framing: Framing): (ports: StreamPorts) => Reception {
  return (ports) => ({ accept: (fd, peer) => ports.attach(fd, framing, peer) !== null });
}
