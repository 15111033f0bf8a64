/** Accepts the connections of a listening socket, and waits a moment where there is no descriptor or memory for one. */
import { EPOLLIN, SOCK_CLOEXEC, SOCK_NONBLOCK } from '../system/constants.ts';
import { EAGAIN, ECONNABORTED, EINTR } from '../system/errno.ts';
import { scratchAddress, scratchLength } from '../system/scratch.ts';
import { accept4 } from '../system/syscalls.ts';
import { Timer } from '../runtime/timer-wheel.ts';
import type { TurnLoop, Watcher } from '../runtime/turn-loop.ts';

/** Milliseconds until another attempt. */
const PAUSE = 100;

export class Acceptor implements Watcher {
  /** Times that there was no descriptor or memory for a connection, which then waited in the queue. */
  putOff = 0;
  readonly #fd: number;
  readonly #loop: TurnLoop;
  readonly #accepted: (fd: number) => void;
  readonly #token: number;
  readonly #retry: Timer;
  #closed = false;

  /**
   * `accepted` takes over each connection's descriptor (nonblocking); the peer's address lies in the scratch memory then. `fd` stays the
   * caller's. Throws SystemError.
   */
  constructor(fd: number, loop: TurnLoop, accepted: (fd: number) => void) {
    this.#fd = fd;
    this.#loop = loop;
    this.#accepted = accepted;
    this.#token = loop.watch(fd, EPOLLIN, this);
    this.#retry = new Timer(() => loop.modify(this.#token, fd, EPOLLIN));
  }

  ready(): void {
    while (!this.#closed) {
      const fd = accept4(this.#fd, scratchAddress(), scratchLength(), SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd >= 0) this.#accepted(fd);
      else if (fd === -EAGAIN) return;
      else if (fd !== -ECONNABORTED && fd !== -EINTR) {
        this.putOff++;
        this.#loop.modify(this.#token, this.#fd, 0);
        this.#loop.timers.arm(this.#retry, PAUSE);
        return;
      }
    }
  }

  /** Before the descriptor is closed. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#loop.timers.cancel(this.#retry);
    this.#loop.unwatch(this.#token, this.#fd);
  }
}
