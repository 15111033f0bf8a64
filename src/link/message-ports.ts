/** The message ports of one link: how many they may be, what they are called, who has frames to send. */
import type { LinkEnvironment } from './link.ts';
import { type MessageLinkTraits, MessagePort, type MessagePortOwner } from './message-port.ts';
import { PortNames } from './port-names.ts';
import { MAXIMUM_PORTS } from './stream-ports.ts';
import { WaitingPorts } from './waiting-ports.ts';

export class MessagePorts implements MessagePortOwner {
  /** VMs that found no place: MAXIMUM_PORTS VMs were there, or the arena was full. */
  refused = 0;
  readonly #environment: LinkEnvironment;
  readonly #traits: MessageLinkTraits;
  readonly #names: PortNames;
  readonly #gone: (port: MessagePort) => void;
  readonly #ports: Set<MessagePort> = new Set();
  readonly #waiting: WaitingPorts;

  /** `name`: see PortNames. `gone` hears of each port that has closed. */
  constructor(environment: LinkEnvironment, traits: MessageLinkTraits, name: string | undefined, gone: (port: MessagePort) => void) {
    this.#environment = environment;
    this.#traits = traits;
    this.#names = new PortNames(name);
    this.#gone = gone;
    this.#waiting = new WaitingPorts(environment.loop);
  }

  get isFull(): boolean {
    return this.#ports.size >= MAXIMUM_PORTS;
  }

  /** Null when there is no room for another VM. Give it something to send through, then `announce` it. */
  create(peer: string): MessagePort | null {
    if (this.isFull) {
      this.refused++;
      return null;
    }
    const id = this.#environment.nextId();
    const name = this.#names.take(peer, id);
    const port = MessagePort.create(id, name, this.#environment, this.#traits, this);
    if (port === null) {
      this.#names.giveBack(name);
      this.refused++;
    } else {
      this.#ports.add(port);
    }
    return port;
  }

  /** A port that can't be announced after all. */
  abandon(port: MessagePort): void {
    this.#ports.delete(port);
    this.#names.giveBack(port.name);
    port.abandon();
  }

  announce(port: MessagePort): void {
    this.#environment.receiver.attached(port);
    this.#environment.events.connected(port);
  }

  dirty(port: MessagePort): void {
    this.#waiting.add(port);
  }

  closed(port: MessagePort, reason: string): void {
    this.#ports.delete(port);
    this.#names.giveBack(port.name);
    this.#environment.events.disconnected(port, reason);
    this.#gone(port);
  }

  /** Sends what there is and detaches every VM. */
  close(reason: string): void {
    this.#waiting.flush();
    for (const port of [...this.#ports]) port.close(reason);
    this.#waiting.close();
  }
}
