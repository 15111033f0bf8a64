/** `npm run bench:micro`: the hot functions, and whole frame paths between ends that cost nothing. */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { TRAFFIC, type Traffic } from './frame-traffic.ts';
import { measure, type Measurement, type Subject } from './measure.ts';
import { SUBJECTS } from './subjects.ts';

const USAGE = `npm run bench:micro -- [flags] [words]: nanoseconds and bytes of each hot function, or of those whose name has a word

  --json FILE  writes every value`;

/** Per frame in either direction. */
function traffic({ name, network, turn }: Traffic): Subject {
  const run = (frames: number): void => {
    for (const end = network.frames + frames; network.frames < end;) turn();
  };
  return { name: `${name}, a frame`, run };
}

async function main(): Promise<void> {
  if (process.argv.includes('--help')) {
    console.log(USAGE);
    return;
  }
  const { values, positionals } = parseArgs({ options: { json: { type: 'string' } }, allowPositionals: true });
  const chosen = ({ name }: Subject): boolean => positionals.length === 0 || positionals.some((word) => name.includes(word));
  const results: Measurement[] = [];
  for (const make of [...SUBJECTS, ...TRAFFIC.map((begin) => () => traffic(begin()))]) {
    const subject = make();
    if (!chosen(subject)) continue;
    if (results.length === 0) console.log('| function | ns | bytes |\n| --- | --- | --- |');
    const result = await measure(subject);
    results.push(result);
    console.log(`| ${result.name} | ${result.nanoseconds.toFixed(1)} | ${Math.abs(result.bytes) < 0.05 ? '0' : result.bytes.toFixed(1)} |`);
  }
  if (results.length === 0) throw new Error(`nothing is called ${positionals.join(' or ')}`);
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify({ node: process.versions.node, results }, null, 1)}\n`);
}

try {
  await main();
} catch (error) {
  console.error(`bench:micro: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
