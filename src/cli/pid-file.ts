/** The file that tells callers which process to end (contract §4.3): the number, nothing else. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';

export class PidFile {
  readonly #path: string;
  /** Somebody else's, from before. */
  readonly #found: string | undefined;

  /** Throws Node's error when the file can't be written. */
  constructor(path: string) {
    this.#path = path;
    this.#found = read(path);
    writeFileSync(path, String(process.pid));
  }

  /** On exit. Once another process has written its number the file is that process's. */
  remove(): void {
    if (read(this.#path) === String(process.pid)) rmSync(this.#path, { force: true });
  }

  /** When the start has failed: a process that was there before us, and still is, keeps its file. */
  giveBack(): void {
    if (this.#found === undefined || !lives(this.#found)) this.remove();
    else if (read(this.#path) === String(process.pid)) writeFileSync(this.#path, this.#found);
  }
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

function lives(text: string): boolean {
  if (!/^[1-9]\d*\s*$/.test(text)) return false;
  try {
    process.kill(Number(text), 0);
    return true;
  } catch (error) {
    // It lives, as another user's.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
