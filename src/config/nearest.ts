/** What somebody may have meant who wrote a word that there is not. */

/** Most letters that may be wrong. */
const SLIPS = 2;

/** The word that is at most two letters away, or differs in case, dashes and underscores only. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const bare = (text: string): string => text.toLowerCase().replaceAll(/[-_]/g, '');
  const same = known.find((candidate) => bare(candidate) === bare(word));
  if (same !== undefined) return same;
  const [best] = known.map((candidate) => ({ candidate, slips: distance(word, candidate) })).toSorted((a, b) => a.slips - b.slips);
  return best !== undefined && best.slips <= Math.min(SLIPS, word.length - 1) ? best.candidate : undefined;
}

/** Letters to insert, remove or replace (Levenshtein). */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[b.length]!;
}
