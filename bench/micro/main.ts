/** `npm run bench:micro`: the hot functions, and whole frame paths between ends that cost nothing. Flags: --json FILE, and words to choose by. */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { TRAFFIC, type Traffic } from './frame-traffic.ts';
import { measure, type Measurement, type Subject } from './measure.ts';
import { SUBJECTS } from './subjects.ts';

/** Per frame in either direction. */
function traffic({ name, network, turn }: Traffic): Subject {
  const run = (frames: number): void => {
    for (const end = network.frames + frames; network.frames < end;) turn();
  };
  return { name: `${name}, a frame`, run };
}

const { values, positionals } = parseArgs({ options: { json: { type: 'string' } }, allowPositionals: true });
const chosen = ({ name }: { name: string }): boolean => positionals.length === 0 || positionals.some((word) => name.includes(word));
const results: Measurement[] = [];
console.log('| function | ns | bytes |\n| --- | --- | --- |');
for (const make of [...SUBJECTS, ...TRAFFIC.map((begin) => () => traffic(begin()))]) {
  const subject = make();
  if (!chosen(subject)) continue;
  const result = await measure(subject);
  results.push(result);
  console.log(`| ${result.name} | ${result.nanoseconds.toFixed(1)} | ${Math.abs(result.bytes) < 0.05 ? '0' : result.bytes.toFixed(1)} |`);
}
if (results.length === 0) throw new Error(`nothing is called ${positionals.join(' or ')}`);
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify({ node: process.versions.node, results }, null, 1)}\n`);
