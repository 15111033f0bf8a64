import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { ROOT, succeed } from '../guest/process.ts';

describe('the package as it is published', () => {
  let files: string[];

  before(async () => {
    const [packed] = JSON.parse(await succeed('npm', ['pack', ROOT, '--dry-run', '--json', '--ignore-scripts'])) as [
      { files: { path: string }[] },
    ];
    files = packed.files.map(({ path }) => path);
  });

  test('has no source maps: the sources they lead to are not in it', () => {
    assert.deepEqual(
      files.filter((path) => path.endsWith('.map')),
      [],
    );
    const referring = files.filter((path) => path.endsWith('.js') && readFileSync(join(ROOT, path), 'utf8').includes('sourceMappingURL'));
    assert.deepEqual(referring, []);
  });

  test('has the files that README leads to', () => {
    const named = [...readFileSync(join(ROOT, 'README.md'), 'utf8').matchAll(/`((?:src|dist|docs|bin)\/[\w./-]+)`/g)].map(
      ([, path]) => path!,
    );
    assert.ok(named.length >= 3, named.join(' '));
    assert.deepEqual(
      named.filter((path) => !files.includes(path)),
      [],
    );
  });
});
