/** Every code block of the pages that users read is run by a test, or held against what it speaks of. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { call } from '../cli/commands/world.ts';
import { ROOT, temporaryFolder } from '../guest/process.ts';
import { checkMermaid } from './mermaid.ts';
import { checkShell, FOREIGN } from './shell-lines.ts';
import { PAGES, snippetsOf } from './snippets.ts';

/** Tests that run blocks: by page, and the block's first words; `*` are all blocks of the page. */
const RUN: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'README.md': {
    'bin/gvproxy -listen-qemu unix:///tmp/vm.sock -listen ': 'test/tree/page-commands.test.ts',
    'curl --unix-socket /tmp/api.sock http:/unix/v1/openapi.json': 'test/tree/page-commands.test.ts',
    'bin/guestwire qemu': 'test/tree/page-commands.test.ts',
  },
  'docs/guests.md': { 'ip addr add': 'test/guest/documented.ts' },
  'docs/guestwire.md': { '*': 'test/tree/guestwire-page.test.ts' },
  'docs/single-executable.md': { 'node scripts/single-executable.mjs': 'test/guest/single-executable.test.ts' },
  'docs/links.md': { 'ip link set tap0 up': 'test/guest/page-commands.test.ts' },
};

/** Pages that a program writes, and the test that compares. */
const GENERATED = { 'docs/reference.md': { program: 'scripts/reference.mjs', test: 'test/tree/library.test.ts' } } as const;

/** How a block is judged that no test names, by its language. */
const JUDGES: Readonly<Record<string, (text: string) => void | Promise<void>>> = {
  mermaid: checkMermaid,
  json: (text) => void JSON.parse(text),
  yaml: async (text) => {
    const file = join(temporaryFolder(), 'guestwire.yaml');
    writeFileSync(file, text);
    assert.deepEqual(await call(['check-config', file]), { status: 0, stdout: `${file}: nothing is wrong\n`, stderr: '' });
  },
  // test/tree/readme.test.ts runs those of every page, and fails for one that it knows no output of.
  js: () => {},
  sh: (text) => checkShell(text, foreign),
};
const foreign = new Set<string>();

test('the pages have blocks, and each is closed', () => {
  assert.ok(PAGES.includes('README.md') && PAGES.includes('docs/guestwire.md') && PAGES.includes('contrib/README.md'), PAGES.join(' '));
  assert.ok(PAGES.flatMap(snippetsOf).length > 25);
});

test('what is said to be run is asked for by that test, and is there', () => {
  for (const [page, blocks] of Object.entries(RUN)) {
    for (const [start, file] of Object.entries(blocks)) {
      const wanted = start === '*' ? `snippetsOf('${page}')` : `snippet('${page}', '${start}')`;
      assert.ok(readFileSync(join(ROOT, file), 'utf8').includes(wanted), `${file} has no ${wanted}`);
      assert.equal(snippetsOf(page).filter(({ text }) => start === '*' || text.startsWith(start)).length > 0, true, `${page}: ${start}`);
    }
  }
});

test('pages that are written by a program are compared with what it writes', () => {
  for (const { program, test: file } of Object.values(GENERATED))
    assert.ok(readFileSync(join(ROOT, file), 'utf8').includes(`'${program}'), '--check'`), file);
});

for (const page of PAGES.filter((each) => !Object.hasOwn(GENERATED, each))) {
  for (const { language, text } of snippetsOf(page)) {
    const [first] = text.split('\n');
    if (Object.keys(RUN[page] ?? {}).some((start) => start === '*' || text.startsWith(start))) continue;
    test(`${page} holds: ${language} ${first}`, async () => {
      assert.ok(Object.hasOwn(JUDGES, language), `no test knows what to do with ${language}`);
      await JUDGES[language]!(text);
    });
  }
}

test('README leads to each page of docs', () => {
  const page = readFileSync(join(ROOT, 'README.md'), 'utf8');
  for (const path of PAGES.filter((each) => each.startsWith('docs/'))) assert.ok(page.includes(`\`${path}\``), path);
});

test('programs that are not ours have a reason, and none is left over', () => {
  assert.deepEqual([...foreign].toSorted(), Object.keys(FOREIGN).toSorted());
  for (const { reason } of Object.values(FOREIGN)) assert.ok(reason.length > 10);
});

test('a picture that GitHub would not draw is found', () => {
  for (const [text, why] of [
    ['flowchart LR\n  a[one (two)] --> b', /what is this/],
    ['flowchart LR\n  subgraph a\n  b --> c', /end is missing/],
    ['flowchart LR\n  a -> b', /what is this/],
    ['sequenceDiagram\n  participant A as a\n  A->>B: hello', /B takes no part/],
    ['pie', /no picture begins/],
  ] as const) {
    assert.throws(() => checkMermaid(text), why);
  }
});

test('a command line that makes no sense is found', async () => {
  for (const line of [
    'bin/gvproxy -listen-quemu unix:///tmp/vm.sock',
    'bin/gvproxy -mtu 12',
    'bin/gvproxy -link pigeon://x',
    'bin/gvforwarder -url https://x',
    'guestwire fly',
    'guestwire forward --sideways',
    'npm run nothing',
    'npm run bench -- --sideways',
    'linux ... vec0:transport=bess,dst=/tmp/vm.sock',
    'qemu-system-x86_64 -netdev stream,id=n0 -device virtio-net-pci,netdev=n0,mac=5a:94:ef:e4:0c:ee',
    'cp contrib/gvproxy/nothing.service /etc/systemd/system/',
    'systemctl enable --now nothing.service',
    'apt-get install gvproxy',
    'rm -rf /',
  ]) {
    await assert.rejects(checkShell(line, new Set()), new RegExp(`^Error: ${line.split(' ', 1)[0]}`), line);
  }
});

/** Ways to attach whose guests no test boots: clients stand in for them (test/guest/link-clients.test.ts, vsock.test.ts, process.test.ts). */
const STOOD_IN_FOR = ['vfkit', 'HyperKit', 'Linux, from inside', 'a parent process'];

test('each way that the page on guests has to attach is taken by a test, or by one in its place, with flags that there are', async () => {
  const page = readFileSync(join(ROOT, 'docs/guests.md'), 'utf8');
  const rows = [...page.matchAll(/^\| ([^|]+) \| `([^`]+)` \| [^|]+ \|$/gm)].map(([, guest, flags]) => ({ guest: guest!, flags: flags! }));
  const tests = readdirSync(join(ROOT, 'test/guest'))
    .map((name) => readFileSync(join(ROOT, 'test/guest', name), 'utf8'))
    .join('\n');
  const booted = (guest: string): boolean => ['documented', 'attach'].some((reader) => tests.includes(`${reader}('${guest}'`));
  assert.deepEqual(
    rows.map(({ guest }) => guest).filter((guest) => !booted(guest)),
    STOOD_IN_FOR,
  );
  for (const { guest, flags } of rows.filter(({ guest: name }) => STOOD_IN_FOR.includes(name))) {
    const { status, stderr } = await call(['config', ...flags.split(' ')]);
    assert.deepEqual([status, stderr], [0, ''], guest);
  }
});
