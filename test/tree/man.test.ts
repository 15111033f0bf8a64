/** Every program has a manual page, which lists the flags that it has; shells complete the commands that there are. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { COMMANDS } from '../../src/cli/commands/table.ts';
import { GVFORWARDER_FLAGS } from '../../src/cli/gvforwarder-flags.ts';
import { GVPROXY_FLAGS } from '../../src/cli/gvproxy-flags.ts';
import { SSH_OVER_VSOCK_FLAGS } from '../../src/cli/ssh-over-vsock.ts';
import { execute, ROOT } from '../guest/process.ts';
import { missing } from '../guest/requirement.ts';

const PAGES = readdirSync(join(ROOT, 'man')).toSorted();

/** What a reader sees; `warnings` are the formatter's. */
async function formatted(page: string): Promise<{ text: string; warnings: string }> {
  const { stdout, stderr } = await execute('groff', ['-mdoc', '-Tascii', '-P-cbou', '-ww', '-rLL=200n', join(ROOT, 'man', page)]);
  return { text: stdout, warnings: stderr };
}

test('each program has a page, and package.json names all of them', () => {
  const { bin, man } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { bin: Record<string, string>; man: string[] };
  assert.deepEqual(
    PAGES,
    Object.keys(bin)
      .map((program) => `${program}.1`)
      .toSorted(),
  );
  assert.deepEqual(
    man.toSorted(),
    PAGES.map((page) => `./man/${page}`),
  );
});

for (const script of ['man', 'completions']) {
  test(`what is made of the programs' own tables is up to date: scripts/${script}.mjs has nothing to write`, async () => {
    const { status, stderr } = await execute(process.execPath, [join(ROOT, `scripts/${script}.mjs`), '--check']);
    assert.deepEqual([status, stderr], [0, '']);
  });
}

test('groff reads every page without a warning, and shows every flag and command', { skip: missing('groff') }, async () => {
  const shown = new Map<string, string>();
  for (const page of PAGES) {
    const { text, warnings } = await formatted(page);
    assert.equal(warnings, '', page);
    assert.match(text, new RegExp(`^NAME\\n +${page.replace('.1', '')} -+ `, 'm'));
    shown.set(page, text);
  }
  for (const [page, flags] of [
    ['gvproxy.1', GVPROXY_FLAGS],
    ['gvforwarder.1', GVFORWARDER_FLAGS],
    ['ssh-over-vsock.1', SSH_OVER_VSOCK_FLAGS],
  ] as const) {
    const options = shown.get(page)!.split('\nOPTIONS\n')[1]!;
    for (const name of Object.keys(flags)) assert.match(options, new RegExp(`^ +-${name}(?: (?:VALUE|NUMBER))?(?:  |$)`, 'm'), name);
  }
  for (const { name, options } of COMMANDS) {
    const section = new RegExp(`^   ${name}\\n(?:\\n| {4,}.*\\n)+`, 'm').exec(shown.get('guestwire.1')!);
    assert.ok(section !== null, name);
    for (const option of Object.keys(options))
      assert.match(section[0], new RegExp(`^ +(?:-\\w.*, )?--${option}\\b`, 'm'), `${name} --${option}`);
  }
});
