/** Command lines of pages that no test runs as they stand: their words are held against the programs' own tables. */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { COMMANDS } from '../../src/cli/commands/table.ts';
import { parseFlags } from '../../src/cli/go-flags.ts';
import { GVFORWARDER_FLAGS } from '../../src/cli/gvforwarder-flags.ts';
import { parseStreamUrl } from '../../src/guest/stream-url.ts';
import { call } from '../cli/commands/world.ts';
import { execute, GVPROXY, ROOT, Running, temporaryFolder, until } from '../guest/process.ts';
import { commandLines } from './snippets.ts';

type Check = (words: readonly string[], line: string) => void | Promise<void>;

/** What npm's scripts run, where that has flags. */
const SCRIPTS: Readonly<Record<string, string>> = {
  bench: 'build/bench/main.js',
  'bench:micro': 'build/bench/micro/main.js',
  fuzz: 'build/test/fuzz/main.js',
  soak: 'build/test/guest/soak-main.js',
};

/** Programs that are not ours, and why a test doesn't run the line; `check` holds what of it is ours. */
const FOREIGN: Readonly<Record<string, { reason: string; check?: Check }>> = {
  'apt-get': { reason: 'changes the machine', check: packagesAreThoseOfCi },
  cp: { reason: "writes where the machine's configuration is", check: sourcesAreThere },
  git: { reason: 'makes another checkout' },
  install: { reason: "writes where the machine's configuration is", check: sourcesAreThere },
  ln: { reason: "writes where the machine's programs are", check: sourcesAreThere },
  mkdir: { reason: "writes where the machine's configuration is" },
  nmcli: { reason: 'needs NetworkManager', check: unitsAreThere },
  perf: { reason: 'needs the performance counters of a real machine' },
  podman: { reason: 'needs podman and an image from a registry; test/tree/contrib.test.ts holds the flags' },
  strace: { reason: 'only looks at a process' },
  systemctl: { reason: 'needs systemd as the first process; test/tree/contrib.test.ts verifies the units', check: unitsAreThere },
};

const OURS: Readonly<Record<string, Check>> = {
  gvproxy: async (words) => {
    const ours = words.map(ownPlace);
    const { status, stderr } = await call(['config', ...ours]);
    assert.deepEqual([status, stderr], [0, ''], 'the configuration that the flags amount to');
    // Devices that not every machine has, or that would be the machine's own.
    if (!words.some((word) => /^(?:vsock|tap):/.test(word))) await start(ours);
  },
  // A shell's own.
  cd: () => {},
  gvforwarder: (words) => {
    const { values, rest } = parseFlags(GVFORWARDER_FLAGS, words);
    assert.deepEqual(rest, []);
    parseStreamUrl(values.url);
  },
  guestwire: async ([name, ...words]) => {
    const command = COMMANDS.find((each) => each.name === name);
    assert.ok(command !== undefined);
    if (command.goFlags === true) await OURS['gvproxy']!(words, '');
    else parseArgs({ args: [...words], options: { ...command.options }, allowPositionals: true });
  },
  'qemu-wrapper': ([socket, program]) => {
    assert.match(socket!, /^\//);
    assert.match(program!, /^qemu-system-/);
  },
  node: async (words) => {
    const script = words.findIndex((word) => word.startsWith('bin/'));
    const { status, stderr } = await execute(process.execPath, [...words.slice(0, script), '--version']);
    assert.deepEqual([status, stderr], [0, '']);
    await OURS[basename(words[script]!)]!(words.slice(script + 1), '');
  },
  npm: checkNpm,
  npx: ([program]) => assert.ok(existsSync(join(ROOT, 'node_modules/.bin', program!)), program),
};

const folder = temporaryFolder();

/** Places that are no other program's. */
function ownPlace(word: string): string {
  if (word === '~/.ssh/id_ed25519') return keyFile();
  return word.replace('/tmp/', `${folder}/`).replace(/^(tcp:\/\/127\.0\.0\.1):\d+$/, '$1:0');
}

function keyFile(): string {
  const file = join(folder, 'identity');
  const privateKeyEncoding = { type: 'pkcs8', format: 'pem' } as const;
  const publicKeyEncoding = { type: 'spki', format: 'pem' } as const;
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256', privateKeyEncoding, publicKeyEncoding });
  writeFileSync(file, privateKey, { mode: 0o600 });
  return file;
}

/** Runs a gvproxy until everything is open. */
async function start(words: readonly string[]): Promise<void> {
  const gvproxy = new Running(GVPROXY, ['-ssh-port', '-1', ...words]);
  const wanted = words.filter((word) => /^-(?:link|listen)/.test(word)).length;
  const opened = (): number => gvproxy.output.match(/msg="(?:listening|link) /g)?.length ?? 0;
  await until(() => opened() >= wanted || gvproxy.child.exitCode !== null, `gvproxy to listen:\n${gvproxy.output}`);
  assert.equal(await gvproxy.kill('SIGTERM'), 0, gvproxy.output);
}

async function checkNpm([verb, ...words]: readonly string[]): Promise<void> {
  const { version, scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    version: string;
    scripts: Record<string, string>;
  };
  if (verb === 'ci' || verb === 'pack') return assert.deepEqual(words, []);
  if (verb === 'i') {
    for (const word of words.filter((each) => each.endsWith('.tgz'))) assert.match(word, new RegExp(`/guestwire-(${version}|\\*)\\.tgz$`));
    return;
  }
  const script = verb === 'run' ? words[0]! : verb!;
  assert.ok(scripts[script] !== undefined, `there is no script ${script}`);
  const program = SCRIPTS[script];
  const flags = words.filter((word) => word.startsWith('--') && word !== '--');
  if (program === undefined) return assert.deepEqual(flags, []);
  const { stdout } = await execute(process.execPath, [join(ROOT, program), '--help']);
  for (const flag of flags) assert.ok(stdout.includes(`${flag} `), `${script} knows no ${flag}`);
}

function packagesAreThoseOfCi([verb, ...packages]: readonly string[]): void {
  const [, listed] = /^packages=\(\n([\s\S]*?)\n\)/m.exec(readFileSync(join(ROOT, '.ci/run'), 'utf8'))!;
  assert.deepEqual([verb, packages], ['install', listed!.trim().split(/\s+/)]);
}

function sourcesAreThere(words: readonly string[]): void {
  for (const word of words.slice(0, -1).filter((each) => each.includes('/')))
    assert.ok(existsSync(join(ROOT, word.replace(/^\$PWD\//, ''))), word);
}

function unitsAreThere(words: readonly string[]): void {
  for (const word of words.filter((each) => /\.(service|socket|nmconnection)$/.test(each))) {
    const name = basename(word).replace(/@.*\./, '@.');
    assert.ok(
      ['gvforwarder', 'gvproxy'].some((folder) => existsSync(join(ROOT, 'contrib', folder, name))),
      name,
    );
  }
}

/** What a hypervisor is told of its network stands in a row of docs/guests.md: tests attach guests by these. */
function isInRow(words: readonly string[]): void {
  const rows = readFileSync(join(ROOT, 'docs/guests.md'), 'utf8').replaceAll('/run/', '/tmp/');
  const [, ...given] = words
    .slice(words.indexOf('...'))
    .join(' ')
    .split(/ (?=-|vec0:)/);
  assert.ok(given.length > 0, 'nothing is said of a network');
  for (const option of given) assert.ok(rows.includes(`\`${option}\``), `docs/guests.md has no row with ${option}`);
}

/** Adds to `used` the programs that are not ours. Rejects with what is wrong. */
export async function checkShell(text: string, used: Set<string>): Promise<void> {
  for (const line of commandLines(text)) {
    for (const part of line.replaceAll(/[()]/g, '').split(/ (?:&&|\|) /)) {
      const [program, ...words] = wordsOf(part);
      const name = basename(program!);
      const check = /^(?:qemu-system-\w+|linux|vfkit|krunkit)$/.test(name) ? isInRow : OURS[name];
      try {
        if (check !== undefined) await check(words, line);
        else {
          assert.ok(Object.hasOwn(FOREIGN, name), `no test knows ${name}`);
          used.add(name);
          await FOREIGN[name]!.check?.(words, line);
        }
      } catch (error) {
        throw new Error(`${line}\n${(error as Error).message}`, { cause: error });
      }
    }
  }
}

/** As a shell has them; settings of variables in front, where output goes and `&` are left out. */
function wordsOf(part: string): string[] {
  const words = [...part.replace(/^(?:sudo |\w+=\S+ )+/, '').matchAll(/(?:'[^']*'|"[^"]*"|[^\s'"])+/g)].map(([word]) =>
    word.replaceAll(/['"]/g, ''),
  );
  const end = words.findIndex((word) => /^(&|\d?>.*)$/.test(word));
  return end < 0 ? words : words.slice(0, end);
}

export { FOREIGN };
