/** The page on compatibility leaves nothing out. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { GVFORWARDER_FLAGS } from '../../src/cli/gvforwarder-flags.ts';
import { GVPROXY_FLAGS } from '../../src/cli/gvproxy-flags.ts';
import { FILE_SCHEMA } from '../../src/config/file-schema.ts';
import { ROOT } from '../guest/process.ts';

const page = readFileSync(join(ROOT, 'docs/compatibility.md'), 'utf8');

/** What stands in the first column of a table, each name for itself. */
function names(text: string): string[] {
  return text
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .flatMap((line) => [...line.split('|')[1]!.matchAll(/`([^`]+)`/g)].map(([, name]) => name!));
}

const rows = names(page);

for (const [title, flags] of [
  ['Flags', GVPROXY_FLAGS],
  ['gvforwarder', GVFORWARDER_FLAGS],
] as const) {
  test(`there is a row for each flag, and none for another: ${title}`, () => {
    const section = page.split('\n## ').find((text) => text.startsWith(`${title}\n`))!;
    assert.deepEqual(
      names(section).toSorted(),
      Object.keys(flags)
        .map((name) => `-${name}`)
        .toSorted(),
    );
  });
}

test('no flag is left for later', () => {
  assert.doesNotMatch(page, /^\| `-[\w-]+` \| later \|/m);
});

test('there is a row for each key of the configuration file', () => {
  const { stack, ...top } = FILE_SCHEMA.shape;
  const keys = [...Object.keys(top), ...Object.keys(stack.unwrap().shape).map((name) => `stack.${name}`)];
  for (const key of keys) assert.ok(rows.includes(key), key);
});

test('there is a row for each endpoint', () => {
  const source = ['routes', 'server'].map((name) => readFileSync(join(ROOT, `src/api/${name}.ts`), 'utf8')).join('\n');
  const paths = [...source.matchAll(/'(\/(?:connect|tunnel|stats|cam|leases|services|debug)[a-z/]*)'/g)].map(([, path]) => path!);
  assert.ok(paths.length >= 8, paths.join());
  for (const path of new Set(paths)) {
    const named = path.startsWith('/debug/') ? '/debug/pprof/' : path;
    assert.ok(rows.includes(named), path);
  }
});
