/** Conversations whose gate has not decided yet, and their first datagrams: copies, few of each, for a limited time. */
import { IpAddress } from '../../packet/address.ts';
import { FairShares } from '../../runtime/fair-shares.ts';
import type { Arena } from '../../runtime/arena.ts';
import { Timer, type TimerWheel } from '../../runtime/timer-wheel.ts';
import { InboundPacket } from '../../gateway/packet.ts';
import type { Port } from '../../link/port.ts';
import type { Decision, FlowGate } from '../gate.ts';

/** Datagrams of one conversation, conversations, and bytes of all of them; the latter two are shared out by VM. */
const DATAGRAMS = 8;
export const UNDECIDED_LIMIT = 512;
const BYTES = 4 << 20;
/** Milliseconds until a conversation without a decision is forgotten, with its datagrams. */
const TIMEOUT = 10_000;

interface Waiting {
  readonly packets: Uint8Array[];
  /** Fields of the first; its bytes are not. */
  readonly packet: InboundPacket;
  readonly timer: Timer;
  readonly vm: Port;
  bytes: number;
}

export class Undecided {
  readonly #arena: Arena;
  readonly #timers: TimerWheel;
  readonly #counters: { dropFlood: number };
  readonly #replay: (packet: InboundPacket, decision: Decision) => void;
  readonly #waiting: Map<string, Waiting> = new Map();
  readonly #conversations: FairShares<Port> = new FairShares<Port>(UNDECIDED_LIMIT);
  readonly #bytes: FairShares<Port> = new FairShares<Port>(BYTES);

  /** `replay` is given each datagram in its order, in the arena at `InboundPacket.header`, during the call. */
  constructor(
    arena: Arena,
    timers: TimerWheel,
    counters: { dropFlood: number },
    replay: (packet: InboundPacket, decision: Decision) => void,
  ) {
    this.#arena = arena;
    this.#counters = counters;
    this.#timers = timers;
    this.#replay = replay;
  }

  /** The decision about a conversation that this datagram begins; null: it waits for one, or was dropped. `scratch`: 64 KiB of the arena for a replay. */
  ask(gate: FlowGate, packet: InboundPacket, guestPort: number, remotePort: number, scratch: number): Decision | null {
    const key = `${packet.source0},${packet.source1},${packet.source2},${packet.source3},${guestPort},${packet.destination0},${packet.destination1},${packet.destination2},${packet.destination3},${remotePort}`;
    const known = this.#waiting.get(key);
    if (known !== undefined) return this.#keep(known, packet);
    if (!this.#conversations.allows(packet.port)) return this.#drop();
    const remote = new IpAddress(packet.destination0, packet.destination1, packet.destination2, packet.destination3);
    const opening = { protocol: 'udp', neighbour: packet.neighbour, guestPort, remote, remotePort } as const;
    const decision = gate.ask(opening, (decided) => this.#decided(key, decided, scratch));
    if (decision !== null) return decision;
    const timer = new Timer(() => this.#forget(key));
    const waiting: Waiting = { packets: [], packet: copyOf(packet), timer, vm: packet.port, bytes: 0 };
    this.#conversations.claim(waiting.vm);
    this.#waiting.set(key, waiting);
    this.#timers.arm(timer, TIMEOUT);
    return this.#keep(waiting, packet);
  }

  #drop(): null {
    this.#counters.dropFlood++;
    return null;
  }

  #keep(waiting: Waiting, packet: InboundPacket): null {
    const length = packet.end - packet.header;
    if (waiting.packets.length >= DATAGRAMS || !this.#bytes.take(waiting.vm, length)) return this.#drop();
    waiting.packets.push(packet.bytes.slice(packet.header, packet.end));
    waiting.bytes += length;
    return null;
  }

  #forget(key: string): Waiting | undefined {
    const waiting = this.#waiting.get(key);
    if (waiting === undefined) return undefined;
    this.#waiting.delete(key);
    this.#timers.cancel(waiting.timer);
    this.#conversations.give(waiting.vm);
    if (waiting.bytes > 0) this.#bytes.give(waiting.vm, waiting.bytes);
    return waiting;
  }

  #decided(key: string, decision: Decision, scratch: number): void {
    const waiting = this.#forget(key);
    // Its VM has gone, or another has its address now.
    if (waiting === undefined || waiting.packet.neighbour.port !== waiting.vm) return;
    const { packet } = waiting;
    const payload = packet.payload - packet.header;
    packet.bytes = this.#arena.bytes;
    for (const bytes of waiting.packets) {
      this.#arena.bytes.set(bytes, scratch);
      packet.header = scratch;
      packet.payload = scratch + payload;
      packet.end = scratch + bytes.length;
      this.#replay(packet, decision);
    }
  }

  /** Those of VMs that are gone. */
  detached(): void {
    for (const [key, { packet, vm }] of this.#waiting) if (packet.neighbour.port !== vm) this.#forget(key);
  }

  close(): void {
    for (const key of [...this.#waiting.keys()]) this.#forget(key);
  }
}

/** `reassembled`: what it lies in is reused at once. */
function copyOf(packet: InboundPacket): InboundPacket {
  return Object.assign(new InboundPacket(), packet, { reassembled: true });
}
