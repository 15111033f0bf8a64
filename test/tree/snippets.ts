/** The code blocks of the pages that users read: fenced ones, and lines that are indented by four columns, which are a shell's. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../guest/process.ts';

export interface Snippet {
  /** `docs/links.md` */
  readonly page: string;
  /** What stands behind the fence; `sh` for indented lines. */
  readonly language: string;
  readonly text: string;
}

/** README and its like, and what is in docs, contrib and examples. */
export const PAGES: readonly string[] = ['', 'docs', 'contrib', 'examples']
  .filter((folder) => existsSync(join(ROOT, folder)))
  .flatMap((folder) => readdirSync(join(ROOT, folder), { recursive: folder !== '', encoding: 'utf8' }).map((name) => join(folder, name)))
  .filter((path) => path.endsWith('.md'))
  .toSorted();

export function snippetsOf(page: string): Snippet[] {
  const found: Snippet[] = [];
  const lines = readFileSync(join(ROOT, page), 'utf8').split('\n');
  for (let at = 0; at < lines.length; at++) {
    const [, language] = /^```(\S*)/.exec(lines[at]!) ?? [];
    const from = language === undefined ? at : at + 1;
    let end = from;
    if (language !== undefined) {
      end = lines.indexOf('```', from);
      if (end < 0) throw new Error(`${page}:${at + 1}: the fence is not closed`);
    } else if (isIndented(lines[at]!) && (at === 0 || lines[at - 1] === '')) {
      while (end < lines.length && (isIndented(lines[end]!) || (lines[end] === '' && isIndented(lines[end + 1] ?? '')))) end++;
    } else continue;
    const text = lines.slice(from, end).map((line) => (language === undefined ? line.slice(4) : line));
    found.push({ page, language: language ?? 'sh', text: text.join('\n') });
    at = end;
  }
  return found;
}

function isIndented(line: string): boolean {
  return /^ {4}/.test(line);
}

/** The only block of the page that begins so. */
export function snippet(page: string, start: string): string {
  const [found, ...more] = snippetsOf(page).filter(({ text }) => text.startsWith(start));
  if (found === undefined || more.length > 0)
    throw new Error(`${page} has ${more.length === 0 ? 'no' : 'more than one'} block "${start}…"`);
  return found.text;
}

/** Its command lines: those that go on are joined, comments behind them left out. */
export function commandLines(text: string): string[] {
  return text
    .replaceAll(/\\\n\s*/g, '')
    .split('\n')
    .map((line) => line.replace(/\s+# .*$/, '').trim())
    .filter((line) => line !== '');
}
