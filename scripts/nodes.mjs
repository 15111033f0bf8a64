// Runs scripts/smoke.mjs against the package as it is installed, on every release line of Node that it promises to work on: `npm run nodes`,
// or `npm run nodes -- 22 24`. npx fetches each Node; dist/ must have been built.
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
/** The oldest that `engines` allows, and the newest of each line since. */
const RELEASES = ['20.19', '22', '24', '26'];
/** Milliseconds for one command: a download, or two seconds of work. */
const TIMEOUT = 180_000;

/** What it printed. Ends this process when it fails. */
function run(cwd, command, ...args) {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: 'utf8', timeout: TIMEOUT });
  if (status !== 0) {
    console.error(`${command} ${args.join(' ')}: status ${status}\n${stdout}${stderr}`);
    process.exit(1);
  }
  return stdout.trim();
}

const words = process.argv.slice(2);
const unknown = words.find((word) => !/^\d+(?:\.\d+)*$/.test(word));
if (unknown !== undefined) {
  console.error(`${JSON.stringify(unknown)} is no release of Node: npm run nodes -- 22 24`);
  process.exit(2);
}

const folder = mkdtempSync(join(tmpdir(), 'guestwire-nodes-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
writeFileSync(join(folder, 'package.json'), '{ "private": true }');
const [{ filename }] = JSON.parse(run(root, 'npm', 'pack', '--ignore-scripts', '--json', '--pack-destination', folder));
run(folder, 'npm', 'install', '--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline', join(folder, filename));
copyFileSync(join(root, 'scripts/smoke.mjs'), join(folder, 'smoke.mjs'));
for (const release of words.length > 0 ? words : RELEASES) {
  const commands = 'node smoke.mjs && node node_modules/.bin/gvproxy -version';
  const printed = run(folder, 'npx', '-y', '-p', `node@${release}`, 'sh', '-c', commands);
  console.log(printed.replace('\n', '; '));
  if (printed.includes(` v${release}.`)) continue;
  console.error(`that was not Node ${release}`);
  process.exit(1);
}
