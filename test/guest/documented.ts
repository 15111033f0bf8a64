/** The rows of docs/guests.md: what guests and gvproxy are started with in tests is what users read. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { commandLines, snippet } from '../tree/snippets.ts';
import { ROOT } from './process.ts';

interface Row {
  /** gvproxy's flags. */
  readonly flags: readonly string[];
  /** The words of the guest's side. */
  readonly guest: readonly string[];
}

/** A guest's row, with places of the test's own for those of the document; each of them must be there. */
export function documented(guest: string, places: Readonly<Record<string, string>> = {}): Row {
  const text = readFileSync(join(ROOT, 'docs/guests.md'), 'utf8');
  let row = text.split('\n').find((line) => line.startsWith(`| ${guest} |`));
  if (row === undefined) throw new Error(`docs/guests.md has no row for ${guest}`);
  for (const [place, ours] of Object.entries(places)) {
    if (!row.includes(place)) throw new Error(`${place} is not in docs/guests.md's row for ${guest}`);
    row = row.replaceAll(place, ours);
  }
  const [flags, side] = [...row.matchAll(/`([^`]+)`/g)].map(([, words]) => words!.split(' '));
  return { flags: flags!, guest: side! };
}

/** The lines by which User Mode Linux gets its address without DHCP. */
export function documentedAddress(): readonly string[] {
  return commandLines(snippet('docs/guests.md', 'ip addr add'));
}
