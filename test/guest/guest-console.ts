/** A guest whose init takes shell command lines on a console and says `@@ready` at first and `@@done STATUS` after each. */
import { type Running, until } from './process.ts';

const BOOT_TIMEOUT = 60_000;

/** Milliseconds one command may take under emulation. */
const COMMAND_TIMEOUT = 60_000;

export class GuestConsole {
  readonly process: Running;
  /** What the guest printed that no command has taken yet begins here. */
  #seen = 0;

  constructor(process: Running) {
    this.process = process;
  }

  /** Waits until the guest has booted. */
  async ready(): Promise<void> {
    await this.#waitFor(/@@ready\r?\n/, BOOT_TIMEOUT);
  }

  /** Runs a shell command line. Returns what it printed; rejects when its status is not 0. */
  async run(command: string, timeout = COMMAND_TIMEOUT): Promise<string> {
    const { status, output } = await this.attempt(command, timeout);
    if (status !== 0) throw new Error(`guest: ${command}: status ${status}\n${output}`);
    return output;
  }

  async attempt(command: string, timeout = COMMAND_TIMEOUT): Promise<{ status: number; output: string }> {
    this.process.child.stdin?.write(`${command}\n`);
    const [text, status] = await this.#waitFor(/@@done (\d+)\r?\n/, timeout, command);
    return { status: Number(status), output: text.replaceAll('\r', '') };
  }

  /** Returns the text in front of the match, and its group. */
  async #waitFor(pattern: RegExp, timeout: number, what = 'boot'): Promise<[string, string]> {
    let match: RegExpExecArray | null = null;
    const looked = (): boolean => {
      match = pattern.exec(this.process.output.slice(this.#seen));
      return match !== null || this.process.child.exitCode !== null;
    };
    await until(looked, `the guest (${what}):\n${this.process.output.slice(-2000)}`, timeout);
    if (match === null) throw new Error(`the guest has ended:\n${this.process.output}`);
    const { index, 0: whole, 1: group } = match as RegExpExecArray;
    const text = this.process.output.slice(this.#seen, this.#seen + index);
    this.#seen += index + whole.length;
    return [text, group ?? ''];
  }

  /** Shuts it down in order. */
  async powerOff(): Promise<void> {
    this.process.child.stdin?.write('busybox poweroff -f\n');
    await this.process.ended;
  }

  /** Ends it as a power cut does. */
  async stop(): Promise<void> {
    await this.process.kill();
  }
}
