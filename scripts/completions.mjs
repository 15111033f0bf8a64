// Writes completions/: what `guestwire completion` prints, where packagers look for files. Needs dist/. `--check` writes nothing and says
// what is out of date.
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
/** Named as each shell looks for them. */
const FILES = { bash: 'guestwire.bash', zsh: '_guestwire', fish: 'guestwire.fish' };

for (const [shell, name] of Object.entries(FILES)) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [`${root}/bin/guestwire`, 'completion', shell], { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
  const path = `${root}/completions/${name}`;
  if (!process.argv.includes('--check')) writeFileSync(path, stdout);
  else if (readFileSync(path, 'utf8') !== stdout) {
    console.error(`completions/${name} is out of date: node scripts/completions.mjs writes it anew`);
    process.exitCode = 1;
  }
}
