/**
 * A TCP or unix stream socket of the host as StreamEndpoint. Its receive queue is the flow's retransmission buffer.
 *
 * Unix sockets can be peeked at from an offset on every kernel, but don't know MSG_TRUNC: what is dropped has to be read. Options of
 * TCP are refused there, which is of no importance; a reset is an end of stream, or ECONNRESET where bytes were left unread.
 */
import { EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLPRI, EPOLLRDHUP } from '../system/constants.ts';
import {
  IPPROTO_TCP,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  MSG_PEEK,
  MSG_TRUNC,
  SHUT_WR,
  SO_ERROR,
  SO_KEEPALIVE,
  SO_LINGER,
  SO_PEEK_OFF,
  SOL_SOCKET,
  TCP_KEEPIDLE,
  TCP_NODELAY,
} from '../system/constants.ts';
import { EAGAIN, EINPROGRESS, ENOBUFS, ENOMEM } from '../system/errno.ts';
import { close, getsockopt, recv, recvmsg, send, sendmsg, setsockopt, shutdown } from '../system/syscalls.ts';
import { Timer } from '../runtime/timer-wheel.ts';
import type { Chore, TurnLoop, Watcher } from '../runtime/turn-loop.ts';
import { type EndpointHandler, HANGUP, READABLE, type Spans, type StreamEndpoint, WRITABLE } from './endpoint.ts';
import { type KernelMemory, SINK } from './kernel-memory.ts';

/**
 * A queue that never held more bytes than this may keep some that are acknowledged: a conversation of small messages is
 * spared a call for each. In a deeper one the kernel may have joined any byte to a large buffer, which then keeps the peer's
 * window closed until that byte is taken.
 */
const SHALLOW = 8 * 1024;
const DEFERRED_CALLS = 32;
/** Contract §9.2: seconds of silence before the kernel probes a peer. */
const KEEP_ALIVE_IDLE = 60;

/** Milliseconds that a peer has, once nobody reads what it sends, and how often it may go on sending meanwhile. */
const LEAVING_TIME = 120_000;
const LEAVING_READS = 1000;
/** Most bytes thrown away in one call. */
const MUCH = 1 << 30;

/** Milliseconds until a transfer that found no memory is tried again: no event tells when there is some. */
const RETRY = 20;

const EVENTS = EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP | EPOLLET;

/** Translates epoll's events. */
export function endpointEvents(events: number): number {
  const hangup = events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR) ? HANGUP : 0;
  return (events & EPOLLIN ? READABLE : 0) | (events & EPOLLOUT ? WRITABLE : 0) | hangup;
}

export class KernelStream implements StreamEndpoint, Watcher, Chore {
  handler: EndpointHandler;
  readonly #fd: number;
  readonly #loop: TurnLoop;
  readonly #memory: KernelMemory;
  readonly #token: number;
  readonly #unix: boolean;
  /** Whether this socket can be peeked at from an offset, as far as is known. */
  #seeks: boolean;
  #connecting: boolean;
  /** An error was reported: worth asking the kernel which. */
  #troubled = false;
  #closed = false;
  /** The end of what is sent, and of the descriptor, wait for the end of the round: neither may hold up an answer to the VM. */
  #endDue = false;
  #closeDue = false;
  /** The peer has sent its last byte. */
  #ended = false;
  /** Where the kernel will peek next (SO_PEEK_OFF); -1 while the option is off and peeking starts at the head. */
  #peekOffset = -1;
  /** At the head of the queue: bytes that were discarded here but not yet in the kernel, and in how many calls. */
  #discarded = 0;
  #discards = 0;
  /** The queue has held more than SHALLOW bytes. */
  #deep = false;
  #writes = 0;
  /** The peer has sent urgent data: reading stops in front of it until everything before it was discarded. */
  #urgent = false;
  #retry: Timer | null = null;

  /** Takes over `fd`, nonblocking, urgent data in order; `connecting` when its connect is still under way; `unix`: no TCP. Edge-triggered, registered once. */
  constructor(fd: number, connecting: boolean, loop: TurnLoop, memory: KernelMemory, handler: EndpointHandler, unix = false) {
    this.#unix = unix;
    this.#seeks = unix || memory.seeks;
    this.#fd = fd;
    this.#connecting = connecting;
    this.#loop = loop;
    this.#memory = memory;
    this.handler = handler;
    this.#token = loop.watch(fd, EVENTS, this);
  }

  ready(events: number): void {
    if (events & EPOLLERR) this.#troubled = true;
    if (events & EPOLLPRI) this.#urgent = true;
    if (events & (EPOLLRDHUP | EPOLLHUP)) this.#ended = true;
    this.handler.onReady(endpointEvents(events));
  }

  connectStatus(): number {
    if (this.#connecting) return this.#connectProgress();
    if (!this.#troubled) return 0;
    this.#troubled = false;
    return this.#failure();
  }

  /** Sending nothing waits for the connect as sending something would, and fails as it did. */
  #connectProgress(): number {
    const status = send(this.#fd, this.#memory.base + this.#memory.value, 0, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (status === -EAGAIN) return -EINPROGRESS;
    if (status < 0) return this.#failure() || status;
    this.#connecting = false;
    return 0;
  }

  /** What the socket failed with, negative, cleared by asking; 0 for nothing. */
  #failure(): number {
    const { arena, base, value } = this.#memory;
    arena.words[(value + 128) >> 2] = 4;
    getsockopt(this.#fd, SOL_SOCKET, SO_ERROR, base + value, base + value + 128);
    const error = arena.words[value >> 2]!;
    return error > 0 ? -error : 0;
  }

  peek(skip: number, at: number, size: number, stride: number, count: number): number {
    // Only the end is still to be read: nothing is gained by moving the kernel's offset instead.
    if (this.#ended && this.#discarded > 0) this.#drop();
    const from = skip + this.#discarded;
    const result = this.#seeks ? this.#peekFrom(from, at, size, stride, count) : this.#peekBehind(from, at, size, stride, count);
    if (from + result > SHALLOW) this.#deep = true;
    return result;
  }

  #peekFrom(from: number, at: number, size: number, stride: number, count: number): number {
    const elsewhere = from !== this.#peekOffset && (from > 0 || this.#peekOffset >= 0);
    if (elsewhere && !this.#seek(from)) return this.#peekBehind(from, at, size, stride, count);
    const result = this.#unlessShort(recvmsg(this.#fd, this.#memory.slots(at, size, stride, count), MSG_PEEK | MSG_DONTWAIT));
    // The kernel moves its offset past what was peeked at.
    if (result > 0 && this.#peekOffset >= 0) this.#peekOffset += result;
    return result;
  }

  /** False when the socket knows no offset: Linux 6.9 has it for TCP over IPv4 only, and a socket that listens on :: is one of IPv6. */
  #seek(offset: number): boolean {
    this.#seeks = setsockopt(this.#fd, SOL_SOCKET, SO_PEEK_OFF, this.#memory.int(offset), 4) === 0;
    if (this.#seeks) this.#peekOffset = offset;
    return this.#seeks;
  }

  /** Before Linux 6.9 a peek at TCP always starts at the head: what is to be skipped is read as well, to where nobody looks. */
  #peekBehind(from: number, at: number, size: number, stride: number, count: number): number {
    const message = this.#memory.slotsBehind(from, at, size, stride, count);
    if (message < 0) return -EAGAIN;
    const result = this.#unlessShort(recvmsg(this.#fd, message, MSG_PEEK | MSG_DONTWAIT));
    if (result > from) return result - from;
    if (result !== from || from === 0) return result;
    return this.#ended ? this.#failure() : -EAGAIN;
  }

  discard(count: number): void {
    this.#discarded += count;
    this.#discards++;
    if (this.#deep || this.#discards >= DEFERRED_CALLS || !this.#seeks) this.#drop();
    if (this.#urgent) this.#passUrgent();
  }

  #passUrgent(): void {
    this.#drop();
    this.handler.onReady(READABLE);
  }

  #drop(): void {
    let left = this.#discarded;
    while (left > 0) {
      const dropped = this.#throwAway(left);
      if (dropped <= 0) break;
      left -= dropped;
    }
    // The kernel takes what was consumed off its offset, down to zero.
    if (this.#peekOffset >= 0) this.#peekOffset = Math.max(this.#peekOffset - this.#discarded, 0);
    this.#discarded = 0;
    this.#discards = 0;
  }

  /** At most `count` bytes of the queue. */
  #throwAway(count: number): number {
    if (!this.#unix) return recv(this.#fd, 0, count, MSG_TRUNC | MSG_DONTWAIT);
    const { base, sink } = this.#memory;
    return recv(this.#fd, base + sink, Math.min(count, SINK), MSG_DONTWAIT);
  }

  write(spans: Spans): number {
    if (this.#retry !== null && this.#retry.armed) return -EAGAIN;
    // Nagle's algorithm holds back nothing of a first write; many connections make only one.
    if (this.#writes++ === 1) setsockopt(this.#fd, IPPROTO_TCP, TCP_NODELAY, this.#memory.int(1), 4);
    if (spans.count === 1) {
      return this.#unlessShort(send(this.#fd, this.#memory.base + spans.offset[0]!, spans.length[0]!, MSG_DONTWAIT | MSG_NOSIGNAL));
    }
    return this.#unlessShort(sendmsg(this.#fd, this.#memory.gather(spans), MSG_DONTWAIT | MSG_NOSIGNAL));
  }

  /** A host short of memory is a full socket to the flow: it waits, and loses nothing. */
  #unlessShort(result: number): number {
    return result === -ENOBUFS || result === -ENOMEM ? this.#tryLater() : result;
  }

  #tryLater(): number {
    this.#memory.counters.transfersPutOff++;
    // A hang-up that was looked for in vain is to be looked for again.
    this.#retry ??= new Timer(() => this.handler.onReady(READABLE | WRITABLE | (this.#ended ? HANGUP : 0)));
    if (!this.#retry.armed) this.#loop.timers.arm(this.#retry, RETRY);
    return -EAGAIN;
  }

  keepAlive(): void {
    setsockopt(this.#fd, SOL_SOCKET, SO_KEEPALIVE, this.#memory.int(1), 4);
    setsockopt(this.#fd, IPPROTO_TCP, TCP_KEEPIDLE, this.#memory.int(KEEP_ALIVE_IDLE), 4);
  }

  shutdownWrite(): void {
    this.#endDue = true;
    this.#loop.afterPhases(this);
  }

  run(): void {
    if (this.#closed && !this.#closeDue) return;
    // Before a close over unread bytes, too: the peer has its end of stream before the reset.
    if (this.#endDue) shutdown(this.#fd, SHUT_WR);
    this.#endDue = false;
    if (this.#closeDue) this.#release();
  }

  #release(): void {
    this.#closeDue = false;
    // The kernel answers a close over unread bytes with a reset.
    if (this.#discarded > 0) this.#drop();
    close(this.#fd);
  }

  abandon(): void {
    const { leaving } = this.#memory;
    if (this.#closed || !leaving.admit(this)) return this.close();
    if (this.#retry !== null) this.#loop.timers.cancel(this.#retry);
    this.#retry = new Timer(() => this.close());
    this.#loop.timers.arm(this.#retry, LEAVING_TIME);
    let reads = 0;
    this.handler = {
      onReady: () => {
        let got = 1;
        while (got > 0 && reads++ < LEAVING_READS) got = this.#throwAway(MUCH);
        if (got !== -EAGAIN) this.close();
      },
    };
    this.handler.onReady(READABLE);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#memory.leaving.delete(this);
    if (this.#retry !== null) this.#loop.timers.cancel(this.#retry);
    this.#loop.forget(this.#token);
    this.#closeDue = true;
    this.#loop.afterPhases(this);
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
