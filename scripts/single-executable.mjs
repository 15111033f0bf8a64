// Makes one file of all programs, Node included: `node scripts/single-executable.mjs [FILE]`, ./guestwire-bundle else. npx fetches the
// Node that goes into it (Linux on x64 or arm64 with glibc). docs/single-executable.md says what to do with it.
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';

const root = fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, '');
/** The first line whose `node --build-sea` needs no other tool. */
const NODE = '26';
const [file = 'guestwire-bundle', ...more] = process.argv.slice(2);
if (file.startsWith('-') || more.length > 0) {
  console.error('usage: node scripts/single-executable.mjs [FILE]');
  process.exit(2);
}
const target = resolve(file);
const platform = `linux-${process.arch}`;
const { version } = JSON.parse(readFileSync(`${root}/package.json`, 'utf8'));

/** Told by the name that it is called by, as busybox is; by its first word where the name says nothing. */
const ENTRY = `
import { basename } from 'node:path';
import { main } from '${root}/src/cli/main.ts';

const PROGRAMS = {
  guestwire: async () => (await import('${root}/src/cli/guestwire.ts')).guestwire,
  gvproxy: async () => (await import('${root}/src/cli/gvproxy.ts')).gvproxy,
  gvforwarder: async () => (await import('${root}/src/cli/gvforwarder.ts')).gvforwarder,
  'qemu-wrapper': async () => (await import('${root}/src/cli/qemu-wrapper.ts')).qemuWrapper,
  'ssh-over-vsock': async () => (await import('${root}/src/cli/ssh-over-vsock.ts')).sshOverVsock,
};

const called = basename(process.argv0);
let name = called;
if (!Object.hasOwn(PROGRAMS, called)) {
  name = Object.hasOwn(PROGRAMS, process.argv[2] ?? '') ? process.argv.splice(2, 1)[0] : 'guestwire';
}
PROGRAMS[name]().then((program) => main(name, program));
`;

/** The system opens shared objects by name only: the one that is inside is written to a folder of this user's, and removed once it is open. */
const KOFFI = `
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { getRawAsset } from 'node:sea';

const folder = mkdtempSync(join(tmpdir(), 'guestwire-'));
const file = join(folder, 'koffi.node');
const native = { exports: {} };
try {
  writeFileSync(file, new Uint8Array(getRawAsset('koffi.node')));
  process.dlopen(native, file, constants.dlopen.RTLD_NOW);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
export default native.exports;
`;

/** Text of the sources that looks for a file beside itself, and what stands for it. */
const REPLACED = {
  'src/cli/version.ts': [/\(JSON\.parse\(readFileSync\([^;]*\.version;/, `'${version}';`],
  'src/ssh/private-key.ts': [
    /new Worker\(new URL\([^)]*\), \{/,
    "new Worker(process.getBuiltinModule('node:sea').getAsset('key-worker.js', 'utf8'), { eval: true,",
  ],
};

const inOneFile = {
  name: 'in one file',
  resolveId(id) {
    if (id.endsWith('.node') || id === 'cpu-features') return '\0native';
    return id === 'koffi' || id === 'entry' ? `\0${id}` : null;
  },
  load: (id) => ({ '\0native': "throw new Error('not part of this file')", '\0koffi': KOFFI, '\0entry': ENTRY })[id] ?? null,
  transform(code, id) {
    const rule = Object.entries(REPLACED).find(([path]) => id === `${root}/${path}`)?.[1];
    if (rule === undefined) return null;
    if (!rule[0].test(code)) throw new Error(`${id} has changed: ${rule[0]} is not in it`);
    return code.replace(rule[0], rule[1]);
  },
};

async function bundle(input, file, inputOptions = {}) {
  const made = await rolldown({ cwd: root, input, platform: 'node', plugins: [inOneFile], ...inputOptions });
  await made.write({ file, format: 'cjs', codeSplitting: false, minify: true });
  await made.close();
}

function run(command, ...args) {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', timeout: 300_000 });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: status ${status}\n${stdout}${stderr}`);
  return stdout.trim();
}

const folder = mkdtempSync(join(tmpdir(), 'guestwire-sea-'));
try {
  const node = run('npx', '-y', '-p', `node@${NODE}`, 'node', '-p', 'process.execPath');
  copyFileSync(node, `${folder}/node`);
  // Names for debuggers are a fifth of it. What has a program inside can't be stripped any more.
  spawnSync('strip', [`${folder}/node`]);
  await bundle('entry', `${folder}/main.js`);
  await bundle(`${root}/src/ssh/key-worker.ts`, `${folder}/key-worker.js`);
  const configuration = {
    main: `${folder}/main.js`,
    output: target,
    executable: `${folder}/node`,
    disableExperimentalSEAWarning: true,
    useCodeCache: true,
    // What guests and users hand to Node's own options is none of theirs.
    execArgvExtension: 'none',
    assets: {
      'koffi.node': `${root}/node_modules/@koromix/koffi-${platform}/${platform.replace('-', '_')}/koffi.node`,
      'key-worker.js': `${folder}/key-worker.js`,
    },
  };
  writeFileSync(`${folder}/sea.json`, JSON.stringify(configuration));
  run(node, '--build-sea', `${folder}/sea.json`);
  console.log(`${target}: ${(statSync(target).size / 1e6).toFixed(0)} MB, ${run(target, '-version')}`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
