/**
 * Tells subscribers what happens in a network. Costs nothing while nobody listens; and however fast guests make things happen, and
 * however slowly subscribers read, memory is bounded: each has a queue of its own, and is told how many events it has lost.
 *
 *     network ─► rate limit ─► one text per event ─► queue of each subscriber that wants its kind ─► its stream
 */
import type { FlowSnapshot } from '../../flow/snapshot.ts';
import { counterTree, forEachDrop } from './counter-tree.ts';
import type { V1Network } from './subject.ts';

export const EVENT_KINDS = [
  'port-attached',
  'port-detached',
  'station',
  'station-gone',
  'lease',
  'flow-opened',
  'flow-closed',
  'drops',
] as const;
export type EventKind = (typeof EVENT_KINDS)[number];

export const SUBSCRIBER_LIMIT = 64;
/** Events that wait for one subscriber. */
export const QUEUE_LIMIT = 512;
/** Events a second, for all subscribers together: guests decide how many there are. */
export const EVENTS_PER_SECOND = 1000;
/** Milliseconds between looks at what was dropped. */
export const DROPS_INTERVAL = 1000;

/** One stream's end: a bounded queue of events, each a whole event of text/event-stream. */
export class Subscriber {
  readonly kinds: ReadonlySet<EventKind>;
  readonly #queue: string[] = [];
  #lost = 0;
  #waiting: (() => void) | null = null;

  constructor(kinds: ReadonlySet<EventKind>) {
    this.kinds = kinds;
  }

  /** Events that wait. */
  get size(): number {
    return this.#queue.length;
  }

  push(event: string): void {
    // Behind what was lost nothing may come before that is said.
    if (this.#lost > 0 || this.#queue.length >= QUEUE_LIMIT) this.#lost++;
    else this.#queue.push(event);
    this.#wake();
  }

  /** An event was too many for all. */
  lose(): void {
    this.#lost++;
    this.#wake();
  }

  /** A comment, unless there is something to send anyway. */
  beat(): void {
    if (this.#waiting === null) return;
    this.#queue.push(':\n\n');
    this.#wake();
  }

  /** Takes everything that waits, in order, what was lost last; waits until there is something. */
  async take(): Promise<string> {
    if (this.#queue.length === 0 && this.#lost === 0) {
      await new Promise<void>((resolve) => {
        this.#waiting = resolve;
      });
    }
    let text = this.#queue.splice(0).join('');
    if (this.#lost > 0) text += formatEvent('lost', { lost: this.#lost });
    this.#lost = 0;
    return text;
  }

  #wake(): void {
    this.#waiting?.();
    this.#waiting = null;
  }
}

/** An event of text/event-stream (HTML standard §9.2.6). JSON has no line breaks. */
export function formatEvent(kind: string, data: object): string {
  return `event: ${kind}\ndata: ${JSON.stringify(data)}\n\n`;
}

export class EventHub {
  readonly #network: V1Network;
  readonly #subscribers: Set<Subscriber> = new Set();
  /** Ends listening to the network; null while nobody does. */
  #stop: (() => void) | null = null;
  #watching = false;
  #second = 0;
  #events = 0;
  readonly #drops: Map<string, number> = new Map();

  constructor(network: V1Network) {
    this.#network = network;
  }

  get size(): number {
    return this.#subscribers.size;
  }

  /** Null when there are as many as there may be. */
  subscribe(kinds: ReadonlySet<EventKind>): Subscriber | null {
    if (this.#subscribers.size >= SUBSCRIBER_LIMIT) return null;
    const subscriber = new Subscriber(kinds);
    this.#subscribers.add(subscriber);
    this.#stop ??= this.#start();
    this.#watchFlows();
    return subscriber;
  }

  unsubscribe(subscriber: Subscriber): void {
    this.#subscribers.delete(subscriber);
    this.#watchFlows();
    if (this.#subscribers.size > 0) return;
    this.#stop?.();
    this.#stop = null;
  }

  #wants(kind: EventKind): boolean {
    for (const { kinds } of this.#subscribers) if (kinds.has(kind)) return true;
    return false;
  }

  /** Flows are told of only while somebody wants to know: they come and go by the thousands. */
  #watchFlows(): void {
    const wanted = this.#wants('flow-opened') || this.#wants('flow-closed');
    if (wanted === this.#watching) return;
    this.#watching = wanted;
    const listener = {
      opened: (flow: FlowSnapshot): void => this.#tell('flow-opened', () => flow),
      closed: (flow: FlowSnapshot): void => this.#tell('flow-closed', () => flow),
    };
    this.#network.flows.watch(wanted ? listener : null);
  }

  #start(): () => void {
    const network = this.#network;
    const connected = (port: { id: number; name: string }, link: string): void =>
      this.#tell('port-attached', () => ({ port: port.id, name: port.name, link }));
    const disconnected = (port: { id: number; name: string }, reason: string, link: string): void =>
      this.#tell('port-detached', () => ({ port: port.id, name: port.name, link, reason }));
    const station = (mac: string, port: { id: number }): void => this.#tell('station', () => ({ mac, port: port.id }));
    const stationGone = (mac: string, port: { id: number }): void => this.#tell('station-gone', () => ({ mac, port: port.id }));
    const lease = (address: string, mac: string): void => this.#tell('lease', () => ({ address, mac }));
    network.on('connected', connected).on('disconnected', disconnected);
    network.on('station', station).on('stationGone', stationGone).on('lease', lease);
    this.#readDrops();
    const timer = setInterval(() => this.#tellDrops(), DROPS_INTERVAL).unref();
    return () => {
      clearInterval(timer);
      network.off('connected', connected).off('disconnected', disconnected);
      network.off('station', station).off('stationGone', stationGone).off('lease', lease);
    };
  }

  /** `data` is asked for only when the event is told of. */
  #tell(kind: EventKind, data: () => object): void {
    if (!this.#wants(kind)) return;
    const isLost = !this.#allowed();
    const text = isLost ? '' : formatEvent(kind, data());
    for (const subscriber of this.#subscribers) {
      if (!subscriber.kinds.has(kind)) continue;
      if (isLost) subscriber.lose();
      else subscriber.push(text);
    }
  }

  #allowed(): boolean {
    const second = Math.floor(performance.now() / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#events = 0;
    }
    return this.#events++ < EVENTS_PER_SECOND;
  }

  #tellDrops(): void {
    if (!this.#wants('drops')) return;
    const drops = this.#readDrops();
    if (drops.length > 0) this.#tell('drops', () => ({ drops }));
  }

  /** What was dropped since the last look. */
  #readDrops(): { counter: string; count: number }[] {
    const { counters, ports } = this.#network;
    // By port instead of their sum.
    const tree = { ...counterTree(counters), ports: Object.fromEntries(ports.map((port) => [port.id, counterTree(port.counters)])) };
    const seen = new Set<string>();
    const drops: { counter: string; count: number }[] = [];
    forEachDrop(tree, (path, value) => {
      seen.add(path);
      const before = this.#drops.get(path) ?? 0;
      this.#drops.set(path, value);
      if (value > before) drops.push({ counter: path, count: value - before });
    });
    for (const path of this.#drops.keys()) if (!seen.has(path)) this.#drops.delete(path);
    return drops;
  }
}
