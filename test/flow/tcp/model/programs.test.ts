/**
 * 10,000 random programs over a simulated link (program.ts, run.ts), against an engine in the guest's role and against the
 * reference guest.
 *
 * A failure names its seed and prints a shrunk program, as a call of `run` that can be pasted into a test. Run one again with
 *
 *     SEED=123 node --test build/test/flow/tcp/model/programs.test.js        one seed; with TRACE=1 every frame is printed
 *     SEEDS=100000 FROM=10000 node --test …                                  many others
 *
 * What was found so far is kept in regressions.test.ts, as scripts.
 */
import { test } from 'node:test';
import { generate, print, type Program } from './program.ts';
import { run } from './run.ts';
import { shrink } from './shrink.ts';

const SEED: string | undefined = process.env['SEED'];
const FROM = Number(SEED ?? process.env['FROM'] ?? 1);
const COUNT = SEED === undefined ? Number(process.env['SEEDS'] ?? 10_000) : 1;
/** Programs per test: a failure is reported for the first in each. */
const GROUP = 250;

function failure(program: Program): Error | null {
  try {
    run(program);
    return null;
  } catch (error) {
    return error as Error;
  }
}

function explain(program: Program, error: Error): string {
  const smallest = shrink(program, (candidate) => failure(candidate) !== null);
  return `seed ${program.seed}: ${error.stack}\n\nshrunk: ${failure(smallest)?.message}\n\nrun(${print(smallest)});\n`;
}

for (let first = FROM; first < FROM + COUNT; first += GROUP) {
  const last = Math.min(first + GROUP, FROM + COUNT) - 1;
  test(`programs ${first} to ${last} deliver every byte once, in order, and leave nothing behind`, () => {
    for (let seed = first; seed <= last; seed++) {
      const program = generate(seed);
      const error = failure(program);
      if (error !== null) throw new Error(explain(program, error));
    }
  });
}
