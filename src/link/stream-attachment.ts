/** A stream that is there already, and the single VM behind it: the link closes with its VM. */
import type { Link, LinkEnvironment } from './link.ts';
import { PortNames } from './port-names.ts';
import { ReceiveRegion } from './receive-region.ts';
import { StreamPorts } from './stream-ports.ts';
import { CapacityError } from '../errors.ts';

/** Bytes read from the VM at a time. */
const RECEIVE_REGION = 1 << 20;

/** Attaches the VM to `ports`, at once or after a handshake. False: there is no room for it. */
export type Attach = (ports: StreamPorts, environment: LinkEnvironment) => boolean;

export class StreamAttachment implements Link {
  readonly address: string;
  readonly #ports: StreamPorts;
  readonly #closing: (link: Link) => void;
  #closed = false;

  /** `name`: see PortNames. `left`: is called when the link is closed. Throws what `attach` throws; RangeError when the arena is full. */
  constructor(address: string, environment: LinkEnvironment, attach: Attach, name?: string, left?: () => void) {
    this.address = address;
    const { events } = environment;
    this.#closing = (link) => {
      left?.();
      events.closed?.(link);
    };
    const own: LinkEnvironment = {
      ...environment,
      events: {
        connected: (port) => events.connected(port),
        disconnected: (port, reason) => {
          events.disconnected(port, reason);
          this.close();
        },
        refused: (reason) => {
          events.refused?.(reason);
          this.close();
        },
      },
    };
    this.#ports = new StreamPorts(new ReceiveRegion(environment.arena, RECEIVE_REGION), own, new PortNames(name));
    try {
      if (!attach(this.#ports, own)) throw new CapacityError('no-room', 'the arena has no room for another VM');
    } catch (error) {
      this.#closed = true;
      this.#ports.close('not attached');
      throw error;
    }
  }

  get refused(): number {
    return this.#ports.refused;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#ports.close('the link is closed');
    this.#closing(this);
  }
}
