/** A loop, its arena and the descriptors of one test; closed after each test. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { Arena } from '../../src/runtime/arena.ts';
import { TurnLoop } from '../../src/runtime/turn-loop.ts';
import { writePointer } from '../../src/system/memory.ts';
import { addressOf, close, write } from '../../src/system/syscalls.ts';
import { eventfd, socketpair } from '../system/descriptors.ts';

export class LoopFixture {
  arena!: Arena;
  loop!: TurnLoop;
  /** Address of 4 KiB for reads and writes. */
  scratch = 0;
  #scratchAt = 0;
  #open: number[] = [];

  constructor() {
    beforeEach(() => {
      this.arena = new Arena(1 << 20);
      this.#scratchAt = this.arena.allocate(4096);
      this.scratch = addressOf(this.arena.memory.buffer) + this.#scratchAt;
      this.loop = new TurnLoop(this.arena);
    });
    afterEach(() => {
      this.loop.close();
      for (const fd of this.#open) close(fd);
      this.#open = [];
    });
  }

  pair(): [number, number] {
    const fds = socketpair();
    this.#open.push(...fds);
    return fds;
  }

  counter(initial: number): number {
    const fd = eventfd(initial);
    this.#open.push(fd);
    return fd;
  }

  /** Makes a counter readable. */
  raise(fd: number): void {
    writePointer(this.arena.words, this.#scratchAt, 1);
    write(fd, this.scratch, 8);
  }

  /** Closes one of `pair` or `counter` before the end of the test. */
  close(fd: number): void {
    this.#open.splice(this.#open.indexOf(fd), 1);
    close(fd);
  }
}

/** Waits for `done`, at most a second. */
export async function until(done: () => boolean): Promise<void> {
  for (let i = 0; i < 1000 && !done(); i++) await pause(1);
  assert.ok(done(), 'within a second');
}
