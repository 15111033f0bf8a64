/** What a test needs of the machine; a test that lacks it is skipped with the reason. */
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';

function hasProgram(name: string): boolean {
  return ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'].some((folder) => isAccessible(join(folder, name)));
}

function isAccessible(path: string): boolean {
  try {
    accessSync(path, constants.F_OK);
    return true;
  } catch {
    return false;
  }
}

/** For node:test's `skip`: false, or the reason why the test can't run here. `root` and `tun` are asked for by these names. */
export function missing(...needs: string[]): string | false {
  for (const need of needs) {
    if (need === 'root') {
      if (process.getuid?.() !== 0) return 'needs root';
    } else if (need === 'tun') {
      if (!isAccessible('/dev/net/tun')) return 'needs /dev/net/tun';
    } else if (!hasProgram(need)) return `needs the program ${need}`;
  }
  return false;
}
