/** A UDP socket of the host that receives from any peer, for forwards. */
import { EPOLLET, EPOLLIN, MSG_DONTWAIT, MSG_NOSIGNAL, MSG_TRUNC } from '../system/constants.ts';
import { EINVAL } from '../system/errno.ts';
import { close, recvmmsg, sendmmsg } from '../system/syscalls.ts';
import type { TurnLoop, Watcher } from '../runtime/turn-loop.ts';
import type { DatagramMessages } from './datagram-messages.ts';
import { type DatagramListener, type DatagramPeer, DatagramSenders, type EndpointHandler, type Spans } from './endpoint.ts';
import { endpointEvents } from './kernel-stream.ts';

export class KernelDatagramListener implements DatagramListener, Watcher {
  handler: EndpointHandler;
  readonly port: number;
  readonly #fd: number;
  readonly #loop: TurnLoop;
  readonly #messages: DatagramMessages;
  readonly #token: number;
  #closed = false;

  /** Takes over `fd`: bound to `port`, nonblocking. */
  constructor(fd: number, port: number, loop: TurnLoop, messages: DatagramMessages, handler: EndpointHandler) {
    this.#fd = fd;
    this.port = port;
    this.#loop = loop;
    this.#messages = messages;
    this.handler = handler;
    // Not EPOLLOUT, as with connected sockets: what finds no room is dropped.
    this.#token = loop.watch(fd, EPOLLIN | EPOLLET, this);
  }

  ready(events: number): void {
    this.handler.onReady(endpointEvents(events));
  }

  receive(at: number, size: number, stride: number, count: number, lengths: Int32Array, senders: DatagramSenders): number {
    const messages = this.#messages;
    const wanted = Math.min(count, DatagramSenders.LIMIT);
    const got = recvmmsg(this.#fd, messages.slots(at, size, stride, wanted), wanted, MSG_DONTWAIT | MSG_TRUNC);
    for (let i = 0; i < got; i++) {
      lengths[i] = Math.min(messages.length(i), size);
      messages.sender(i, senders);
    }
    return got;
  }

  send(spans: Spans, peer: DatagramPeer): number {
    const fromLocal = peer.local3 !== 0 || peer.local0 !== 0;
    let total = 0;
    while (total < spans.count) {
      const count = Math.min(spans.count - total, DatagramSenders.LIMIT);
      let sent = this.#send(spans, peer, fromLocal, total, count);
      // The address is one that nobody can send from, a group's or a broadcast's, or is the host's no more.
      if (sent === -EINVAL && fromLocal) sent = this.#send(spans, peer, false, total, count);
      if (sent < 0) return total > 0 ? total : sent;
      total += sent;
      if (sent < count) break;
    }
    return total;
  }

  #send(spans: Spans, peer: DatagramPeer, fromLocal: boolean, first: number, count: number): number {
    return sendmmsg(this.#fd, this.#messages.to(peer, fromLocal, spans, first, count), count, MSG_DONTWAIT | MSG_NOSIGNAL);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#loop.forget(this.#token);
    close(this.#fd);
  }
}
