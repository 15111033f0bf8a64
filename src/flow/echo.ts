/**
 * Real pings: echo requests of guests to other addresses leave through the host, and the replies come back.
 *
 * One ping endpoint per guest address, identifier and destination. The reply's source is the address the guest pinged,
 * whatever NAT made of it (contract §16 row 9).
 */
import { IpAddress } from '../packet/address.ts';
import { finish, type Sum } from '../packet/checksum.ts';
import * as icmp from '../packet/icmpv4.ts';
import { ECHO_REPLY as ECHO_REPLY_6 } from '../packet/icmpv6.ts';
import * as ipv4 from '../packet/ipv4.ts';
import { PROTOCOL_ICMPV6 } from '../packet/ipv6.ts';
import type { Arena } from '../runtime/arena.ts';
import { Timer, type TimerWheel } from '../runtime/timer-wheel.ts';
import type { Neighbour } from '../gateway/neighbour.ts';
import type { InboundPacket, Transport } from '../gateway/packet.ts';
import type { EndpointHandler, HostNetwork, PingEndpoint } from '../host/endpoint.ts';
import { EACCES, EAGAIN, EHOSTUNREACH, EMFILE, ENETDOWN, ENETUNREACH, ENFILE, EPERM } from '../host/errno.ts';
import type { Port } from '../link/port.ts';
import { IPV4, type PacketOutput, ReplyAddresses } from './family.ts';
import type { FlowPolicy } from './policy.ts';
import { FairShares } from '../runtime/fair-shares.ts';

/** Echo flows at once, of which one VM may have its share (see fair-shares.ts); its own idle longest makes room. */
export const ECHO_LIMIT = 512;
/** A guest that pings much at once must not hold up the others: of one batch's flows to open and requests, those beyond are dropped. */
const OPENINGS = 32;
const REQUESTS = 128;
/** Milliseconds without a request or reply. */
const IDLE = 30_000;
/** Replies of one flow per pump. */
const PER_PUMP = 32;
/** Of the largest reply, over IPv6. */
const PAYLOAD = 65_535 - icmp.HEADER;

/** What echo needs of the gateway. */
export interface EchoGateway extends PacketOutput {
  readonly icmp: { unreachable(packet: InboundPacket, code: number): void };
}

export interface EchoOptions {
  readonly arena: Arena;
  readonly sum: Sum;
  readonly timers: TimerWheel;
  readonly host: HostNetwork;
  readonly gateway: EchoGateway;
  readonly policy: FlowPolicy;
}

export class EchoCounters {
  requests = 0;
  /** Of IPv4, and of IPv6. */
  replies = 0;
  replies6 = 0;
  blocked = 0;
  /** The host allows neither ping sockets nor raw ones. */
  notPermitted = 0;
  unreachable = 0;
  failed = 0;
  /** The host had no descriptor for another ping socket. */
  hostExhausted = 0;
  evicted = 0;
  dropFlood = 0;
}

class EchoFlow implements EndpointHandler {
  endpoint!: PingEndpoint;
  readonly neighbour: Neighbour;
  readonly vm: Port;
  readonly key: string;
  readonly identifier: number;
  readonly destination: IpAddress;
  readonly addresses: ReplyAddresses = new ReplyAddresses();
  readonly timer: Timer;
  readonly #ready: (flow: EchoFlow) => void;
  queued = false;
  closed = false;

  constructor(key: string, packet: InboundPacket, destination: IpAddress, ready: (flow: EchoFlow) => void, idle: (flow: EchoFlow) => void) {
    this.key = key;
    this.neighbour = packet.neighbour;
    this.vm = packet.neighbour.port!;
    this.identifier = icmp.identifier(packet.bytes, packet.payload);
    this.destination = destination;
    this.addresses.answer(packet);
    this.#ready = ready;
    this.timer = new Timer(() => idle(this));
  }

  onReady(): void {
    this.#ready(this);
  }
}

export class EchoForwarder implements Transport {
  readonly counters: EchoCounters = new EchoCounters();
  readonly #options: EchoOptions;
  readonly #wake: () => void;
  /** In order of last use. Pings are rare: the key may be a string. */
  readonly #flows: Map<string, EchoFlow> = new Map();
  readonly #shares: FairShares<Port> = new FairShares<Port>(ECHO_LIMIT);
  /** Flows that may still be opened in this batch. */
  #openings = OPENINGS;
  /** Requests that may still be sent in this batch. */
  #requests = REQUESTS;
  readonly #queue: EchoFlow[] = [];
  readonly #scratch: number;

  constructor(options: EchoOptions, wake: () => void) {
    this.#options = options;
    this.#wake = wake;
    this.#scratch = options.arena.allocate(65_536);
  }

  get size(): number {
    return this.#flows.size;
  }

  /** An echo request whose checksum is good. */
  input(packet: InboundPacket): void {
    const { policy, timers } = this.#options;
    this.counters.requests++;
    if (this.#requests-- <= 0) {
      this.counters.dropFlood++;
      return;
    }
    const { destination0, destination1, destination2, destination3 } = packet;
    const destination = new IpAddress(destination0, destination1, destination2, destination3);
    if (policy.blocked(destination)) {
      this.counters.blocked++;
      return;
    }
    const flow = this.#flowFor(packet, destination);
    if (flow === null) return;
    if (typeof flow === 'number') {
      this.#failed(packet, -flow);
      return;
    }
    const at = packet.payload;
    const status = flow.endpoint.send(icmp.sequence(packet.bytes, at), at + icmp.HEADER, packet.end - at - icmp.HEADER);
    timers.arm(flow.timer, IDLE);
    if (status < 0) this.#failed(packet, -status);
  }

  /** A negative errno when there can be none; null when the request is dropped. */
  #flowFor(packet: InboundPacket, destination: IpAddress): EchoFlow | number | null {
    const identifier = icmp.identifier(packet.bytes, packet.payload);
    const { w0, w1, w2, w3 } = packet.neighbour;
    const to = destination;
    const key = `${w0},${w1},${w2},${w3},${identifier},${to.w0},${to.w1},${to.w2},${to.w3}`;
    const known = this.#flows.get(key);
    if (known !== undefined) {
      this.#flows.delete(key);
      this.#flows.set(key, known);
      return known;
    }
    if (this.#openings-- <= 0) {
      this.counters.dropFlood++;
      return null;
    }
    const flow = new EchoFlow(
      key,
      packet,
      destination,
      (ready) => this.#markReady(ready),
      (idle) => this.#close(idle),
    );
    const endpoint = this.#dial(flow);
    if (typeof endpoint === 'number') return endpoint;
    flow.endpoint = endpoint;
    if (!this.#shares.allows(flow.vm)) this.#evict(this.#shares.donor(flow.vm));
    this.#shares.claim(flow.vm);
    flow.neighbour.hold();
    this.#flows.set(key, flow);
    return flow;
  }

  /** A host without descriptors gets one back from a ping flow. */
  #dial(flow: EchoFlow): PingEndpoint | number {
    const { host, policy } = this.#options;
    const address = policy.translate(flow.destination);
    const endpoint = host.openPing(address, flow);
    if (endpoint !== -EMFILE && endpoint !== -ENFILE) return endpoint;
    this.counters.hostExhausted++;
    return this.#evict(this.#shares.donor(flow.vm)) ? host.openPing(address, flow) : endpoint;
  }

  /** The flow of this VM that is quiet longest makes room. False when it has none. */
  #evict(vm: Port): boolean {
    for (const flow of this.#flows.values()) {
      if (flow.vm !== vm) continue;
      this.counters.evicted++;
      this.#close(flow);
      return true;
    }
    return false;
  }

  #failed(packet: InboundPacket, errno: number): void {
    const { gateway } = this.#options;
    if (errno === ENETUNREACH || errno === ENETDOWN || errno === EHOSTUNREACH) {
      this.counters.unreachable++;
      gateway.icmp.unreachable(packet, errno === EHOSTUNREACH ? icmp.CODE_HOST : icmp.CODE_NET);
    } else if (errno === EACCES || errno === EPERM) {
      this.counters.notPermitted++;
      gateway.icmp.unreachable(packet, icmp.CODE_PROHIBITED);
    } else {
      this.counters.failed++;
    }
  }

  #markReady(flow: EchoFlow): void {
    if (flow.queued) return;
    flow.queued = true;
    this.#queue.push(flow);
    this.#wake();
  }

  /** A phase of the turn: replies go to the guests. */
  pump(): boolean {
    if (this.#queue.length === 0) return false;
    const flows = this.#queue.splice(0);
    let more = false;
    for (const flow of flows) {
      flow.queued = false;
      if (flow.closed || !this.#receive(flow)) continue;
      more = true;
      this.#markReady(flow);
    }
    return more;
  }

  /** True when there may be more. */
  #receive(flow: EchoFlow): boolean {
    const { arena, sum, timers, gateway } = this.#options;
    const at = this.#scratch;
    let failed = false;
    for (let i = 0; i < PER_PUMP; i++) {
      const length = flow.endpoint.receive(at + icmp.HEADER, PAYLOAD);
      if (length === -EAGAIN || (length < 0 && failed)) return false;
      if (length < 0) {
        // What the network said about an earlier request; reading it clears it. Replies may stand behind it, and readiness comes only once.
        failed = true;
        this.counters.failed++;
        continue;
      }
      timers.arm(flow.timer, IDLE);
      const { addresses, neighbour } = flow;
      const { family } = addresses;
      const size = icmp.HEADER + length;
      const v4 = family === IPV4;
      const protocol = v4 ? ipv4.PROTOCOL_ICMP : PROTOCOL_ICMPV6;
      icmp.write(arena.bytes, at, v4 ? icmp.ECHO_REPLY : ECHO_REPLY_6, 0, (flow.identifier << 16) | flow.endpoint.sequence);
      icmp.setChecksum(arena.bytes, at, finish(sum(at, size, v4 ? 0 : addresses.addressSum + protocol + size)));
      if (family.send(gateway, neighbour, addresses, protocol, at, size)) this.counters[v4 ? 'replies' : 'replies6']++;
    }
    return true;
  }

  /** A VM's batch is complete. */
  endOfBatch(): void {
    this.#openings = OPENINGS;
    this.#requests = REQUESTS;
  }

  /** The VM behind this port has gone; null: guests have lost their addresses. */
  detached(port: Port | null): void {
    for (const flow of this.#flows.values()) if (flow.vm === port || flow.neighbour.port === null) this.#close(flow);
  }

  #close(flow: EchoFlow): void {
    if (flow.closed) return;
    this.#flows.delete(flow.key);
    this.#shares.give(flow.vm);
    flow.neighbour.release();
    flow.closed = true;
    this.#options.timers.cancel(flow.timer);
    flow.endpoint.close();
  }

  close(): void {
    for (const flow of this.#flows.values()) this.#close(flow);
    this.#options.arena.free(this.#scratch, 65_536);
  }
}
