/** The flags of `npm run bench`. */
import { parseArgs } from 'node:util';
import { CELLS, type CellName } from './cells.ts';
import { type Family, PEERS } from './gateways.ts';
import type { Carrier } from './guest.ts';

export interface Arguments {
  readonly mtus: readonly number[];
  readonly rounds: number;
  readonly seconds: number;
  readonly cells: readonly CellName[];
  /** Empty with `families`. */
  readonly peers: readonly string[];
  /** Version of IP that guests speak. */
  readonly family: Family;
  /** Instead of gateways the versions of IP are compared, of ours. */
  readonly families: boolean;
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
  --ipv6          guests speak IPv6
  --families      instead of peers: ours over IPv6 and over IPv4 by turns, and what the one is of the other
  --carrier NAME  bridge, which loses nothing, or qemu-hub, which drops what a full socket does not take (bridge)
  --json FILE     writes every value
  --switch        instead: one TCP stream between two VMs on one gateway, beside gvproxy (root; --mtu, --rounds, --secs)
  --micro         instead: nanoseconds and bytes of each hot function (no root)

A peer is taken from PATH, or from GVPROXY or PASST; GUESTWIRE names another gvproxy to measure in our place.`;

const DEFAULT_CELLS = 'up,down,rr,crr,conns';

/** RFC 8200 §5. */
const LEAST_MTU_OF_IPV6 = 1280;

/** Throws an Error whose message says what is wrong. */
export function parseArguments(args: readonly string[]): Arguments {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean', default: false } as const;
  const options = { mtu: text, rounds: text, secs: text, cells: text, peers: text, ipv6: flag, families: flag, carrier: text, json: text };
  const { values } = parseArgs({ args: [...args], options, strict: true, allowPositionals: false });
  const { ipv6, families } = values;
  if (families && (ipv6 || values.peers !== undefined))
    throw new RangeError('--families is of ours alone, over both: leave out --ipv6 and --peers');
  return {
    mtus: list(values.mtu ?? '1500,65520').map((value) => integer('mtu', value, ipv6 || families ? LEAST_MTU_OF_IPV6 : 576, 65_521)),
    rounds: integer('rounds', values.rounds ?? '3', 1, 100),
    seconds: integer('secs', values.secs ?? '3', 1, 600),
    cells: inOrder(list(values.cells ?? DEFAULT_CELLS)),
    peers: families ? [] : list(values.peers ?? PEERS.join(',')).filter((name) => name !== 'none'),
    family: ipv6 ? 6 : 4,
    families,
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
