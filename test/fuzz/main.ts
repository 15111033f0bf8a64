/**
 * `npm run fuzz`: a campaign as long as it is let, or one program again. Ends with 1 after a finding.
 */
import { readFileSync } from 'node:fs';
import { readFlags, readNumber, refuse } from '../flags.ts';
import { Campaign, keepCorpus, readCorpus, replay } from './campaign.ts';
import { type Program, readProgram } from './program.ts';

const USAGE = `npm run fuzz -- [flags]: mutated exchanges of several VMs against a whole network; ends with 1 after a finding

  --minutes N    how long, guided by coverage (1)
  --seed N       repeats a run: each prints its own (chosen at random)
  --keep         puts what was worth keeping in the place of the corpus
  --replay FILE  instead: runs one program again

A finding is cut down and written to fuzz-findings/.`;

const values = readFlags(USAGE, {
  minutes: { type: 'string', default: '1' },
  seed: { type: 'string' },
  replay: { type: 'string' },
  keep: { type: 'boolean', default: false },
});

function readFinding(path: string): Program {
  try {
    return readProgram(readFileSync(path, 'utf8'));
  } catch (error) {
    return refuse(USAGE, `--replay ${path}: ${(error as Error).message}`);
  }
}

if (values.replay !== undefined) {
  const error = await replay(readFinding(values.replay));
  console.log(error === null ? 'held' : `${error.stack}`);
  process.exit(error === null ? 0 : 1);
}

const minutes = readNumber(USAGE, 'minutes', values.minutes);
const seed = values.seed === undefined ? Math.floor(Math.random() * 0x7fffffff) : readNumber(USAGE, 'seed', values.seed);
console.log(`seed ${seed}, corpus of ${readCorpus().length} programs`);
const campaign = new Campaign({
  seconds: minutes * 60,
  seed,
  coverage: true,
  findings: 'fuzz-findings',
  log: (line) => console.log(line),
});
const { programs, frames, seconds, features, blocks, kept, heap, silent, finding } = await campaign.run();
console.log(`${programs} programs, ${frames} frames in ${Math.round(seconds)} s: ${features} counter classes, ${blocks} blocks`);
console.log(`heap in MB: ${heap.map((bytes) => (bytes / 1e6).toFixed(1)).join(' ')}`);
// What needs luck takes its time to be reached.
if (silent.length > 0) console.log(`counters at zero (after a short run that means nothing): ${silent.join(' ')}`);
if (finding !== null) console.log(finding);
if (values.keep) console.log(`the corpus has ${await keepCorpus(kept)} programs now`);
process.exit(finding === null ? 0 : 1);
