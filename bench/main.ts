/**
 * `npm run bench`: guestwire beside the peers found on this machine, on the same work, in one run; or with IPv6 beside IPv4.
 *
 * Contestants take turns inside each round, so that a machine that slows down slows all of them; each begins a round in its turn.
 * The table goes to standard output, everything else to standard error.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { type Arguments, parseArguments, USAGE } from './arguments.ts';
import { notePeak, runCell } from './cells.ts';
import { contestants, type Contestant } from './contestants.ts';
import { findGateways } from './gateways.ts';
import { Guest, removeEverything, removeLeftovers } from './guest.ts';
import { Results } from './results.ts';
import { describeSurroundings } from './surroundings.ts';
import { json, markdown, type Run } from './table.ts';
import { compileTools, missingTool, type Tools } from './tools.ts';

/** Where the host's own congestion control is chosen: all gateways are measured under the same, the guest's. */
const CONGESTION_CONTROL = '/proc/sys/net/ipv4/tcp_congestion_control';

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

async function measure(args: Arguments, all: readonly Contestant[], tools: Tools): Promise<Results> {
  const results = new Results();
  const able = all.filter(({ able }) => able);
  for (let round = 0; round < args.rounds; round++) {
    const first = round % able.length;
    for (const mtu of args.mtus) {
      for (const contestant of [...able.slice(first), ...able.slice(0, first)]) {
        say(`round ${round + 1} of ${args.rounds}, MTU ${mtu}: ${contestant.name}`);
        await measureOne(args, contestant, tools, mtu, results);
      }
    }
  }
  return results;
}

async function measureOne(
  args: Arguments,
  { name, gateway, family }: Contestant,
  tools: Tools,
  mtu: number,
  results: Results,
): Promise<void> {
  const guest = await Guest.start(gateway, family, tools, mtu, args.carrier);
  const note = (...[measure, value]: Parameters<Parameters<typeof notePeak>[1]>): void => results.note(mtu, measure, name, value);
  try {
    for (const cell of args.cells.filter((name) => name !== 'held')) await runCell(cell, guest, args.seconds, mtu, note, say);
    if (args.cells.some((name) => name !== 'held')) notePeak(guest, note);
    if (args.cells.includes('held')) await runCell('held', guest, args.seconds, mtu, note, say);
  } finally {
    await guest.remove();
  }
}

/** Runs `body` under CUBIC and puts back what was before, also when it is interrupted. */
async function underCubic<T>(body: () => Promise<T>): Promise<T> {
  const before = readFileSync(CONGESTION_CONTROL, 'utf8');
  const restore = (): void => writeFileSync(CONGESTION_CONTROL, before);
  const interrupted = (): void => {
    restore();
    void removeEverything().then(() => process.exit(1));
  };
  process.once('SIGINT', interrupted).once('SIGTERM', interrupted);
  try {
    writeFileSync(CONGESTION_CONTROL, 'cubic');
    return await body();
  } finally {
    restore();
  }
}

async function main(): Promise<void> {
  if (process.argv.includes('--help')) {
    console.log(USAGE);
    return;
  }
  const args = parseArguments(process.argv.slice(2));
  const gateways = findGateways(args.peers);
  const lacking = missingTool();
  if (lacking !== null) throw new Error(lacking);
  const absent = args.peers.filter((name) => gateways.every((gateway) => gateway.name !== name));
  if (absent.length > 0) say(`not on this machine, and left out: ${absent.join(', ')}`);
  const tools = await compileTools();
  await removeLeftovers();
  const all = contestants(gateways, args);
  const results = await underCubic(() => measure(args, all, tools));
  const run: Run = {
    surroundings: await describeSurroundings(gateways),
    columns: all.map(({ name, able }) => ({ name, able })),
    comparison: args.families ? 'families' : args.family === 6 ? 'peers over IPv6' : 'peers',
    rounds: args.rounds,
    seconds: args.seconds,
    carrier: args.carrier,
  };
  const rows = results.rows(args.mtus, all[0]!.name, args.families);
  console.log(markdown(run, rows));
  if (args.json !== null) writeFileSync(args.json, json(run, rows));
}

try {
  await main();
} catch (error) {
  say(`bench: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
