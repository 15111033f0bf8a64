/**
 * Both sides of a link, and the connections between them.
 *
 *     application ── end ── engine under test ══ up, down ══ guest's stack ── end ── application
 */
import { Arena } from '../../../../src/runtime/arena.ts';
import { arenaSum } from '../../../../src/runtime/arena-checksum.ts';
import { Dice } from './dice.ts';
import type { End } from './end.ts';
import { EngineSide, Memory } from './engine-side.ts';
import { HostEnd } from './host-end.ts';
import { Channel } from './link.ts';
import { Pattern } from './pattern.ts';
import type { Program, Side } from './program.ts';
import { ReferenceGuest } from './reference/guest.ts';
import type { ReferenceSocket } from './reference/socket.ts';
import { trace } from './trace.ts';
import { versionOf } from './version.ts';
import { VirtualTime } from './virtual-time.ts';

const ARENA = 64 << 20;

export interface Connection {
  readonly guest: End;
  readonly host: End;
}

/** One arena per side, used by all programs in turn. */
const memories: (() => Memory)[] = [0, 1].map(() => {
  let memory: Memory | null = null;
  return () => {
    if (memory === null || memory.arena.lent > 0) {
      const arena = new Arena(ARENA);
      memory = new Memory(arena, arenaSum(arena));
    }
    return memory;
  };
});

export class World {
  readonly time: VirtualTime;
  readonly up: Channel;
  readonly down: Channel;
  readonly side: EngineSide;
  readonly guest: EngineSide | ReferenceGuest;
  readonly connections: Map<number, Connection> = new Map();
  readonly #program: Program;
  readonly #memory: Memory = memories[0]!();
  readonly #plenty: () => void;

  /** `checks`: the reference guest verifies checksums. */
  constructor(program: Program, checks = true) {
    this.#program = program;
    const { seed, mtu, up, down, polite, busyTurns, receiveWindow } = program;
    const version = versionOf(program);
    const options = { far: version.guest, near: version.host, version, mtu, polite, busyTurns, limits: { receiveWindow } };
    this.time = new VirtualTime(this.#start());
    this.#plenty = program.pages > 0 ? this.#memory.makeScarce(program.pages) : () => {};
    this.up = new Channel(this.time, new Dice(seed ^ 0x75), up, (frame) => {
      trace(this.time, 'up  ', frame);
      this.side.input(frame);
    });
    this.down = new Channel(this.time, new Dice(seed ^ 0x646f), down, (frame) => {
      trace(this.time, 'down', frame);
      this.guest.input(frame);
    });
    this.side = new EngineSide(this.time, this.#memory, this.down, { ...options, seed });
    if (program.guest === 'engine') {
      const mirrored = { ...options, far: version.host, near: version.guest, seed: seed + 1 };
      this.guest = new EngineSide(this.time, memories[1]!(), this.up, mirrored);
    } else {
      this.guest = new ReferenceGuest(this.time, version, checks, (frame) => this.up.send(frame));
    }
  }

  /** When the clock must begin for the first connection's initial sequence number (RFC 6528: time and a hash) to be just below the wrap. */
  #start(): number {
    const { wrapsAfter, boundary, seed } = this.#program;
    if (wrapsAfter < 0) return 0;
    const time = new VirtualTime(0);
    const nowhere = { send: () => {}, room: Infinity, whenRoom: () => {} } as unknown as Channel;
    const { mtu } = this.#program;
    const version = versionOf(this.#program);
    const probe = new EngineSide(time, this.#memory, nowhere, {
      far: version.guest,
      near: version.host,
      version,
      mtu,
      polite: false,
      busyTurns: 0,
      limits: {},
      seed,
    });
    const ports = portsOf(0, this.#opener);
    probe.connect(ports.guest, ports.host, this.#hostEnd('probe', this.#memory, 0));
    const [flow] = probe.engine;
    const iss = flow!.sndUna;
    probe.engine.close();
    return ((boundary - 1 - wrapsAfter - iss) >>> 0) / 250;
  }

  get #opener(): Side {
    for (const action of this.#program.actions) if (action[0] === 'open' && action[1] === 0) return action[2];
    return 'guest';
  }

  #hostEnd(name: string, memory: Memory, index: number): HostEnd {
    const [out, incoming] = name === 'guest' ? [2 * index, 2 * index + 1] : [2 * index + 1, 2 * index];
    return new HostEnd(`${name} ${index}`, memory.arena.bytes, new Pattern(out), new Pattern(incoming));
  }

  /** Opens connection number `index`, if it is not there. */
  open(index: number, by: Side, connects: number): void {
    if (this.connections.has(index)) return;
    const ports = portsOf(index, by);
    const host = this.#hostEnd('host', this.#memory, index);
    const guest = this.#guestEnd(index, ports);
    host.peer = guest;
    this.connections.set(index, { guest, host });
    if (by === 'guest') {
      this.side.ends.set(ports.host, host);
      this.side.connectTimes.set(ports.host, connects);
      if (guest instanceof HostEnd) (this.guest as EngineSide).connect(ports.host, ports.guest, guest);
      else guest.connect();
    } else {
      if (guest instanceof HostEnd) (this.guest as EngineSide).ends.set(ports.guest, guest);
      this.side.connect(ports.guest, ports.host, host);
    }
    if (guest instanceof HostEnd) guest.peer = host;
  }

  #guestEnd(index: number, ports: { guest: number; host: number }) {
    const { guest, wrapsAfter, boundary, seed } = this.#program;
    if (guest === 'engine') return this.#hostEnd('guest', memories[1]!(), index);
    const iss = wrapsAfter >= 0 && index === 0 ? (boundary - 1 - wrapsAfter) | 0 : new Dice(seed + index).word();
    const [out, incoming] = [new Pattern(2 * index), new Pattern(2 * index + 1)];
    return (this.guest as ReferenceGuest).socket(`guest ${index}`, ports.guest, ports.host, guest, iss, out, incoming);
  }

  end(index: number, side: Side): End | undefined {
    return this.connections.get(index)?.[side];
  }

  /** What the reference guest's sender counts. */
  guestSender(index: number): { readonly timeouts: number; readonly retransmitted: number } {
    return (this.connections.get(index)!.guest as ReferenceSocket).sender;
  }

  /** Whoever has work does it. */
  settle(): void {
    this.side.settle();
    if (this.guest instanceof EngineSide) this.guest.settle();
  }

  /** Time goes on for `ms`, or until `done`. */
  run(ms: number, done: () => boolean = () => false): void {
    const limit = this.time.now + ms;
    this.settle();
    while (!done() && this.time.step(limit)) this.settle();
    this.settle();
  }

  makeFair(): void {
    this.up.makeFair();
    this.down.makeFair();
  }

  /** What is still held by anybody. */
  get remains(): string[] {
    const found = this.side.remains;
    if (this.guest instanceof EngineSide) found.push(...this.guest.remains.map((what) => `in the guest: ${what}`));
    if (!this.time.idle) found.push('timers or frames');
    return found;
  }

  /** Frees what the engines hold for their lives. */
  close(): void {
    this.side.engine.close();
    this.#plenty();
    if (this.guest instanceof EngineSide) this.guest.engine.close();
  }
}

function portsOf(index: number, opener: Side): { guest: number; host: number } {
  return opener === 'guest' ? { guest: 40_000 + index, host: 80 + index } : { guest: 5000 + index, host: 20_000 + index };
}
