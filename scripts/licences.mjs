// The licences of what is bundled, which want to be passed on with it.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Folders of the packages that these modules are of. */
function packageFolders(moduleIds) {
  const folders = moduleIds.flatMap((id) => /^\0?(.*\/node_modules\/(?:@[^/]+\/)?[^/?]+)/.exec(id)?.[1] ?? []);
  return [...new Set(folders)].toSorted((a, b) => (a < b ? -1 : 1));
}

/** One text for all. Throws for a package without a licence. */
export function licences(moduleIds) {
  const texts = packageFolders(moduleIds).map((folder) => {
    const { name, version, license, licenses } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    const kind = license ?? licenses?.map(({ type }) => type).join(', ');
    const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
    if (kind === undefined && file === undefined) throw new Error(`${name} has no licence`);
    const text = file === undefined ? `Licence: ${kind}\n` : readFileSync(join(folder, file), 'utf8').trim();
    return `${name} ${version} (${kind})\n\n${text}\n`;
  });
  const rule = `\n${'-'.repeat(80)}\n\n`;
  return `Parts of these packages are in the files beside this one.\n${rule}${texts.join(rule)}`;
}
