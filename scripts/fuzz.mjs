// Builds, and fuzzes the frame entry (test/fuzz/). Ends with 1 after a finding, which is written to fuzz-findings/.
//   npm run fuzz -- --minutes 60           guided by coverage; the seed is printed
//   npm run fuzz -- --minutes 60 --keep    puts what it found worth keeping in the place of the corpus
//   npm run fuzz -- --replay FILE          runs one program again
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const tsc = fileURLToPath(import.meta.resolve('typescript/package.json')).replace(/package\.json$/, 'bin/tsc');
for (const args of [
  ['scripts/build.mjs', '--wasm-only'],
  [tsc, '-p', 'tsconfig.json'],
  ['build/test/fuzz/main.js', ...process.argv.slice(2)],
]) {
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}
