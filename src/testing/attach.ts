/** Plugs a soft guest into a virtual network of this process. */
import type { MemoryPort } from '../link/memory-port.ts';
import type { VirtualNetwork } from '../network.ts';
import { SoftGuest } from './soft-guest.ts';
import type { Scheduler } from './wire.ts';

export interface AttachedGuest {
  readonly guest: SoftGuest;
  readonly port: MemoryPort;
}

const realTime: Scheduler = {
  now: () => performance.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
};

/** The guest takes the network's MTU from its lease. Close the port to unplug it. */
export function attachGuest(network: VirtualNetwork, mac: string): AttachedGuest {
  // First the guest: what it refuses leaves no port behind.
  const guest: SoftGuest = new SoftGuest({ mac, wire: { send: (frame) => port.send(frame) }, scheduler: realTime });
  const port: MemoryPort = network.attachMemory(mac, (bytes, at, length) => guest.receive(bytes, at, length));
  port.onDrain = () => guest.drained();
  return { guest, port };
}
