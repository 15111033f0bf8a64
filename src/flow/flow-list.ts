/**
 * The conversations of a network as those see them who look on: listed in pages, told of as they come and go, ended.
 *
 * What is listed is read when it is asked for. Nothing is counted for it per packet, and a page is one pass over the tables.
 */
import type { IpAddress } from '../packet/address.ts';
import type { TimerWheel } from '../runtime/timer-wheel.ts';
import type { FlowEntry, FlowTable } from './flow-table.ts';
import type { FlowSnapshot, ListedFlow, TcpStateName } from './snapshot.ts';
import type { TcpEngine } from './tcp/engine.ts';
import type { TcpFlow } from './tcp/flow.ts';
import { snapshotTcp, stateName } from './tcp/snapshot.ts';
import type { UdpEngine } from './udp/engine.ts';
import { snapshotUdp } from './udp/snapshot.ts';

/** What must hold of a flow to be listed; everything may be left out. */
export interface FlowFilter {
  readonly protocol?: 'tcp' | 'udp' | undefined;
  readonly guest?: IpAddress | undefined;
  readonly guestPort?: number | undefined;
  readonly remote?: IpAddress | undefined;
  readonly remotePort?: number | undefined;
  readonly direction?: 'outbound' | 'inbound' | undefined;
  /** Id of the VM's port. */
  readonly port?: number | undefined;
  readonly state?: TcpStateName | undefined;
}

export interface FlowPage {
  /** TCP first, each in the order in which they began. */
  readonly flows: FlowSnapshot[];
  /** Where the next page begins; undefined when this was the last. */
  readonly next: string | undefined;
}

export interface FlowListener {
  opened(flow: FlowSnapshot): void;
  closed(flow: FlowSnapshot): void;
}

export class FlowList {
  readonly #tcp: TcpEngine;
  readonly #udp: UdpEngine;
  readonly #timers: TimerWheel;

  constructor(tcp: TcpEngine, udp: UdpEngine, timers: TimerWheel) {
    this.#tcp = tcp;
    this.#udp = udp;
    this.#timers = timers;
  }

  /** Conversations that there are. */
  get size(): { readonly tcp: number; readonly udp: number } {
    return { tcp: this.#tcp.size, udp: this.#udp.size };
  }

  /** At most `limit` flows, from 1 up, that began behind `after`, an id or a page's `next`. Undefined when that is neither. */
  page(filter: FlowFilter, limit: number, after?: string): FlowPage | undefined {
    const place = after === undefined ? { protocol: 'tcp', serial: 0 } : parseId(after);
    if (place === undefined) return undefined;
    const now = this.#timers.now;
    const isListed = (flow: ListedFlow): boolean => matches(flow, filter);
    const { state, protocol } = filter;
    const found: FlowSnapshot[] = [];
    if (protocol !== 'udp' && place.protocol === 'tcp') {
      const isWanted = (flow: TcpFlow): boolean => (state === undefined || stateName(flow) === state) && isListed(flow);
      for (const flow of first(this.#tcp.flows, place.serial, limit + 1, isWanted)) found.push(snapshotTcp(flow, now));
    }
    if (protocol !== 'tcp' && state === undefined && found.length <= limit) {
      const from = place.protocol === 'udp' ? place.serial : 0;
      for (const flow of first(this.#udp.flows, from, limit + 1 - found.length, isListed)) found.push(snapshotUdp(flow, now));
    }
    if (found.length <= limit) return { flows: found, next: undefined };
    found.pop();
    return { flows: found, next: found[limit - 1]!.id };
  }

  /** Undefined when there is no flow of this id. */
  get(id: string): FlowSnapshot | undefined {
    const place = parseId(id);
    if (place === undefined) return undefined;
    const now = this.#timers.now;
    if (place.protocol === 'tcp') {
      const flow = find(this.#tcp.flows, place.serial);
      return flow && snapshotTcp(flow, now);
    }
    const flow = find(this.#udp.flows, place.serial);
    return flow && snapshotUdp(flow, now);
  }

  /** Resets a TCP connection on both sides; forgets a UDP conversation. False when there is no flow of this id. */
  end(id: string): boolean {
    const place = parseId(id);
    if (place?.protocol === 'tcp') {
      const flow = find(this.#tcp.flows, place.serial);
      if (flow !== undefined) this.#tcp.reset(flow);
      return flow !== undefined;
    }
    const flow = place && find(this.#udp.flows, place.serial);
    if (flow !== undefined) this.#udp.end(flow);
    return flow !== undefined;
  }

  /** Tells `listener`, and nobody else, of flows from now on; null: nobody. It is called within the packet path. */
  watch(listener: FlowListener | null): void {
    const timers = this.#timers;
    this.#tcp.flows.watcher = listener && {
      added: (flow) => listener.opened(snapshotTcp(flow, timers.now)),
      removed: (flow) => listener.closed(snapshotTcp(flow, timers.now)),
    };
    this.#udp.flows.watcher = listener && {
      added: (flow) => listener.opened(snapshotUdp(flow, timers.now)),
      removed: (flow) => listener.closed(snapshotUdp(flow, timers.now)),
    };
  }
}

function parseId(id: string): { readonly protocol: string; readonly serial: number } | undefined {
  const match = /^(tcp|udp)-([1-9]\d{0,15})$/.exec(id);
  return match === null ? undefined : { protocol: match[1]!, serial: Number(match[2]) };
}

function find<F extends FlowEntry>(flows: FlowTable<F>, serial: number): F | undefined {
  for (const flow of flows) if (flow.serial === serial) return flow;
  return undefined;
}

/** The `count` flows with the smallest serials beyond `after`, in order. Holds twice as many at most, however large the table. */
function first<F extends FlowEntry>(flows: FlowTable<F>, after: number, count: number, isWanted: (flow: F) => boolean): F[] {
  const found: F[] = [];
  let most = Infinity;
  for (const flow of flows) {
    if (flow.serial <= after || flow.serial > most || !isWanted(flow)) continue;
    found.push(flow);
    if (found.length < count * 2) continue;
    found.sort(bySerial);
    found.length = count;
    most = found[count - 1]!.serial;
  }
  return found.sort(bySerial).slice(0, count);
}

function bySerial(a: FlowEntry, b: FlowEntry): number {
  return a.serial - b.serial;
}

function matches(flow: ListedFlow, filter: FlowFilter): boolean {
  const { guest, guestPort, remote, remotePort, direction, port } = filter;
  return (
    (guestPort === undefined || flow.guestPort === guestPort) &&
    (remotePort === undefined || flow.remotePort === remotePort) &&
    (port === undefined || flow.vm.id === port) &&
    (direction === undefined || flow.fromHost === (direction === 'inbound')) &&
    (guest === undefined || is(guest, flow.guest0, flow.guest1, flow.guest2, flow.guest3)) &&
    (remote === undefined || is(remote, flow.remote0, flow.remote1, flow.remote2, flow.remote3))
  );
}

function is(address: IpAddress, w0: number, w1: number, w2: number, w3: number): boolean {
  return address.w3 === w3 && address.w2 === w2 && address.w1 === w1 && address.w0 === w0;
}
