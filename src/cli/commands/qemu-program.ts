/** Which QEMU there is. */
import { execFile } from 'node:child_process';
import { CommandError } from './command.ts';

/** Milliseconds for QEMU to tell its version. */
const TIMEOUT = 10_000;

/** QEMU's names for processors that Node names otherwise. */
const PROCESSORS: Readonly<Record<string, string>> = { x64: 'x86_64', arm64: 'aarch64' };

/** For machines of this one's kind. */
export const QEMU: string = `qemu-system-${PROCESSORS[process.arch] ?? process.arch}`;

/** As [major, minor]. Rejects with CommandError when there is no such program, or it is no QEMU. */
export function askVersion(program: string): Promise<readonly [number, number]> {
  return new Promise((resolve, reject) => {
    execFile(program, ['--version'], { timeout: TIMEOUT }, (error, stdout) => {
      const missing = (error as NodeJS.ErrnoException | null)?.code === 'ENOENT';
      const version = qemuVersion(stdout);
      if (missing) reject(new CommandError(`there is no program ${program} in PATH (--qemu PROGRAM names another)`));
      else if (version !== undefined) resolve(version);
      else reject(new CommandError(`${program} --version doesn't answer as QEMU does${error === null ? '' : `: ${error.message.trim()}`}`));
    });
  });
}

/** Of what `--version` prints; undefined when that is no QEMU. */
export function qemuVersion(text: string): readonly [number, number] | undefined {
  const [, major, minor] = /^QEMU emulator version (\d+)\.(\d+)/m.exec(text) ?? [];
  return major === undefined ? undefined : [Number(major), Number(minor)];
}
