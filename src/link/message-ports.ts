/** The message ports of one link: how many they may be, what they are called, who has frames to send. */
import type { LinkEnvironment } from './link.ts';
import { type MessageLinkTraits, MessagePort, type MessagePortOwner } from './message-port.ts';
import { PortNames } from './port-names.ts';
import { MAXIMUM_PORTS } from './stream-ports.ts';

export class MessagePorts implements MessagePortOwner {
  /** VMs that found no place: MAXIMUM_PORTS VMs were there, or the arena was full. */
  refused = 0;
  readonly #environment: LinkEnvironment;
  readonly #traits: MessageLinkTraits;
  readonly #names: PortNames;
  readonly #gone: (port: MessagePort) => void;
  readonly #endPhase: () => void;
  readonly #ports: Set<MessagePort> = new Set();
  /** Ports with frames to send; used up to `#dirtyCount`: an array that is emptied is grown again in each round. */
  readonly #dirty: MessagePort[] = [];
  #dirtyCount = 0;

  /** `name`: see PortNames. `gone` hears of each port that has closed. */
  constructor(environment: LinkEnvironment, traits: MessageLinkTraits, name: string | undefined, gone: (port: MessagePort) => void) {
    this.#environment = environment;
    this.#traits = traits;
    this.#names = new PortNames(name);
    this.#gone = gone;
    this.#endPhase = environment.loop.phase(() => this.#flush());
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
    this.#dirty[this.#dirtyCount++] = port;
    this.#environment.loop.runSoon();
  }

  /** True when flows that waited for room can go on. */
  #flush(): boolean {
    if (this.#dirtyCount === 0) return false;
    let drained = false;
    for (let i = 0; i < this.#dirtyCount; i++) if (this.#dirty[i]!.flush()) drained = true;
    this.#dirtyCount = 0;
    return drained;
  }

  closed(port: MessagePort, reason: string): void {
    this.#ports.delete(port);
    this.#names.giveBack(port.name);
    this.#environment.events.disconnected(port, reason);
    this.#gone(port);
  }

  /** Sends what there is and detaches every VM. */
  close(reason: string): void {
    this.#flush();
    for (const port of [...this.#ports]) port.close(reason);
    this.#endPhase();
  }
}
