/**
 * Programs: what applications on both sides of a link do, in which order, under which conditions. One seed makes one program.
 */
import { inspect } from 'node:util';
import { Dice } from './dice.ts';
import type { Conditions } from './link.ts';
import type { GuestOptions } from './reference/socket.ts';

export type Side = 'guest' | 'host';

/** Connections are numbered; what is said of one that was not opened yet is said before it is. */
export type Action =
  /** Milliseconds that the host's connect takes, when the guest opens. */
  | ['open', connection: number, by: Side, connects: number]
  | ['send', connection: number, by: Side, bytes: number]
  /** How many bytes the application still takes; -1: whatever comes. */
  | ['read', connection: number, by: Side, bytes: number]
  | ['finish', connection: number, by: Side]
  | ['abort', connection: number, by: Side]
  | ['wait', ms: number]
  /** Nothing leaves: what is sent is held. Up is from the guest. */
  | ['stall', direction: 'up' | 'down', ms: number]
  /** The VM does not drain its link: the engine's port takes nothing. */
  | ['shut', ms: number]
  /** From now on nothing is lost, doubled or overtaken. */
  | ['fair'];

export interface Program {
  readonly seed: number;
  /** Which stack the guest has: a second engine, or the reference guest. */
  readonly guest: 'engine' | GuestOptions;
  readonly mtu: number;
  /** The engine's limit per flow. */
  readonly receiveWindow: number;
  /** Pages of 16 KiB that the VM may have for what the host does not take; 0: plenty. */
  readonly pages: number;
  /** The engine's port says when it is full, instead of dropping. */
  readonly polite: boolean;
  /** Part of the turns that end before all is done. */
  readonly busyTurns: number;
  /** The first connection's sequence numbers wrap after this many bytes, in both directions where the stack allows; -1: wherever. */
  readonly wrapsAfter: number;
  /** Where they wrap: as unsigned words at 0, as signed ones at 2^31. */
  readonly boundary: number;
  readonly up: Conditions;
  readonly down: Conditions;
  readonly actions: readonly Action[];
  /** The other version of IP: segments are the same. */
  readonly ipv6: boolean;
}

/** Milliseconds of all waits together: no attempt to open or to send is given up in that time. */
const DURATION = 15_000;

export function generate(seed: number): Program {
  const dice = new Dice(seed);
  const mtu = dice.pick([576, 1280, 1500, 1500, 1500, 4000, 9000]);
  const base = conditions(dice);
  return {
    seed,
    guest: dice.chance(0.35) ? 'engine' : guestOptions(dice, mtu),
    mtu,
    receiveWindow: dice.pick([4096, 16_384, 65_536, 262_144, 524_288]),
    pages: dice.pick([0, 0, 0, 1, 3]),
    polite: dice.chance(0.7),
    busyTurns: dice.pick([0, 0, 0.5, 1]),
    wrapsAfter: dice.chance(0.4) ? dice.integer(0, dice.pick([1000, 10_000, 100_000])) : -1,
    boundary: dice.pick([0, 2 ** 31]),
    up: base,
    down: dice.chance(0.7) ? base : conditions(dice),
    actions: actions(dice),
    ipv6: dice.chance(0.3),
  };
}

function conditions(dice: Dice): Conditions {
  const kind = dice.pick(['fair', 'lossy', 'disordered', 'any', 'any']);
  const lossy = kind === 'lossy' || kind === 'any';
  const disordered = kind === 'disordered' || kind === 'any';
  return {
    rate: dice.pick([Infinity, 125_000, 125_000, 12_500, 1250]),
    queue: dice.pick([40_000, 100_000, 1_000_000]),
    delay: dice.pick([0.05, 0.1, 1, 10, 50]),
    jitter: dice.pick([0, 0, 0.1, 2, 20]),
    quantum: dice.pick([0, 0.05, 0.2, 1]),
    loss: lossy ? dice.pick([0.001, 0.01, 0.05, 0.2, 0.4]) : 0,
    duplicate: lossy || disordered ? dice.pick([0, 0.01, 0.1]) : 0,
    reorder: disordered ? dice.pick([0.01, 0.1, 0.5]) : 0,
    heldUp: dice.pick([0.2, 1, 10, 50]),
  };
}

function guestOptions(dice: Dice, mtu: number): GuestOptions {
  const scale = dice.pick([-1, 0, 2, 7, 7, 14]);
  return {
    mss: dice.pick([mtu - 40, mtu - 40, mtu - 40, 536, 88, 0]),
    scale,
    sack: dice.chance(0.7),
    // A scale that makes the whole buffer look closed is of no use to anybody.
    buffer: Math.max(dice.pick([2000, 16_384, 65_535, 262_144, 2_000_000]), 4 << Math.max(scale, 0)),
    shrinks: dice.chance(0.15),
    noDelay: dice.chance(0.5),
    ackDelay: dice.pick([40, 40, 8, 200]),
    probesWithData: dice.chance(0.3),
  };
}

function actions(dice: Dice): Action[] {
  const connections = dice.pick([1, 1, 1, 2, 3, 6]);
  const largest = dice.pick([100, 3000, 50_000, 200_000]) / Math.sqrt(connections);
  const list: Action[] = [];
  let left = DURATION;
  for (let index = 0; index < connections; index++) list.push(opening(dice, index));
  const count = dice.integer(1, 24);
  for (let i = 0; i < count; i++) {
    const action = step(dice, dice.integer(0, connections - 1), largest, left);
    if (action[0] === 'wait') left -= action[1];
    list.push(action);
    // Most things happen apart from each other.
    if (dice.chance(0.5) && left > 0) {
      const ms = Math.min(pause(dice), left);
      left -= ms;
      list.push(['wait', ms]);
    }
  }
  return list;
}

function opening(dice: Dice, index: number): Action {
  return ['open', index, dice.pick(['guest', 'host']), dice.pick([0, 0, 0, 5, 300])];
}

function pause(dice: Dice): number {
  return dice.pick([0.05, 0.3, 1, 5, 20, 100, 500, 2000]);
}

function step(dice: Dice, connection: number, largest: number, left: number): Action {
  const by = dice.pick<Side>(['guest', 'host']);
  const roll = dice.integer(0, 99);
  if (roll < 45) return ['send', connection, by, dice.chance(0.4) ? dice.integer(1, largest) : dice.size(largest)];
  if (roll < 60) return ['read', connection, by, dice.pick([-1, -1, 0, 0, dice.size(largest)])];
  if (roll < 73) return ['finish', connection, by];
  if (roll < 78) return ['abort', connection, by];
  if (roll < 84) return ['stall', dice.pick(['up', 'down']), dice.pick([0.5, 5, 50, 500, 2000])];
  if (roll < 89) return ['shut', dice.pick([0.5, 5, 50, 500, 2000])];
  if (roll < 91) return ['fair'];
  return ['wait', Math.min(pause(dice), left)];
}

/** The program as it is pasted into a test. */
export function print(program: Program): string {
  return inspect(program, { depth: null, breakLength: 120, maxArrayLength: null, compact: 3 });
}
