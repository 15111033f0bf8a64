/**
 * Host → guest: a UDP port of the host that leads to a guest's. One socket serves all clients; each is a conversation of its own.
 *
 *     pump: receive in batches ─► the client's flow ─► frame          guest's answer ─► flow ─► sendmmsg to the client
 *
 * The guest's port has one back-pressure for all clients: while it has no room, nothing is taken from the socket.
 */
import { IpAddress } from '../../packet/address.ts';
import type { Neighbour, NeighbourTable } from '../../gateway/neighbour.ts';
import { type DatagramListener, DatagramSenders, type EndpointHandler } from '../../host/endpoint.ts';
import { EAGAIN } from '../../host/errno.ts';
import type { Port } from '../../link/port.ts';
import { FlowTable } from '../flow-table.ts';
import type { UdpContext } from './context.ts';
import { LARGEST, type UdpFlow } from './flow.ts';
import { InboundClient } from './inbound-client.ts';
import { touch } from './lifetime.ts';
import { openFromHost } from './opening.ts';
import { CALLS_PER_PUMP, ROOM_PER_CALL, SLOT_SIZE, SLOTS } from './receiving.ts';

/** Conversations of one forwarded port. */
const CLIENT_LIMIT = 2048;
/** Contract §10.2: milliseconds of silence in both directions. */
const IDLE = 90_000;

export interface InboundOptions {
  /** The guest's side. */
  readonly address: IpAddress;
  readonly port: number;
  readonly neighbours: Pick<NeighbourTable, 'resolve'>;
  /** The address that the guest sees for a client: the client's own, which is handed back as it is, or another. */
  seenAs(client: IpAddress): IpAddress;
}

export class InboundPort implements EndpointHandler {
  readonly #ctx: UdpContext;
  readonly #options: InboundOptions;
  readonly #schedule: (inbound: InboundPort) => void;
  readonly #closing: () => void;
  readonly #senders: DatagramSenders = new DatagramSenders();
  readonly #clients: FlowTable<InboundClient>;
  /** In the order in which they are looked at for room. */
  readonly #order: Set<InboundClient> = new Set();
  #listener: DatagramListener | null = null;
  #neighbour: Neighbour | null = null;
  #resolving = false;
  /** Nobody has the guest's address: what has come for it meanwhile is thrown away. */
  #deserted = false;
  /** Payload of about the largest datagram to be expected: how many may be taken at once. */
  #largest = LARGEST;
  /** The guest's port without room that the clients' datagrams wait for. */
  blockedOn: Port | null = null;
  queued = false;
  closed = false;

  /** `schedule` asks for a pump; `closing` is called once, at the end. */
  constructor(ctx: UdpContext, options: InboundOptions, schedule: (inbound: InboundPort) => void, closing: () => void) {
    this.#ctx = ctx;
    this.#options = options;
    this.#schedule = schedule;
    this.#closing = closing;
    // All of one owner as far as this table is concerned: whose flows may be how many is for the engine's.
    this.#clients = new FlowTable(CLIENT_LIMIT, ctx.random, Infinity);
  }

  /** Clients that have a conversation. */
  get size(): number {
    return this.#clients.size;
  }

  /** The host's port. */
  get port(): number {
    return this.#listener!.port;
  }

  /** Takes over the socket, whose handler this is. */
  start(listener: DatagramListener): void {
    this.#listener = listener;
    this.#schedule(this);
  }

  onReady(): void {
    this.#schedule(this);
  }

  /** True when the socket may have more. */
  pump(): boolean {
    if (this.closed) return false;
    for (let call = 0; call < CALLS_PER_PUMP; call++) {
      if (!this.#reachable()) return false;
      const { delivery } = this.#ctx;
      const port = this.#neighbour?.port ?? null;
      const room = delivery.room(this.#largest);
      const count = Math.min(Math.max(Math.floor(ROOM_PER_CALL / room), 1), SLOTS);
      if (port !== null && port.claim(count * room) < 0) {
        this.blockedOn = port;
        return false;
      }
      const got = this.#receive(count);
      if (got === -EAGAIN || (got > 0 && got < count)) {
        // What comes from now on may find the guest.
        this.#deserted = false;
        return false;
      }
    }
    return true;
  }

  /** Whether there is somebody to deliver to, or to throw away for. */
  #reachable(): boolean {
    if (this.#neighbour !== null && this.#neighbour.port !== null) return true;
    if (this.#resolving) return false;
    if (this.#deserted) return true;
    const { w0, w1, w2, w3 } = this.#options.address;
    this.#neighbour = null;
    this.#resolving = true;
    this.#options.neighbours.resolve(w0, w1, w2, w3, (neighbour) => {
      this.#resolving = false;
      this.#neighbour = neighbour;
      this.#deserted = neighbour === null;
      this.#schedule(this);
    });
    return this.#neighbour !== null;
  }

  #receive(count: number): number {
    const ctx = this.#ctx;
    const got = this.#listener!.receive(ctx.receive, LARGEST, SLOT_SIZE, count, ctx.lengths, this.#senders);
    if (got < 0) {
      if (got !== -EAGAIN) ctx.counters.dropHostError++;
      return got;
    }
    if (this.#neighbour === null || this.#neighbour.port === null) ctx.counters.dropNobody += got;
    else this.#deliver(this.#neighbour, got);
    return got;
  }

  #deliver(neighbour: Neighbour, count: number): void {
    const ctx = this.#ctx;
    const { counters, delivery, lengths, receive } = ctx;
    let largest = 0;
    let before: UdpFlow | null = null;
    for (let i = 0; i < count; i++) {
      const length = lengths[i]!;
      if (length > largest) largest = length;
      const flow = this.#flowOf(neighbour, i);
      if (flow === null) {
        counters.dropFlood++;
        continue;
      }
      if (delivery.deliver(flow, receive + i * SLOT_SIZE, length)) counters.datagramsOut++;
      else counters.dropNoRoom++;
      flow.received++;
      if (before !== null && flow !== before && !before.removed) touch(ctx, before);
      before = flow;
    }
    if (before !== null && !before.removed) touch(ctx, before);
    // Down slowly: what was large once may be so again.
    this.#largest = Math.max(largest, this.#largest - (this.#largest >> 3));
  }

  /** The conversation of the client whose datagram is in this slot. */
  #flowOf(neighbour: Neighbour, slot: number): UdpFlow | null {
    const { address, port } = this.#senders;
    const w0 = address[slot * 4]!;
    const w1 = address[slot * 4 + 1]!;
    const w2 = address[slot * 4 + 2]!;
    const w3 = address[slot * 4 + 3]!;
    const known = this.#clients.find(0, 0, 0, 0, 0, w0, w1, w2, w3, port[slot]!);
    if (known === null) return this.#open(neighbour, new IpAddress(w0, w1, w2, w3), slot);
    known.used = true;
    known.talksTo(this.#senders, slot);
    return known.flow;
  }

  #open(neighbour: Neighbour, address: IpAddress, slot: number): UdpFlow | null {
    const ctx = this.#ctx;
    const port = this.#senders.port[slot]!;
    // A client with port 0 can't be answered (RFC 768), and no kernel sends such a datagram.
    if (port === 0) return null;
    if (this.#clients.size >= CLIENT_LIMIT) this.#makeRoom();
    const client = new InboundClient(neighbour, this.#listener!, address, port, (left) => this.#left(left));
    client.talksTo(this.#senders, slot);
    const seen = this.#options.seenAs(address);
    const flow =
      (seen === address ? openFromHost(ctx, neighbour, this.#options.port, seen, port, client) : null) ??
      openFromHost(ctx, neighbour, this.#options.port, seen, 0, client);
    if (flow === null) return null;
    flow.lifetime = IDLE;
    client.flow = flow;
    this.#clients.add(client);
    this.#order.add(client);
    ctx.counters.openedFromHost++;
    return flow;
  }

  /** Second chance: who was heard from again since it was last looked at goes to the end once. */
  #makeRoom(): void {
    for (const client of this.#order) {
      if (!client.used) {
        this.#ctx.counters.evicted++;
        return this.#ctx.remove(client.flow!);
      }
      client.used = false;
      this.#order.delete(client);
      this.#order.add(client);
    }
  }

  #left(client: InboundClient): void {
    this.#clients.remove(client);
    this.#order.delete(client);
  }

  /** A guest's port has room again, or is gone. */
  unblock(): void {
    this.blockedOn = null;
    this.#schedule(this);
  }

  /** Closes the socket, and ends its conversations. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    for (const client of [...this.#order]) this.#ctx.remove(client.flow!);
    this.#listener?.close();
    this.#closing();
  }
}
