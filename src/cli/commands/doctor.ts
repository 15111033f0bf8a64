/** `guestwire doctor`: what this host can do, and what to do about what it can't. */
import { accessSync, constants, readFileSync } from 'node:fs';
import { release } from 'node:os';
import { type Call, checkWords, STATUS } from './command.ts';
import { examine, type Finding, type Host, type Verdict } from './doctor-checks.ts';
import { type Column, hasColour, printListing } from './listing.ts';
import { askVersion, QEMU } from './qemu-program.ts';

const COLUMNS: readonly Column<Finding>[] = [
  { title: 'verdict', of: ({ verdict }) => verdict },
  { title: 'what', of: ({ what }) => what },
  { title: 'found', of: ({ found }) => found },
  { title: 'advice', of: ({ advice }) => advice },
];
const COLOURS: Readonly<Record<Verdict, number>> = { ok: 32, warn: 33, fail: 31 };

/** Fails when something that guestwire can't do without is missing. */
export async function doctor(call: Call): Promise<number> {
  checkWords(call.words, 0, 0, 'none');
  const findings = examine(await thisHost());
  const { environment, options } = call;
  if (options.flag('json') || !environment.stdoutIsTerminal) printListing(call, { findings }, COLUMNS, findings);
  else for (const finding of findings) environment.stdout(text(finding, hasColour(call)));
  return findings.some(({ verdict }) => verdict === 'fail') ? STATUS.failed : STATUS.ok;
}

/** Advice is too long for a column. */
function text({ verdict, what, found, advice }: Finding, colour: boolean): string {
  const mark = colour ? `\u001b[${COLOURS[verdict]}m${verdict.padEnd(4)}\u001b[0m` : verdict.padEnd(4);
  return `${mark}  ${what.padEnd(14)}  ${found}\n${advice === undefined ? '' : `      → ${advice}\n`}`;
}

async function thisHost(): Promise<Host> {
  // By themselves: where koffi can't be loaded they can't.
  const trials = await import('./doctor-trials.ts').catch((error: unknown) => error as Error);
  const noCalls = trials instanceof Error ? trials.message : trials.whyNoCalls();
  return {
    node: process.version,
    platform: process.platform,
    processor: process.arch,
    kernel: release(),
    uid: process.getuid?.() ?? -1,
    noCalls,
    read,
    opens: (path) => isAccessible(path, constants.R_OK | constants.W_OK),
    exists: (path) => isAccessible(path, constants.F_OK),
    tries: (what) => !(trials instanceof Error) && noCalls === undefined && trials.TRIALS[what](),
    qemu: await askVersion(QEMU).catch(() => undefined),
  };
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

function isAccessible(path: string, mode: number): boolean {
  try {
    accessSync(path, mode);
    return true;
  } catch {
    return false;
  }
}
