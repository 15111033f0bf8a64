/** A TCP socket of the host as StreamEndpoint. Its receive queue is the flow's retransmission buffer. */
import { EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP } from '../system/constants.ts';
import {
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  MSG_PEEK,
  MSG_TRUNC,
  SHUT_WR,
  SO_ERROR,
  SO_LINGER,
  SO_PEEK_OFF,
  SOL_SOCKET,
} from '../system/constants.ts';
import { EAGAIN, EINPROGRESS } from '../system/errno.ts';
import { close, getsockopt, recv, recvmsg, send, sendmsg, setsockopt, shutdown } from '../system/syscalls.ts';
import type { TurnLoop, Watcher } from '../runtime/turn-loop.ts';
import { type EndpointHandler, HANGUP, READABLE, type Spans, type StreamEndpoint, WRITABLE } from './endpoint.ts';
import type { KernelMemory } from './kernel-memory.ts';

const EVENTS = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;

/** Translates epoll's events. */
export function endpointEvents(events: number): number {
  const hangup = events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR) ? HANGUP : 0;
  return (events & EPOLLIN ? READABLE : 0) | (events & EPOLLOUT ? WRITABLE : 0) | hangup;
}

export class KernelStream implements StreamEndpoint, Watcher {
  handler: EndpointHandler;
  readonly #fd: number;
  readonly #loop: TurnLoop;
  readonly #memory: KernelMemory;
  readonly #token: number;
  #connecting: boolean;
  /** A hang-up or error was reported: worth asking the kernel which. */
  #troubled = false;
  #closed = false;
  /** Where the kernel will peek next (SO_PEEK_OFF); -1 while the option is off and peeking starts at the head. */
  #peekOffset = -1;

  /** Takes over `fd`, nonblocking; `connecting` when its connect is still under way. Edge-triggered, registered once. */
  constructor(fd: number, connecting: boolean, loop: TurnLoop, memory: KernelMemory, handler: EndpointHandler) {
    this.#fd = fd;
    this.#connecting = connecting;
    this.#loop = loop;
    this.#memory = memory;
    this.handler = handler;
    this.#token = loop.watch(fd, EVENTS, this);
  }

  ready(events: number): void {
    if (events & (EPOLLERR | EPOLLHUP)) this.#troubled = true;
    this.handler.onReady(endpointEvents(events));
  }

  connectStatus(): number {
    const memory = this.#memory;
    if (this.#connecting || this.#troubled) {
      const error = this.#pendingError();
      if (error !== 0) return -error;
      this.#troubled = false;
    }
    if (!this.#connecting) return 0;
    // A socket without error is connected once it can be written to; sending nothing tells without side effects.
    const status = send(this.#fd, memory.base + memory.value, 0, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (status < 0) return status === -EAGAIN ? -EINPROGRESS : status;
    this.#connecting = false;
    return 0;
  }

  #pendingError(): number {
    const { arena, base, value } = this.#memory;
    arena.words[(value + 128) >> 2] = 4;
    getsockopt(this.#fd, SOL_SOCKET, SO_ERROR, base + value, base + value + 128);
    return arena.words[value >> 2]!;
  }

  peek(skip: number, at: number, size: number, stride: number, count: number): number {
    if (skip !== this.#peekOffset && (skip > 0 || this.#peekOffset >= 0)) this.#seek(skip);
    const result = recvmsg(this.#fd, this.#memory.slots(at, size, stride, count), MSG_PEEK | MSG_DONTWAIT);
    // The kernel moves its offset past what was peeked at.
    if (result > 0 && this.#peekOffset >= 0) this.#peekOffset += result;
    return result;
  }

  #seek(offset: number): void {
    if (setsockopt(this.#fd, SOL_SOCKET, SO_PEEK_OFF, this.#memory.int(offset), 4) === 0) this.#peekOffset = offset;
  }

  discard(count: number): void {
    let left = count;
    while (left > 0) {
      const dropped = recv(this.#fd, 0, left, MSG_TRUNC | MSG_DONTWAIT);
      if (dropped <= 0) return;
      left -= dropped;
    }
    // The kernel takes what was consumed off its offset, down to zero.
    if (this.#peekOffset >= 0) this.#peekOffset = Math.max(this.#peekOffset - count, 0);
  }

  write(spans: Spans): number {
    if (spans.count === 1) {
      return send(this.#fd, this.#memory.base + spans.offset[0]!, spans.length[0]!, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    return sendmsg(this.#fd, this.#memory.gather(spans), MSG_DONTWAIT | MSG_NOSIGNAL);
  }

  shutdownWrite(): void {
    shutdown(this.#fd, SHUT_WR);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#loop.forget(this.#token);
    close(this.#fd);
  }

  reset(): void {
    if (this.#closed) return;
    const { arena, base, value } = this.#memory;
    arena.words[value >> 2] = 1;
    arena.words[(value + 4) >> 2] = 0;
    setsockopt(this.#fd, SOL_SOCKET, SO_LINGER, base + value, 8);
    this.close();
  }
}
