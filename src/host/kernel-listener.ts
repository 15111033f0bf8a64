/** A listening TCP socket of the host. Errors of accept (EMFILE, …) pause it for a moment; nothing ends it but `close`. */
import { EPOLLIN, SOCK_CLOEXEC, SOCK_NONBLOCK } from '../system/constants.ts';
import { EAGAIN, ECONNABORTED, EINTR } from '../system/errno.ts';
import { readSockaddr } from '../system/memory.ts';
import { accept4, close } from '../system/syscalls.ts';
import { Timer } from '../runtime/timer-wheel.ts';
import type { TurnLoop, Watcher } from '../runtime/turn-loop.ts';
import type { KernelMemory } from './kernel-memory.ts';

/** Connections taken per round, so that a flood of them leaves room for others. */
const PER_ROUND = 64;
/** Milliseconds until accept is tried again after an error. */
const PAUSE = 100;

export type Accepted = (fd: number, peer: ReturnType<typeof readSockaddr>) => void;

export class KernelListener implements Watcher {
  readonly #fd: number;
  readonly #loop: TurnLoop;
  readonly #memory: KernelMemory;
  readonly #accepted: Accepted;
  readonly #token: number;
  readonly #retry: Timer;
  #closed = false;

  /** Takes over `fd`: listening, nonblocking. */
  constructor(fd: number, loop: TurnLoop, memory: KernelMemory, accepted: Accepted) {
    this.#fd = fd;
    this.#loop = loop;
    this.#memory = memory;
    this.#accepted = accepted;
    this.#token = loop.watch(fd, EPOLLIN, this);
    this.#retry = new Timer(() => loop.modify(this.#token, fd, EPOLLIN));
  }

  ready(): void {
    const { arena, base, value } = this.#memory;
    for (let i = 0; i < PER_ROUND && !this.#closed; i++) {
      arena.words[(value + 128) >> 2] = 128;
      const fd = accept4(this.#fd, base + value, base + value + 128, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd >= 0) {
        this.#accepted(fd, readSockaddr(arena.bytes, value));
        continue;
      }
      if (fd === -EAGAIN) return;
      if (fd === -ECONNABORTED || fd === -EINTR) continue;
      // Out of descriptors or memory: the queue stays readable, so stop watching it until the pause is over.
      this.#memory.counters.acceptsPutOff++;
      this.#loop.modify(this.#token, this.#fd, 0);
      this.#loop.timers.arm(this.#retry, PAUSE);
      return;
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#loop.timers.cancel(this.#retry);
    this.#loop.unwatch(this.#token, this.#fd);
    close(this.#fd);
  }
}
