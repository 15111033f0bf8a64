// Builds and runs the comparison (`npm run bench`, root) or, with --micro, the micro benchmarks. See bench/README.md.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

function node(...args) {
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}

const words = process.argv.slice(2);
// What is built goes to standard error's side of things: standard output is the table.
node('scripts/build.mjs');
node(fileURLToPath(import.meta.resolve('typescript/package.json')).replace(/package\.json$/, 'bin/tsc'), '-p', 'tsconfig.json');
if (words.includes('--micro')) {
  // So much new space that nothing is collected while allocations are counted.
  node(
    '--expose-gc',
    '--min-semi-space-size=128',
    '--max-semi-space-size=128',
    'build/bench/micro/main.js',
    ...words.filter((word) => word !== '--micro'),
  );
} else {
  node('build/bench/main.js', ...words);
}
