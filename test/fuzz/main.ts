/**
 * `npm run fuzz -- [--minutes N] [--seed N] [--keep]` or `--replay FILE`: see scripts/fuzz.mjs. Ends with 1 after a finding.
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { Campaign, keepCorpus, readCorpus, replay } from './campaign.ts';
import { readProgram } from './program.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '1' },
    seed: { type: 'string' },
    replay: { type: 'string' },
    keep: { type: 'boolean', default: false },
  },
});

if (values.replay !== undefined) {
  const error = await replay(readProgram(readFileSync(values.replay, 'utf8')));
  console.log(error === null ? 'held' : `${error.stack}`);
  process.exit(error === null ? 0 : 1);
}

const seed = values.seed === undefined ? Math.floor(Math.random() * 0x7fffffff) : Number(values.seed);
console.log(`seed ${seed}, corpus of ${readCorpus().length} programs`);
const campaign = new Campaign({
  seconds: Number(values.minutes) * 60,
  seed,
  coverage: true,
  findings: 'fuzz-findings',
  log: (line) => console.log(line),
});
const { programs, frames, seconds, features, blocks, kept, heap, silent, finding } = await campaign.run();
console.log(`${programs} programs, ${frames} frames in ${Math.round(seconds)} s: ${features} counter classes, ${blocks} blocks`);
console.log(`heap in MB: ${heap.map((bytes) => (bytes / 1e6).toFixed(1)).join(' ')}`);
console.log(`counters never moved: ${silent.join(' ')}`);
if (finding !== null) console.log(finding);
if (values.keep) console.log(`the corpus has ${await keepCorpus(kept)} programs now`);
process.exit(finding === null ? 0 : 1);
