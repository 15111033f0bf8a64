/**
 * A TcpEngine on one side of the link: the one under test, or a second one in the role of the guest's stack.
 *
 *     frame from the link ─► receive region ─► input … ─► round: endOfBatch, pump …, endOfTurn ─► port ─► link
 *
 * What lay in the receive region, and where a frame was sent from, is poisoned afterwards: whoever reads it later is wrong.
 */
import type { HostNetwork, StreamEndpoint } from '../../../../src/host/endpoint.ts';
import { Neighbour } from '../../../../src/gateway/neighbour.ts';
import { InboundPacket } from '../../../../src/gateway/packet.ts';
import { FlowPolicy } from '../../../../src/flow/policy.ts';
import type { TcpLimits } from '../../../../src/flow/tcp/context.ts';
import { TcpEngine } from '../../../../src/flow/tcp/engine.ts';
import type { TcpFlow } from '../../../../src/flow/tcp/flow.ts';
import { type FrameTap, type Port, portCounters, type PortCounters } from '../../../../src/link/port.ts';
import type { IpAddress } from '../../../../src/packet/address.ts';
import type { Sum } from '../../../../src/packet/checksum.ts';
import type { Arena } from '../../../../src/runtime/arena.ts';
import { KEPT } from '../../../../src/runtime/turn-loop.ts';
import { ECONNREFUSED, EINPROGRESS } from '../../../../src/system/errno.ts';
import { Dice } from './dice.ts';
import { Fault } from './end.ts';
import { HostEnd } from './host-end.ts';
import type { Channel } from './link.ts';
import { readFrame, type Version } from './version.ts';
import type { VirtualTime } from './virtual-time.ts';

const REGION = 1 << 18;
const POISON = 0xa5;
const PAGE = 16_384;

/** Memory of one engine, used again by the next program. */
export class Memory {
  readonly arena: Arena;
  readonly sum: Sum;
  /** Where frames are read to, and where they are sent from. */
  readonly receive: number;
  readonly transmit: number;

  constructor(arena: Arena, sum: Sum) {
    this.arena = arena;
    this.sum = sum;
    this.receive = arena.allocate(REGION);
    this.transmit = arena.allocate(REGION);
  }

  /** Lends so much to others that a VM may have only `pages` of 16 KiB. Returns what ends that. */
  makeScarce(pages: number): () => void {
    const { arena } = this;
    // Nobody may hold more than is left (see FairShares).
    const left = 2 * pages * PAGE;
    const loans: { owner: object; at: number; size: number }[] = [];
    for (let size = arena.size / 8; size >= PAGE; size /= 2) {
      while (arena.size / 2 - arena.lent - size >= left) {
        const owner = {};
        loans.push({ owner, at: arena.lend(owner, size), size });
      }
    }
    return () => {
      for (const { owner, at, size } of loans) arena.takeBack(owner, at, size);
    };
  }
}

class ChannelPort implements Port {
  readonly id: number = 0;
  readonly name: string = 'link';
  readonly headroom: number = 4;
  readonly offload: boolean = false;
  readonly largestFrame: number = 0;
  readonly counters: PortCounters = portCounters();
  tap: FrameTap | null = null;
  /** The VM does not drain its link. */
  shut = false;
  readonly #memory: Memory;
  readonly #channel: Channel;
  readonly #polite: boolean;
  readonly #full: () => void;

  /** `polite`: claims fail while the channel has no room; else it drops what it has no room for. */
  constructor(memory: Memory, channel: Channel, polite: boolean, full: () => void) {
    this.#memory = memory;
    this.#channel = channel;
    this.#polite = polite;
    this.#full = full;
  }

  claim(bytes: number): number {
    if (bytes > REGION) return -1;
    if (this.shut || (this.#polite && bytes > this.#channel.room)) {
      this.#full();
      return -1;
    }
    return this.#memory.transmit;
  }

  commit(at: number, length: number): void {
    const { bytes } = this.#memory.arena;
    this.#channel.send(bytes.slice(at, at + length));
    bytes.fill(POISON, at, at + length);
    this.counters.txFrames++;
  }
}

export interface EngineOptions {
  /** Address of the far end of all connections, and of the near end. */
  readonly far: IpAddress;
  readonly near: IpAddress;
  readonly version: Version;
  readonly mtu: number;
  readonly limits: Partial<TcpLimits>;
  readonly seed: number;
  /** The port refuses frames while the channel has no room. */
  readonly polite: boolean;
  /** Part of the turns whose time is over before all is done. */
  readonly busyTurns: number;
}

export class EngineSide implements HostNetwork {
  readonly engine: TcpEngine;
  readonly port: ChannelPort;
  readonly neighbour: Neighbour;
  /** Who answers connects, by port. */
  readonly ends: Map<number, HostEnd> = new Map();
  /** Milliseconds a connect to a port takes; at once when there is none. */
  readonly connectTimes: Map<number, number> = new Map();
  #work = false;
  #offset = 0;
  /** Lent to others. */
  readonly #lent: number;
  readonly #packet: InboundPacket = new InboundPacket();
  readonly #time: VirtualTime;
  readonly #memory: Memory;
  readonly #channel: Channel;
  readonly #dice: Dice;
  readonly #options: EngineOptions;

  constructor(time: VirtualTime, memory: Memory, channel: Channel, options: EngineOptions) {
    this.#time = time;
    this.#memory = memory;
    this.#channel = channel;
    this.#options = options;
    this.#dice = new Dice(options.seed);
    const { arena, sum } = memory;
    this.#lent = arena.lent;
    this.port = new ChannelPort(memory, channel, options.polite, () => this.#awaitRoom());
    const { w0, w1, w2, w3 } = options.far;
    this.neighbour = new Neighbour(w0, w1, w2, w3);
    this.neighbour.port = this.port;
    const gateway = {
      macHi: 0x5a94,
      macLo: 1,
      mtu: options.mtu + options.version.more,
      isLocal: () => false,
      icmp: { unreachable: () => {} },
    };
    const policy = new FlowPolicy({ nat: [], allowLinkLocal: false });
    const random = new Dice(options.seed);
    const { limits } = options;
    this.engine = new TcpEngine({ arena, sum, gateway, timers: time.wheel, random, host: this, policy, limits }, () => (this.#work = true));
  }

  /** The connection's other end is at `remotePort`; ours is at `localPort`. */
  connect(remotePort: number, localPort: number, end: HostEnd): void {
    const flow = this.engine.connect(this.neighbour, remotePort, this.#options.near, localPort, end);
    if (flow === null) throw new Fault(`the engine does not connect to port ${remotePort}`);
    flow.onEstablished = () => (end.established = true);
  }

  connectStream(_address: IpAddress, port: number, handler: HostEnd['handler']): StreamEndpoint | number {
    const end = this.ends.get(port);
    if (end === undefined) return -ECONNREFUSED;
    this.ends.delete(port);
    end.handler = handler;
    (handler as TcpFlow).onEstablished = () => (end.established = true);
    const takes = this.connectTimes.get(port) ?? 0;
    end.pending = takes > 0;
    this.#time.at(this.#time.now + takes, () => end.connected());
    const status = end.connectStatus();
    if (status < 0 && status !== -EINPROGRESS) end.outcome = 'reset';
    return status < 0 && status !== -EINPROGRESS ? status : end;
  }

  openDatagram(): never {
    throw new Fault('no datagrams here');
  }

  openPing(): never {
    throw new Fault('no pings here');
  }

  listenStream(): never {
    throw new Fault('no listeners here');
  }

  /** A frame arrives. */
  input(frame: Uint8Array): void {
    if (this.#offset + frame.length > REGION) this.round();
    const { arena, receive } = this.#memory;
    const at = receive + this.#offset;
    arena.bytes.set(frame, at);
    this.#offset += (frame.length + 7) & ~7;
    this.#work = true;
    const packet = this.#packet;
    packet.port = this.port;
    packet.neighbour = this.neighbour;
    readFrame(this.#options.version, packet, arena.bytes, at, at + frame.length, true);
    this.engine.input(packet);
  }

  /** Does what there is to do: a turn of the loop, when there is any. */
  settle(): void {
    while (this.#work) this.round();
  }

  round(): void {
    this.#work = false;
    const { arena, receive } = this.#memory;
    this.engine.endOfBatch();
    arena.bytes.fill(POISON, receive, receive + this.#offset);
    this.#offset = 0;
    while (this.engine.pump());
    const idle = !this.#dice.chance(this.#options.busyTurns);
    if (this.engine.endOfTurn(idle) & KEPT) this.#time.at(this.#time.now + 1, () => (this.#work = true));
  }

  /** The VM drains nothing for `ms`. */
  shutFor(ms: number): void {
    if (this.port.shut) return;
    this.port.shut = true;
    this.#time.at(this.#time.now + ms, () => {
      this.port.shut = false;
      this.#drained();
    });
  }

  #awaitRoom(): void {
    if (!this.port.shut) this.#channel.whenRoom(() => this.#drained());
  }

  #drained(): void {
    if (!this.port.shut) this.engine.drained(this.port);
  }

  /** What is still held: nothing, once all connections have ended. */
  get remains(): string[] {
    const found: string[] = [];
    const lent = this.#memory.arena.lent - this.#lent;
    if (this.engine.size > 0) found.push(`${this.engine.size} flows (states ${[...this.engine].map(({ state }) => state).join(', ')})`);
    if (lent > 0) found.push(`${lent} bytes of the arena`);
    if (this.neighbour.flows > 0) found.push(`${this.neighbour.flows} pins of the neighbour`);
    this.#work = false;
    this.engine.drained(this.port);
    if (this.#work) found.push('a flow that waits for its port');
    return found;
  }
}
