// Builds and runs the comparison (`npm run bench`, root), with --switch that of VM to VM, or, with --micro, the micro benchmarks.
// See bench/README.md.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

/** `output`: descriptor for its standard output. */
function node(output, ...args) {
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: ['inherit', output, 'inherit'] });
  if (status !== 0) process.exit(status ?? 1);
}

const words = process.argv.slice(2);
// Standard output is the table's.
node(2, 'scripts/build.mjs');
node(2, fileURLToPath(import.meta.resolve('typescript/package.json')).replace(/package\.json$/, 'bin/tsc'), '-p', 'tsconfig.json');
if (words.includes('--micro')) {
  // So much new space that nothing is collected while allocations are counted.
  node(
    1,
    '--expose-gc',
    '--min-semi-space-size=128',
    '--max-semi-space-size=128',
    'build/bench/micro/main.js',
    ...words.filter((word) => word !== '--micro'),
  );
} else if (words.includes('--switch')) {
  node(1, 'build/bench/between-guests.js', ...words.filter((word) => word !== '--switch'));
} else {
  node(1, 'build/bench/main.js', ...words);
}
