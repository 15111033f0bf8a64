// Builds, and fuzzes the frame entry (test/fuzz/main.ts, whose usage `npm run fuzz -- --help` prints).
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
