/**
 * Programs that a comparison starts: run to the end, or kept until they are ended. Whatever ends the comparison ends them too.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';

export interface Finished {
  /** Null after a signal. */
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const running: Set<ChildProcess> = new Set();

/** Kills whatever is left. */
export function killChildren(): void {
  for (const child of running) child.kill('SIGKILL');
}

/** A program that goes on running. What it prints is kept. */
export class Child {
  readonly ended: Promise<number | null>;
  stdout = '';
  stderr = '';
  readonly #child: ChildProcess;

  constructor(command: string, args: readonly string[]) {
    this.#child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    running.add(this.#child);
    this.#child.stdout?.on('data', (chunk: Buffer) => (this.stdout += chunk.toString()));
    this.#child.stderr?.on('data', (chunk: Buffer) => (this.stderr += chunk.toString()));
    this.#child.stdin?.on('error', () => {});
    this.#child.on('error', (error) => (this.stderr += error.message));
    this.ended = new Promise((resolve) => {
      this.#child.on('close', (status) => {
        running.delete(this.#child);
        resolve(status);
      });
    });
  }

  /** 0 when it could not be started. */
  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Writes a line to its standard input. */
  line(text = ''): void {
    this.#child.stdin?.write(`${text}\n`);
  }

  /** Its line `index` of standard output, once it is complete; rejects when the program ends before, or after `timeout` ms. */
  async printed(index: number, timeout: number): Promise<string> {
    await until(() => this.stdout.split('\n').length > index + 1 || this.#over, timeout);
    const lines = this.stdout.split('\n');
    if (lines.length <= index + 1) throw new Error(`it did not print what it was to: ${this.stderr || this.stdout || 'nothing'}`);
    return lines[index]!;
  }

  get #over(): boolean {
    return !running.has(this.#child);
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.ended;
  }
}

/** Runs a program to its end; it is killed after `timeout` ms. */
export async function execute(command: string, args: readonly string[], timeout = 30_000): Promise<Finished> {
  const child = new Child(command, args);
  const timer = setTimeout(() => void child.kill(), timeout);
  const status = await child.ended;
  clearTimeout(timer);
  return { status, stdout: child.stdout, stderr: child.stderr };
}

/** As `execute`; rejects with what it printed when it fails. */
export async function succeed(command: string, args: readonly string[], timeout = 30_000): Promise<string> {
  const { status, stdout, stderr } = await execute(command, args, timeout);
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${stderr || stdout || 'it failed'}`);
  return stdout;
}

/** Waits until `condition` holds, at most `timeout` ms. Whether it holds. */
export async function until(condition: () => boolean, timeout: number): Promise<boolean> {
  const end = performance.now() + timeout;
  while (!condition()) {
    if (performance.now() > end) return false;
    await pause(10);
  }
  return true;
}

/** Processor seconds that a program and its descendants have used. */
export function processorSeconds(pid: number): number {
  let ticks = 0;
  for (const each of family(pid)) {
    // proc(5): behind the name in parentheses, fields 14 and 15 of the line.
    const fields = read(`/proc/${each}/stat`)
      .replace(/^.*\) /s, '')
      .split(' ');
    ticks += Number(fields[11] ?? 0) + Number(fields[12] ?? 0);
  }
  // USER_HZ is 100 on every architecture that Node runs on.
  return ticks / 100;
}

/** Megabytes: the largest of a program and its descendants, at its peak (VmHWM) or now (VmRSS). */
export function memory(pid: number, field: 'VmHWM' | 'VmRSS'): number {
  const each = family(pid).map((one) => Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(read(`/proc/${one}/status`))?.[1] ?? 0));
  return Math.max(...each) / 1024;
}

/** A process and its descendants: /proc/PID/task/TID/children is not built into every kernel. */
function family(root: number): number[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    parents.set(
      Number(name),
      Number(
        read(`/proc/${name}/stat`)
          .replace(/^.*\) /s, '')
          .split(' ')[1] ?? 0,
      ),
    );
  }
  const members = [root];
  for (let i = 0; i < members.length; i++) {
    for (const [pid, parent] of parents) if (parent === members[i]) members.push(pid);
  }
  return members;
}

/** Empty when the process is gone. */
function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
