/** A connected UDP socket of the host as DatagramEndpoint. */
import {
  EPOLLET,
  EPOLLIN,
  IP_MTU_DISCOVER,
  IP_PMTUDISC_DO,
  IP_PMTUDISC_WANT,
  IP_TTL,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPV6_MTU_DISCOVER,
  IPV6_UNICAST_HOPS,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  MSG_TRUNC,
} from '../system/constants.ts';
import { close, recv, recvmmsg, send, sendmmsg, setsockopt } from '../system/syscalls.ts';
import type { TurnLoop, Watcher } from '../runtime/turn-loop.ts';
import { type DatagramEndpoint, type DatagramReport, DEFAULT_HOPS, type EndpointHandler, type Spans } from './endpoint.ts';
import type { ErrorQueue } from './error-queue.ts';
import { type KernelMemory, MESSAGES } from './kernel-memory.ts';
import { endpointEvents } from './kernel-stream.ts';

export class KernelDatagram implements DatagramEndpoint, Watcher {
  handler: EndpointHandler;
  readonly #fd: number;
  readonly #isIpv4: boolean;
  readonly #loop: TurnLoop;
  readonly #memory: KernelMemory;
  readonly #errors: ErrorQueue;
  readonly #token: number;
  #closed = false;

  readonly #closing: (() => void) | undefined;

  /** Takes over `fd`: connected, nonblocking. `closing` is called once, at the end. */
  constructor(
    fd: number,
    isIpv4: boolean,
    loop: TurnLoop,
    memory: KernelMemory,
    errors: ErrorQueue,
    handler: EndpointHandler,
    closing?: () => void,
  ) {
    this.#closing = closing;
    this.#fd = fd;
    this.#isIpv4 = isIpv4;
    this.#loop = loop;
    this.#memory = memory;
    this.#errors = errors;
    this.handler = handler;
    // Not EPOLLOUT: what finds no room is dropped, and the kernel would report room for each datagram that the peer has read.
    this.#token = loop.watch(fd, EPOLLIN | EPOLLET, this);
  }

  ready(events: number): void {
    this.handler.onReady(endpointEvents(events));
  }

  send(spans: Spans): number {
    const memory = this.#memory;
    if (spans.count === 1) {
      const sent = send(this.#fd, memory.base + spans.offset[0]!, spans.length[0]!, MSG_DONTWAIT | MSG_NOSIGNAL);
      return sent < 0 ? sent : 1;
    }
    let total = 0;
    while (total < spans.count) {
      const count = Math.min(spans.count - total, MESSAGES);
      const sent = sendmmsg(this.#fd, memory.messagesOf(spans, total, count), count, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (sent < 0) return total > 0 ? total : sent;
      total += sent;
      if (sent < count) break;
    }
    return total;
  }

  receive(at: number, size: number, stride: number, count: number, lengths: Int32Array): number {
    const memory = this.#memory;
    if (count === 1) {
      const length = recv(this.#fd, memory.base + at, size, MSG_DONTWAIT);
      if (length < 0) return length;
      lengths[0] = length;
      return 1;
    }
    const wanted = Math.min(count, MESSAGES);
    const got = recvmmsg(this.#fd, memory.messageSlots(at, size, stride, wanted), wanted, MSG_DONTWAIT | MSG_TRUNC);
    for (let i = 0; i < got; i++) lengths[i] = Math.min(memory.messageLength(i), size);
    return got;
  }

  nextReport(report: DatagramReport, at: number, size: number): boolean {
    return this.#errors.next(this.#fd, report, at, size);
  }

  dontFragment(on: boolean): void {
    this.#set(IP_MTU_DISCOVER, IPV6_MTU_DISCOVER, on ? IP_PMTUDISC_DO : IP_PMTUDISC_WANT);
  }

  limitHops(hops: number): void {
    // -1 is the default.
    this.#set(IP_TTL, IPV6_UNICAST_HOPS, hops < DEFAULT_HOPS ? hops : -1);
  }

  #set(option: number, option6: number, value: number): void {
    if (this.#isIpv4) setsockopt(this.#fd, IPPROTO_IP, option, this.#memory.int(value), 4);
    else setsockopt(this.#fd, IPPROTO_IPV6, option6, this.#memory.int(value), 4);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#loop.forget(this.#token);
    close(this.#fd);
    this.#closing?.();
  }
}
