/** The differences that README.md lists, and those that there are. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../guest/process.ts';

/** Script → the lines of its `diff` block: `-` for the kernel's, `+` for guestwire's. */
export function listedDifferences(): Map<string, string> {
  const text = readFileSync(join(ROOT, 'test/differential/README.md'), 'utf8');
  const sections = [...text.matchAll(/^### (.+)\n([^]*?)```diff\n([^]*?)```/gm)];
  const listed = new Map<string, string>();
  for (const [, name, reason, diff] of sections) {
    if (listed.has(name!)) throw new Error(`'${name}' is listed twice`);
    if (reason!.includes('```') || !/\bRFC \d+|\bLinux\b/.test(reason!)) throw new Error(`'${name}' gives no reason with a source`);
    listed.set(name!, diff!.trimEnd());
  }
  return listed;
}

/** Lines of two traces that differ, each under the step it belongs to; empty when they are equal. */
export function difference(kernel: readonly string[], guestwire: readonly string[]): string {
  const lines: string[] = [];
  const steps = byStep(kernel);
  const others = byStep(guestwire);
  for (let i = 0; i < Math.max(steps.length, others.length); i++) {
    const [theirs, ours] = [steps[i], others[i]];
    if (theirs?.join() === ours?.join()) continue;
    if (theirs?.[0] === ours?.[0]) lines.push(`  ${theirs![0]}`);
    const from = theirs?.[0] === ours?.[0] ? 1 : 0;
    lines.push(
      ...(theirs ?? []).slice(from).map((line) => `- ${line.trim()}`),
      ...(ours ?? []).slice(from).map((line) => `+ ${line.trim()}`),
    );
  }
  return lines.join('\n');
}

/** A step's line with those of what came back. */
function byStep(lines: readonly string[]): string[][] {
  const steps: string[][] = [];
  for (const line of lines) {
    if (line.startsWith('  ')) steps.at(-1)!.push(line);
    else steps.push([line]);
  }
  return steps;
}
