/** The recipes name files, flags and interfaces that there are. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type FlagDefinition, parseFlags } from '../../src/cli/go-flags.ts';
import { GVFORWARDER_FLAGS } from '../../src/cli/gvforwarder-flags.ts';
import { GVPROXY_FLAGS } from '../../src/cli/gvproxy-flags.ts';
import { parseStreamUrl } from '../../src/guest/stream-url.ts';
import { execute, ROOT, temporaryFolder } from '../guest/process.ts';
import { missing } from '../guest/requirement.ts';

const FOLDER = join(ROOT, 'contrib');
const PROGRAMS: Readonly<Record<string, Record<string, FlagDefinition>>> = { gvforwarder: GVFORWARDER_FLAGS, gvproxy: GVPROXY_FLAGS };

const page = readFileSync(join(FOLDER, 'README.md'), 'utf8');
const files = readdirSync(FOLDER, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.includes('/'))
  .toSorted();
const units = files.filter((name) => /\.(?:service|socket)$/.test(name));

function read(name: string): string {
  return readFileSync(join(FOLDER, name), 'utf8');
}

/** As systemd does, for what stands in our units. */
function expanded(text: string): string {
  return text.replaceAll('%i', 'instance').replaceAll('${GV_VSOCK_PORT}', '1024');
}

test('README names every file, and no other', () => {
  const named = [...page.matchAll(/`(gv\w+\/[\w@.-]+)`/g)].map(([, name]) => name!);
  assert.deepEqual([...new Set(named)].toSorted(), files);
});

test('what is started are programs of the package, with flags that they have', () => {
  const commands = [
    ...units.flatMap((name) => [...read(name).matchAll(/^ExecStart=\/usr\/local\/bin\/(\w+) (.*)$/gm)]),
    ...page.replaceAll('\\\n', ' ').matchAll(/--volume \S+ (gvforwarder|gvproxy) (.*)$/gm),
  ].map(([, program, words]) => [program!, words!] as const);
  assert.equal(commands.length, 6);
  for (const [program, words] of commands) {
    const argv = expanded(words)
      .split(' ')
      .map((word) => (word === '""' ? '' : word));
    const { values, given } = parseFlags(PROGRAMS[program]!, argv);
    assert.ok(given.size > 0, words);
    // Nothing is left that is no flag.
    const used = [...given].reduce((sum, name) => sum + (PROGRAMS[program]![name]!.kind === 'bool' ? 1 : 2), 0);
    assert.equal(used, argv.length, words);
    if (program === 'gvforwarder')
      assert.deepEqual(parseStreamUrl(values['url'] as string), { kind: 'vsock', cid: 2, port: 1024, path: '/connect' });
  }
});

test('the interface is the same wherever it is named', () => {
  assert.equal(GVFORWARDER_FLAGS.iface.default, 'tap0');
  assert.match(read('gvforwarder/gvforwarder.service'), / -iface tap0 /);
  assert.match(read('gvforwarder/90-gvforwarder.conf'), /interface-name:tap0$/m);
  const connection = read('gvforwarder/vsock0.nmconnection');
  assert.match(connection, /^interface-name=vsock0$/m);
  assert.ok(page.includes('gvforwarder@vsock0.service'));
  assert.equal(/^cloned-mac-address=(.*)$/m.exec(connection)![1]!.toLowerCase(), GVFORWARDER_FLAGS.mac.default);
});

test('systemd finds nothing wrong with the units', { skip: missing('systemd-analyze') }, async () => {
  const folder = temporaryFolder();
  const bin = join(folder, 'bin');
  mkdirSync(bin);
  for (const program of Object.keys(PROGRAMS)) writeFileSync(join(bin, program), '#!/bin/sh\n', { mode: 0o755 });
  for (const name of units) writeFileSync(join(folder, name.split('/')[1]!), read(name).replaceAll('/usr/local/bin', bin));
  const analyze = async (chosen: readonly string[], ...flags: string[]): Promise<void> => {
    const names = chosen.map((name) => join(folder, name.split('/')[1]!.replace('@.', '@instance.')));
    const command = [`XDG_RUNTIME_DIR=${folder}`, 'systemd-analyze', 'verify', '--man=no', '--recursive-errors=no', ...flags, ...names];
    const { status, stdout, stderr } = await execute('env', command);
    assert.deepEqual([status, stdout, stderr], [0, '', '']);
  };
  const forUsers = ['gvproxy/gvproxy.service', 'gvproxy/gvproxy.socket'];
  const forSystem = ['gvforwarder/gvforwarder.service', 'gvforwarder/gvforwarder@.service', 'gvproxy/gvproxy@.service'];
  assert.deepEqual([...forUsers, ...forSystem].toSorted(), units);
  await analyze(forSystem);
  await analyze(forUsers, '--user');
  // In tenths, of at most ten. What only root's service manager can take counts against the one for users.
  for (const [name, exposure] of Object.entries({ 'gvproxy@.service': 20, 'gvproxy.service': 70 })) {
    const command = ['security', '--offline=true', '--no-pager', `--threshold=${exposure}`, join(folder, name)];
    const { status, stdout } = await execute('systemd-analyze', command);
    assert.equal(status, 0, stdout.split('\n').slice(-3).join('\n'));
  }
});

test('the units leave the programs every kind of socket that a link or a listener may be', () => {
  for (const name of ['gvproxy/gvproxy.service', 'gvproxy/gvproxy@.service']) {
    const [, families] = /^RestrictAddressFamilies=(.*)$/m.exec(read(name))!;
    assert.deepEqual(families!.split(' ').toSorted(), ['AF_INET', 'AF_INET6', 'AF_NETLINK', 'AF_UNIX', 'AF_VSOCK']);
    assert.doesNotMatch(read(name), /^MemoryDenyWriteExecute=yes/m, 'V8 could not compile');
  }
});
