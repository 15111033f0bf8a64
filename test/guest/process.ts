/** Child processes of tests: run to the end, or kept running and ended for certain. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';

/** The project's folder: this file runs from build/test/guest. */
export const ROOT: string = fileURLToPath(new URL('../../..', import.meta.url));
/** `GUESTWIRE_GVPROXY` names another program to run the tests against. */
export const GVPROXY: string = process.env['GUESTWIRE_GVPROXY'] ?? join(ROOT, 'bin/gvproxy');

export interface Finished {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end; killed after `timeout` ms. */
export function execute(command: string, args: readonly string[], timeout = 30_000, input = ''): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { timeout, killSignal: 'SIGKILL' });
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    child.on('error', reject);
    child.on('close', (status) => resolve({ status, stdout, stderr }));
    child.stdin.on('error', () => {});
    child.stdin.end(input);
  });
}

/** As `execute`; rejects with everything it printed when it fails. */
export async function succeed(command: string, args: readonly string[], timeout = 30_000): Promise<string> {
  const { status, stdout, stderr } = await execute(command, args, timeout);
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: status ${status}\n${stdout}${stderr}`);
  return stdout;
}

const running: Set<ChildProcess> = new Set();
const folders: string[] = [];
// A test that fails leaves its programs behind: they would keep this process alive.
after(() => {
  for (const child of running) child.kill('SIGKILL');
});
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** A program that goes on running; killed when the test process ends. What it prints is kept in `output`. */
export class Running {
  readonly child: ChildProcess;
  readonly started: number = performance.now();
  output = '';
  readonly ended: Promise<number | null>;

  /** `binary`: what it prints is no text, and is not kept in `output`. */
  constructor(command: string, args: readonly string[], { binary = false }: { binary?: boolean } = {}) {
    this.child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    running.add(this.child);
    const keep = (chunk: Buffer): void => void (this.output += chunk.toString());
    if (!binary) this.child.stdout?.on('data', keep);
    // It may end before it has read everything.
    this.child.stdin?.on('error', () => {});
    this.child.stderr?.on('data', keep);
    this.child.on('error', (error) => (this.output += error.message));
    this.ended = new Promise((resolve) => {
      this.child.on('close', (status) => {
        running.delete(this.child);
        resolve(status);
      });
    });
  }

  /** Ends it and waits. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<number | null> {
    this.child.kill(signal);
    return this.ended;
  }
}

/** A folder that goes with the test process. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'guestwire-'));
  folders.push(folder);
  return folder;
}

export function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Waits until `condition` holds; rejects after `timeout` ms with `what`. */
export async function until(condition: () => boolean, what: string, timeout = 10_000): Promise<void> {
  const end = performance.now() + timeout;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`waited in vain for ${what}`);
    await delay(5);
  }
}
