// Everything that must hold before a commit and needs no running: types, lint, format, dead code, package shape. `--fix` mends what it can.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const fix = process.argv.includes('--fix');

const steps = [
  ['checksum module', 'node', ['scripts/build.mjs', '--wasm-only']],
  ['types', 'npx', ['tsc', '-p', 'tsconfig.json', '--noEmit']],
  ['lint', 'npx', ['oxlint', '--type-aware', '--deny-warnings', ...(fix ? ['--fix'] : []), 'src', 'test', 'bench', 'examples', 'scripts']],
  ['format', 'npx', ['oxfmt', ...(fix ? [] : ['--check']), 'src', 'test', 'bench', 'examples', 'scripts']],
  ['dead code', 'npx', ['knip']],
  ['package', 'npx', ['publint', '--strict']],
];

let failed = false;
for (const [name, command, args] of steps) {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd: root, encoding: 'utf8' });
  console.log(`${status === 0 ? 'ok  ' : 'FAIL'} ${String(name)}`);
  if (status === 0) continue;
  failed = true;
  console.log(stdout + stderr);
}
process.exitCode = failed ? 1 : 0;
