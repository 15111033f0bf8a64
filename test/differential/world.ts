/**
 * What a script runs against: a wire to send frames on, and an application on the host at the other end of it. In one world the
 * host is the Linux kernel, in the other guestwire with the kernel's sockets behind it.
 *
 *     guest ── frames ──► TAP ──► kernel in a namespace ──► application
 *     guest ── frames ──► VirtualNetwork ──► loopback ────► application
 */
import { join } from 'node:path';
import { ROOT, Running } from '../guest/process.ts';
import type { HostAction } from './script.ts';

export interface World {
  readonly name: string;
  readonly application: HostApplication;
  /** Called with each frame for the guest. */
  receive: (frame: Uint8Array) => void;
  send(frame: Uint8Array): void;
  /** Has the application listen; returns the port that guests connect to. */
  listen(script: string, receiveBuffer?: number): Promise<number>;
  /** Has the application connect to a port of the guest. */
  connect(script: string, guestPort: number): Promise<void>;
  close(): Promise<void>;
}

type Result = string | number | [number, string];

interface Command {
  readonly does: HostAction['does'] | 'listen' | 'connect' | 'forget';
  readonly name: string;
  readonly bytes?: number;
  readonly address?: string;
  readonly port?: number;
  readonly source?: string;
  readonly receiveBuffer?: number | undefined;
}

/** host-application.py, running. */
export class HostApplication {
  readonly #process: Running;
  readonly #waiting: Map<number, (result: Result) => void> = new Map();
  #next = 0;
  #partial = '';

  /** `prefix` is a command in front of Python's. */
  constructor(prefix: readonly string[]) {
    const [command, ...args] = [...prefix, 'python3', join(ROOT, 'test/differential/host-application.py')];
    this.#process = new Running(command!, args);
    this.#process.child.stdout!.on('data', (chunk: Buffer) => this.#take(chunk.toString()));
  }

  #take(text: string): void {
    const lines = (this.#partial + text).split('\n');
    this.#partial = lines.pop()!;
    for (const line of lines) {
      const { id, result } = JSON.parse(line) as { id: number; result: Result };
      this.#waiting.get(id)?.(result);
      this.#waiting.delete(id);
    }
  }

  do(command: Command): Promise<Result> {
    const id = this.#next++;
    this.#process.child.stdin!.write(`${JSON.stringify({ id, ...command })}\n`);
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, resolve);
      void this.#process.ended.then(() => reject(new Error(`the application has ended:\n${this.#process.output}`)));
    });
  }

  async close(): Promise<void> {
    await this.#process.kill();
  }
}
