import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { ROOT, succeed } from '../guest/process.ts';

/** What follows in README is about the sources, which are not in the package. */
const CLONE = '\n## Working on guestwire\n';
/** They speak of a clone throughout, and say so; project-pages.test.ts looks at what they name. */
const OF_A_CLONE = ['CONTRIBUTING.md', 'SECURITY.md'];

function paths(text: string): string[] {
  return [...text.matchAll(/`((?:src|dist|docs|bin|bench|test|scripts|\.ci)\/[\w./-]+)`/g)].map(([, path]) => path!);
}

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

  test('has the files that its pages lead to, but for what README says of a clone', () => {
    const pages = files.filter((path) => path.endsWith('.md'));
    assert.deepEqual(pages.toSorted(), [
      'CHANGELOG.md',
      'CONTRIBUTING.md',
      'README.md',
      'SECURITY.md',
      'docs/addressing.md',
      'docs/compatibility.md',
      'docs/errors.md',
      'docs/guests.md',
      'docs/guestwire.md',
      'docs/library.md',
      'docs/limits.md',
      'docs/links.md',
      'docs/reference.md',
    ]);
    const named: string[] = [];
    const cloned: string[] = [];
    for (const page of pages) {
      if (OF_A_CLONE.includes(page)) continue;
      const [packaged, clone] = readFileSync(join(ROOT, page), 'utf8').split(CLONE) as [string, string?];
      named.push(...paths(packaged));
      cloned.push(...paths(clone ?? ''));
    }
    assert.ok(named.length + cloned.length >= 3, [...named, ...cloned].join(' '));
    assert.deepEqual(
      cloned.filter((path) => !existsSync(join(ROOT, path))),
      [],
    );
    assert.deepEqual(
      named.filter((path) => !files.includes(path)),
      [],
    );
  });

  test('installs every program, and its help names each', async () => {
    const programs = readdirSync(join(ROOT, 'bin')).toSorted();
    const wanted = Object.fromEntries(programs.map((program) => [program, `bin/${program}`]));
    const { bin } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { bin: unknown };
    const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as { packages: { '': { bin: unknown } } };
    assert.deepEqual(bin, wanted);
    assert.deepEqual(lock.packages[''].bin, wanted);
    const help = await succeed(join(ROOT, 'bin/guestwire'), ['help']);
    for (const program of programs) assert.match(help, new RegExp(`^Programs of the package: .*\\b${program}\\b`, 'm'));
  });

  test('is made of the modules that the limits page names', () => {
    const modules = [...readFileSync(join(ROOT, 'docs/limits.md'), 'utf8').matchAll(/`([a-z-]+(?:\/[a-z-]+)+)`/g)].map(([, path]) => path!);
    assert.ok(modules.length >= 15, modules.join(' '));
    assert.deepEqual(
      modules.filter((path) => !existsSync(join(ROOT, 'src', `${path}.ts`))),
      [],
    );
  });
});
