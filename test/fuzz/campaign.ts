/**
 * A fuzzing campaign: the corpus first, then programs made of it and of nothing, for as long as it is given.
 *
 *     corpus ─► vary ─► execute ─► new counters or blocks? ─► corpus
 *                          └─ fault ─► again in a new world ─► minimize ─► a file, and the command that replays it
 *
 * Guidance: a program is kept when a counter of the product reaches a new order of magnitude within it, or (with `coverage`)
 * when a block of code runs that never ran before. Growth: the heap, the arena and the tables after many programs are those
 * after few.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { SeededRandom } from '../../src/runtime/clock.ts';
import { CORPUS, Coverage } from './coverage.ts';
import { Execution } from './executor.ts';
import { serveNewcomer } from './newcomer.ts';
import { type Program, readProgram, writeProgram } from './program.ts';
import { minimize, Vary } from './vary.ts';
import { Verdict } from './verdict.ts';
import { World, WORLD_COUNT } from './world.ts';

/** Programs between looks at coverage and heap. */
const BATCH = 50;
const SAMPLES = 40;
/** The part of the time after which nothing more is kept: from then on the heap has no reason to grow. */
const GATHERING = 0.5;
/** Bytes by which the heap may be larger at the end: measurements differ by some hundred kilobytes. */
const GROWTH = 4 << 20;
const CORPUS_LIMIT = 300_000;
/** Milliseconds for one program; the real ones take a few. */
const STUCK = 20_000;

export interface CampaignOptions {
  readonly seconds: number;
  readonly seed: number;
  /** Also guided by blocks of code: slower, and finds more. */
  readonly coverage: boolean;
  /** Where a failing program is written. */
  readonly findings: string;
  readonly log: (line: string) => void;
}

export interface CampaignResult {
  readonly programs: number;
  readonly frames: number;
  readonly seconds: number;
  /** Counter classes and blocks reached. */
  readonly features: number;
  readonly blocks: number;
  /** Programs kept, those of the corpus first. */
  readonly kept: readonly Program[];
  /** Bytes of heap in use, sampled at equal distances after the first batch. */
  readonly heap: readonly number[];
  /** Counters that stayed at zero: what is not fuzzed. */
  readonly silent: readonly string[];
  /** Null, or what was wrong, with the file that replays it. */
  readonly finding: string | null;
}

export function readCorpus(): Program[] {
  const names = readdirSync(CORPUS).filter((name) => name.endsWith('.hex'));
  return names.toSorted().map((name) => readProgram(readFileSync(join(CORPUS, name), 'utf8')));
}

/** Runs one program in `world`, and looks whether the world is as before. Throws what was wrong. */
async function runIn(world: World, program: Program): Promise<number> {
  const execution = new Execution(world);
  await raced(execution.run(program));
  await serveNewcomer(world);
  const left = await world.rest();
  if (left.length > 0) throw new Verdict(`left over by a newcomer: ${left.join(', ')}`);
  if (world.arena.outstanding !== world.baseline) {
    throw new Verdict(`${world.arena.outstanding} bytes of the arena are taken, ${world.baseline} at the start`);
  }
  if (world.gateway.neighbours.size !== 0) throw new Verdict(`${world.gateway.neighbours.size} neighbours of VMs that have gone`);
  const leases = world.dhcp6?.leases.size ?? 0;
  if (leases !== 0) throw new Verdict(`${leases} leases of IPv6 of VMs that have gone`);
  return execution.frames;
}

/** What Node's own callbacks throw has no caller. */
async function raced(running: Promise<void>): Promise<void> {
  let fail: (error: unknown) => void = () => {};
  const thrown = new Promise<never>((_resolve, reject) => {
    fail = reject;
  });
  const timer = setTimeout(() => fail(new Verdict('a program that does not end')), STUCK);
  process.on('uncaughtException', fail);
  process.on('unhandledRejection', fail);
  try {
    await Promise.race([running, thrown]);
  } finally {
    clearTimeout(timer);
    process.off('uncaughtException', fail);
    process.off('unhandledRejection', fail);
  }
}

/** Runs a program in a world of its own; the error, or null. */
export async function replay(program: Program): Promise<Error | null> {
  try {
    await runIn(new World(program.world), program);
    return null;
  } catch (error) {
    return error as Error;
  }
}

export class Campaign {
  readonly #options: CampaignOptions;
  readonly #vary: Vary;
  readonly #coverage: Coverage | null;
  #worlds: World[] = [];
  readonly #features: Set<string> = new Set();
  readonly #kept: Program[] = [];
  readonly #heap: number[] = [];
  readonly #collect: () => void;
  #programs = 0;
  #frames = 0;
  #gathering = true;

  constructor(options: CampaignOptions) {
    this.#options = options;
    this.#vary = new Vary(new SeededRandom(options.seed));
    this.#coverage = options.coverage ? new Coverage() : null;
    setFlagsFromString('--expose-gc');
    this.#collect = runInNewContext('gc') as () => void;
    this.#worlds = Array.from({ length: WORLD_COUNT }, (_, i) => new World(i));
  }

  async run(): Promise<CampaignResult> {
    const { seconds, log } = this.#options;
    const started = performance.now();
    const elapsed = (): number => (performance.now() - started) / 1000;
    let finding: string | null = null;
    const corpus = readCorpus();
    let sampleAt = 0;
    let untested: Program[] = [];
    for (let i = 0; finding === null && (i < corpus.length || elapsed() < seconds); i++) {
      const program = corpus[i] ?? this.#next();
      // oxlint-disable-next-line no-await-in-loop -- programs run one after the other
      finding = await this.#try(program, untested);
      this.#gathering = i < corpus.length || elapsed() < seconds * GATHERING;
      if (this.#programs % BATCH !== 0) continue;
      // oxlint-disable-next-line no-await-in-loop
      finding ??= await this.#keepByCoverage(untested);
      untested = [];
      if (i < corpus.length || elapsed() < sampleAt) continue;
      this.#collect();
      if (!this.#gathering) this.#heap.push(process.memoryUsage().heapUsed);
      sampleAt = elapsed() + Math.max((seconds - elapsed()) / SAMPLES, 1);
      log(this.#status(elapsed()));
    }
    this.#coverage?.close();
    finding ??= this.#growth();
    const [features, blocks] = [this.#features.size, this.#coverage?.blocks ?? 0];
    const totals = { programs: this.#programs, frames: this.#frames, seconds: elapsed() };
    return { ...totals, features, blocks, kept: this.#kept, heap: this.#heap, silent: this.#silent(), finding };
  }

  #status(seconds: number): string {
    const rate = Math.round(this.#programs / seconds);
    const heap = (process.memoryUsage().heapUsed / 1e6).toFixed(1);
    const blocks = this.#coverage === null ? '' : `, ${this.#coverage.blocks} blocks`;
    return `${Math.round(seconds)} s: ${this.#programs} programs (${rate}/s), ${this.#frames} frames, kept ${this.#kept.length}, ${this.#features.size} counter classes${blocks}, heap ${heap} MB`;
  }

  #silent(): string[] {
    const counters = new Map<string, number>();
    for (const world of this.#worlds) world.counters(counters);
    return [...counters.keys()].filter((name) => ![...this.#features].some((feature) => feature.startsWith(`${name}:`)));
  }

  #next(): Program {
    if (this.#kept.length === 0 || this.#vary.below(8) === 0) return this.#vary.fresh();
    // What was found last is looked at more.
    const recent = this.#vary.below(2) === 0 ? Math.min(this.#kept.length, 20) : this.#kept.length;
    const program = this.#kept.at(-1 - this.#vary.below(recent))!;
    return this.#vary.mutated(program, this.#kept[this.#vary.below(this.#kept.length)]!);
  }

  /** Null, or what was wrong. Programs that no counter speaks for go to `untested`. */
  async #try(program: Program, untested: Program[]): Promise<string | null> {
    const world = this.#worlds[program.world % WORLD_COUNT]!;
    const before = new Map<string, number>();
    world.counters(before);
    try {
      this.#frames += await runIn(world, program);
    } catch (error) {
      return this.#report(program, error as Error);
    }
    this.#programs++;
    if (!this.#gathering) return null;
    if (this.#isNew(world, before)) this.#kept.push(program);
    else untested.push(program);
    return null;
  }

  #isNew(world: World, before: ReadonlyMap<string, number>): boolean {
    const after = new Map<string, number>();
    world.counters(after);
    let isNew = false;
    for (const [name, value] of after) {
      const difference = value - (before.get(name) ?? 0);
      const feature = `${name}:${difference > 0 ? 32 - Math.clz32(difference) : 0}`;
      if (difference <= 0 || this.#features.has(feature)) continue;
      this.#features.add(feature);
      isNew = true;
    }
    return isNew;
  }

  /** The batch has reached new blocks: each program again, to find out which has. */
  async #keepByCoverage(programs: readonly Program[]): Promise<string | null> {
    const coverage = this.#coverage;
    if (coverage === null || programs.length === 0) return null;
    const fresh = coverage.take();
    if (fresh.length === 0) return null;
    let finding: string | null = null;
    for (const program of programs) {
      coverage.take();
      try {
        // oxlint-disable-next-line no-await-in-loop -- programs run one after the other
        await runIn(this.#worlds[program.world % WORLD_COUNT]!, program);
      } catch (error) {
        // oxlint-disable-next-line no-await-in-loop
        finding = await this.#report(program, error as Error);
        break;
      }
      const reached = coverage.take();
      if (reached.length > 0) this.#kept.push(program);
      coverage.mark(reached);
    }
    // What was reached because of all that went before is not reached again by one of them.
    coverage.mark(fresh);
    return finding;
  }

  async #report(program: Program, error: Error): Promise<string> {
    const { findings, log, seed } = this.#options;
    const alone = await replay(program);
    const text = error instanceof Verdict ? error.message : `${error.stack}`;
    let smallest = program;
    if (alone !== null) {
      const same = async (fewer: Program): Promise<boolean> => (await replay(fewer))?.message === alone.message;
      smallest = await minimize(program, same);
    }
    mkdirSync(findings, { recursive: true });
    const file = join(findings, `finding-${seed}-${this.#programs}.hex`);
    writeFileSync(file, writeProgram(smallest, error.message.split('\n')[0]));
    const how = alone === null ? `not alone: seed ${seed}, after ${this.#programs} programs` : `replay: npm run fuzz -- --replay ${file}`;
    log(`${text}\n${how}`);
    return `${text}\n${how}\n${writeProgram(smallest)}`;
  }

  /** The last quarter of the samples against the first, medians. */
  #growth(): string | null {
    const quarter = Math.floor(this.#heap.length / 4);
    if (quarter < 2) return null;
    const grown = median(this.#heap.slice(-quarter)) - median(this.#heap.slice(0, quarter));
    return grown > GROWTH ? `the heap has grown by ${grown} bytes: ${this.#heap.join(' ')}` : null;
  }
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}

/**
 * The part of `programs` that reaches all they reach together, counter classes and blocks, as far as they fit the corpus: those
 * that reach more a step first.
 */
async function distil(programs: readonly Program[]): Promise<Program[]> {
  const worlds = Array.from({ length: WORLD_COUNT }, (_, i) => new World(i));
  const coverage = new Coverage();
  const reached: { program: Program; features: string[] }[] = [];
  for (const program of programs) {
    const world = worlds[program.world % WORLD_COUNT]!;
    const before = new Map<string, number>();
    world.counters(before);
    coverage.take();
    // oxlint-disable-next-line no-await-in-loop -- programs run one after the other
    await runIn(world, program);
    const features = coverage.take();
    const after = new Map<string, number>();
    world.counters(after);
    for (const [name, value] of after) features.push(`${name}:${32 - Math.clz32(value - (before.get(name) ?? 0))}`);
    reached.push({ program, features });
  }
  coverage.close();
  const known = new Set<string>();
  const chosen: Program[] = [];
  let size = 0;
  for (;;) {
    let best: (typeof reached)[0] | null = null;
    let most = 0;
    for (const candidate of reached) {
      const worth = candidate.features.filter((feature) => !known.has(feature)).length / (candidate.program.steps.length + 2);
      if (worth > most) [best, most] = [candidate, worth];
    }
    if (best === null) return chosen;
    for (const feature of best.features) known.add(feature);
    size += writeProgram(best.program).length;
    if (size > CORPUS_LIMIT) return chosen;
    chosen.push(best.program);
  }
}

/** What `keepCorpus` has written; programs with another name were written by hand. */
const FOUND = /^[0-9a-f]{12}\.hex$/;

/** Puts the best of `programs` in the place of the corpus. */
export async function keepCorpus(programs: readonly Program[]): Promise<number> {
  const chosen = await distil(programs);
  for (const name of readdirSync(CORPUS)) if (FOUND.test(name)) rmSync(join(CORPUS, name));
  for (const program of chosen) {
    const text = writeProgram(program);
    writeFileSync(join(CORPUS, `${createHash('sha256').update(text).digest('hex').slice(0, 12)}.hex`), text);
  }
  return chosen.length;
}
