/** The flags of `npm run bench`. */
import { parseArgs } from 'node:util';
import { CELLS, type CellName } from './cells.ts';
import { PEERS } from './gateways.ts';
import type { Carrier } from './guest.ts';

export interface Arguments {
  readonly mtus: readonly number[];
  readonly rounds: number;
  readonly seconds: number;
  readonly cells: readonly CellName[];
  readonly peers: readonly string[];
  readonly carrier: Carrier;
  /** Where the results go as JSON; null for nowhere. */
  readonly json: string | null;
}

export const USAGE = `npm run bench -- [flags]: guestwire beside the gateways found on this machine (Linux, root)

  --mtu LIST      MTUs, separated by commas (1500,65520)
  --rounds N      rounds, in each of which the gateways take turns (3)
  --secs N        seconds of each run (3)
  --cells LIST    of ${Object.keys(CELLS).join(' ')} (up,down,rr,crr,conns)
  --peers LIST    of ${PEERS.join(' ')}, or none (all)
  --carrier NAME  bridge, which loses nothing, or qemu-hub, which drops what a full socket does not take (bridge)
  --json FILE     writes every value
  --switch        instead: one TCP stream between two VMs on one gateway, beside gvproxy (root; --mtu, --rounds, --secs)
  --micro         instead: nanoseconds and bytes of each hot function (no root)

A peer is taken from PATH, or from GVPROXY or PASST; GUESTWIRE names another gvproxy to measure in our place.`;

const DEFAULT_CELLS = 'up,down,rr,crr,conns';

/** Throws an Error whose message says what is wrong. */
export function parseArguments(args: readonly string[]): Arguments {
  const text = { type: 'string' } as const;
  const options = { mtu: text, rounds: text, secs: text, cells: text, peers: text, carrier: text, json: text };
  const { values } = parseArgs({ args: [...args], options, strict: true, allowPositionals: false });
  return {
    mtus: list(values.mtu ?? '1500,65520').map((value) => integer('mtu', value, 576, 65_521)),
    rounds: integer('rounds', values.rounds ?? '3', 1, 100),
    seconds: integer('secs', values.secs ?? '3', 1, 600),
    cells: inOrder(list(values.cells ?? DEFAULT_CELLS)),
    peers: values.peers === undefined ? PEERS : list(values.peers).filter((name) => name !== 'none'),
    carrier: carrier(values.carrier ?? 'bridge'),
    json: values.json ?? null,
  };
}

function list(text: string): string[] {
  return text.split(',').filter((word) => word !== '');
}

function integer(name: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw new RangeError(`--${name} takes whole numbers from ${least} to ${most}, not ${text}`);
}

/** The cells in the order of CELLS, so that every gateway meets them in the same one. */
function inOrder(names: readonly string[]): CellName[] {
  const known = Object.keys(CELLS) as CellName[];
  const unknown = names.find((name) => !Object.hasOwn(CELLS, name));
  if (unknown !== undefined) throw new RangeError(`no cell is called ${unknown}: they are ${known.join(', ')}`);
  return known.filter((name) => names.includes(name));
}

function carrier(name: string): Carrier {
  if (name === 'bridge' || name === 'qemu-hub') return name;
  throw new RangeError(`--carrier takes bridge or qemu-hub, not ${name}`);
}
