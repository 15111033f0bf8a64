/**
 * Throughput of one connection over the simulated link: how well the engine's sender, and its receiver in the eyes of the
 * reference guest's sender, get along with loss, delay and reordering.
 */
import { DEFAULT_TCP_LIMITS } from '../../../../src/flow/tcp/engine.ts';
import type { Conditions } from './link.ts';
import type { Program, Side } from './program.ts';
import { World } from './world.ts';

export interface Cell {
  /** Who sends. */
  readonly from: Side;
  /** Milliseconds there and back. */
  readonly rtt: number;
  /** Part of the frames, in both directions. */
  readonly loss: number;
  readonly reordered: boolean;
}

/** 1 Gbit/s, in bytes per millisecond. */
const RATE = 125_000;
const BYTES = 20_000_000;
/** Milliseconds: what is slower is measured by what has arrived until then. */
const LIMIT = 10_000;
/** Of this part of the frames each is held up by half a millisecond at most: tens of frames overtake it. */
const REORDERED = 0.02;
const HELD_UP = 0.5;
/** Where chance is involved the mean over several runs is taken. */
const SEEDS: readonly number[] = Array.from({ length: 10 }, (_, index) => index + 1);

export function cells(): Cell[] {
  const list: Cell[] = [];
  for (const from of ['host', 'guest'] as const) {
    for (const rtt of [0.1, 10, 100]) {
      for (const loss of [0, 0.001, 0.01, 0.05]) for (const reordered of [false, true]) list.push({ from, rtt, loss, reordered });
    }
  }
  return list;
}

export function nameOf({ from, rtt, loss, reordered }: Cell): string {
  const direction = from === 'host' ? 'host to guest' : 'guest to host';
  return `${direction}, ${rtt} ms, ${(loss * 100).toFixed(1)} % lost${reordered ? ', reordered' : ''}`;
}

function programOf(cell: Cell, seed: number): Program {
  const { rtt, loss, reordered } = cell;
  const down: Conditions = {
    rate: RATE,
    queue: 1_000_000,
    delay: rtt / 2,
    jitter: 0,
    quantum: 0.05,
    loss,
    duplicate: 0,
    reorder: reordered ? REORDERED : 0,
    heldUp: HELD_UP,
  };
  return {
    seed,
    guest: {
      mss: 1460,
      scale: 10,
      sack: true,
      buffer: 32 << 20,
      shrinks: false,
      noDelay: true,
      ackDelay: 40,
      probesWithData: false,
    },
    mtu: 1500,
    receiveWindow: DEFAULT_TCP_LIMITS.receiveWindow,
    pages: 0,
    polite: true,
    busyTurns: 0,
    wrapsAfter: -1,
    boundary: 0,
    // The guest's own queue holds whatever its windows allow.
    up: { ...down, queue: Infinity },
    down,
    actions: [],
    ipv6: false,
  };
}

export interface Measurement {
  /** Mbit/s. */
  readonly rate: number;
  /** Of the sender. */
  readonly timeouts: number;
  readonly retransmitted: number;
}

export function measure(cell: Cell): Measurement {
  const seeds = cell.loss === 0 && !cell.reordered ? SEEDS.slice(0, 1) : SEEDS;
  const sum = { rate: 0, timeouts: 0, retransmitted: 0 };
  for (const seed of seeds) {
    const one = transfer(cell, seed);
    for (const name of ['rate', 'timeouts', 'retransmitted'] as const) sum[name] += one[name] / seeds.length;
  }
  return sum;
}

/** One transfer. The connection is opened before loss begins to matter: handshakes have tests of their own. */
function transfer(cell: Cell, seed: number): Measurement {
  const program = programOf(cell, seed);
  const world = new World(program, false);
  world.open(0, 'guest', 0);
  const { guest, host } = world.connections.get(0)!;
  const [sender, receiver] = cell.from === 'host' ? [host, guest] : [guest, host];
  world.run(LIMIT, () => guest.established && host.established);
  const start = world.time.now;
  sender.send(BYTES);
  world.run(LIMIT, () => receiver.received === BYTES);
  const rate = (receiver.received * 8) / (world.time.now - start) / 1000;
  const { counters } = world.side.engine;
  const losses = cell.from === 'host' ? counters : world.guestSender(0);
  const { timeouts, retransmitted } = losses;
  for (const end of [sender, receiver]) end.abort();
  world.settle();
  world.close();
  return { rate, timeouts, retransmitted };
}
