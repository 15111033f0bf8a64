/** A TCP socket opened before a VM asks for it: opening one takes as long as a short answer of the peer. */
import { SO_OOBINLINE, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM, SOL_SOCKET } from '../system/constants.ts';
import { close, setsockopt, socket } from '../system/syscalls.ts';
import type { Chore, TurnLoop } from '../runtime/turn-loop.ts';
import type { KernelMemory } from './kernel-memory.ts';

/** RFC 6093 §6: urgent data stays in order with the rest. Set after the first peek it would lose a byte that was read before. */
export function keepUrgentInOrder(fd: number, memory: KernelMemory): void {
  setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, memory.int(1), 4);
}

export class SpareSocket implements Chore {
  readonly #family: number;
  readonly #loop: TurnLoop;
  readonly #memory: KernelMemory;
  /** Negative: none. */
  #fd = -1;
  #due = false;
  #closed = false;

  /** `family`: AF_INET or AF_INET6. Opens nothing before the first is asked for. */
  constructor(family: number, loop: TurnLoop, memory: KernelMemory) {
    this.#family = family;
    this.#loop = loop;
    this.#memory = memory;
  }

  /** A nonblocking stream socket, or why there is none, as a negative errno. The next is opened at the end of the round. */
  take(): number {
    const fd = this.#fd < 0 ? this.#open() : this.#fd;
    this.#fd = -1;
    if (!this.#due) {
      this.#due = true;
      this.#loop.afterPhases(this);
    }
    return fd;
  }

  run(): void {
    this.#due = false;
    if (this.#fd < 0 && !this.#closed) this.#fd = this.#open();
  }

  #open(): number {
    const fd = socket(this.#family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0) keepUrgentInOrder(fd, this.#memory);
    return fd;
  }

  close(): void {
    this.#closed = true;
    if (this.#fd >= 0) close(this.#fd);
    this.#fd = -1;
  }
}
