// Compiles src and test into build/ and runs the tests: `npm test`, or `npm test -- tcp dhcp` for the files whose path has one of these words.
// With CI=true a skipped test is a failure: CI must run everything.
import { spawnSync } from 'node:child_process';
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
/** Milliseconds for one file: the slowest boots a virtual machine several times. */
const TIMEOUT = 300_000;

function node(...args) {
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}

/** Of the sources, as `test/flow/tcp.test.ts`. */
function testFiles() {
  return readdirSync(join(root, 'test'), { recursive: true })
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => join('test', name))
    .sort();
}

const words = process.argv.slice(2);
const sources = testFiles();
const unknown = words.filter((word) => !sources.some((file) => file.includes(word)));
if (unknown.length > 0) {
  console.error(`no test file has ${unknown.map((word) => JSON.stringify(word)).join(' or ')} in its path below this folder`);
  process.exit(1);
}

rmSync(join(root, 'build'), { recursive: true, force: true });
node('scripts/build.mjs');
node(fileURLToPath(import.meta.resolve('typescript/package.json')).replace(/package\.json$/, 'bin/tsc'), '-p', 'tsconfig.json');

const files = sources
  .filter((file) => words.length === 0 || words.some((word) => file.includes(word)))
  .map((file) => join(root, 'build', file.replace(/ts$/, 'js')));
// Virtual machines and measurements want the machine for themselves: they run after the others, one at a time.
const alone = files.filter((file) => file.includes(`${join('test', 'guest')}/`) || file.endsWith('-time.test.js'));
const together = files.filter((file) => !alone.includes(file));

const skipped = [];
let failed = false;
const totals = { tests: 0, passed: 0, failed: 0, skipped: 0 };

async function runFiles(list, concurrency) {
  if (list.length === 0) return;
  const stream = run({ files: list, concurrency, timeout: TIMEOUT });
  stream.on('test:pass', (event) => {
    if (event.details?.type === 'suite' || isFile(event)) return;
    totals.tests++;
    if (event.skip !== undefined) {
      totals.skipped++;
      skipped.push(`${event.name}: ${event.skip === true ? 'no reason given' : event.skip}`);
    } else totals.passed++;
  });
  stream.on('test:fail', (event) => {
    failed = true;
    if (event.details?.type === 'suite') return;
    totals.tests++;
    totals.failed++;
  });
  await new Promise((resolve, reject) => {
    stream.compose(new spec()).on('end', resolve).on('error', reject).pipe(process.stdout, { end: false });
  });
}

/** Node reports each file as a test of its own when it has none. */
function isFile(event) {
  return event.name.endsWith('.test.js');
}

await runFiles(together, 2);
await runFiles(alone, 1);

if (skipped.length > 0) console.log(`\nskipped:\n${skipped.map((text) => `  ${text}`).join('\n')}`);
if (process.env.CI === 'true' && skipped.length > 0) {
  console.log('\na skipped test is a failure when CI=true: install what it needs');
  failed = true;
}
if (totals.tests === 0) {
  console.log('no test was run');
  failed = true;
}
console.log(`\n${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`);
process.exitCode = failed ? 1 : 0;
