/** The UDP ports of the host that lead to guests: who is looked at when. */
import type { DatagramListener, EndpointHandler } from '../../host/endpoint.ts';
import type { Port } from '../../link/port.ts';
import type { UdpContext } from './context.ts';
import { type InboundOptions, InboundPort } from './inbound.ts';

export class InboundPorts {
  readonly #ctx: UdpContext;
  readonly #wake: () => void;
  readonly #ports: Set<InboundPort> = new Set();
  #queue: InboundPort[] = [];
  #queueCount = 0;
  #pumping: InboundPort[] = [];

  constructor(ctx: UdpContext, wake: () => void) {
    this.#ctx = ctx;
    this.#wake = wake;
  }

  /** `listen` opens the socket, and may throw. */
  open(options: InboundOptions, listen: (handler: EndpointHandler) => DatagramListener): InboundPort {
    const port = new InboundPort(
      this.#ctx,
      options,
      (one) => this.#schedule(one),
      () => void this.#ports.delete(port),
    );
    port.start(listen(port));
    this.#ports.add(port);
    return port;
  }

  #schedule(port: InboundPort): void {
    if (port.queued || port.closed || port.blockedOn !== null) return;
    port.queued = true;
    this.#queue[this.#queueCount++] = port;
    this.#wake();
  }

  /** True when there is more. */
  pump(): boolean {
    const count = this.#queueCount;
    if (count === 0) return false;
    const ports = this.#queue;
    this.#queue = this.#pumping;
    this.#pumping = ports;
    this.#queueCount = 0;
    for (let i = 0; i < count; i++) {
      const port = ports[i]!;
      port.queued = false;
      if (port.pump()) this.#schedule(port);
    }
    return this.#queueCount > 0;
  }

  /** A guest's port has room again. */
  drained(link: Port): void {
    for (const port of this.#ports) if (port.blockedOn === link) port.unblock();
  }

  /** A guest's port is gone. */
  detached(): void {
    for (const port of this.#ports) if (port.blockedOn !== null) port.unblock();
  }

  close(): void {
    for (const port of this.#ports) port.close();
  }
}
