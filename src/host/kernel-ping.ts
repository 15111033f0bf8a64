/**
 * Echo through the host: a ping socket (ICMP datagram socket, which the kernel hands to the groups of
 * net.ipv4.ping_group_range), or a raw socket where only privilege gives one.
 *
 * A ping socket sets the identifier itself and delivers only its own replies. A raw socket delivers them with the header of IPv4 in
 * front (with none of IPv6), and only its own thanks to a filter (ping-filter.ts).
 */
import { EPOLLET, EPOLLIN, MSG_DONTWAIT, MSG_NOSIGNAL } from '../system/constants.ts';
import { close, recv, send } from '../system/syscalls.ts';
import type { TurnLoop, Watcher } from '../runtime/turn-loop.ts';
import type { EndpointHandler, PingEndpoint } from './endpoint.ts';
import type { KernelMemory } from './kernel-memory.ts';
import { endpointEvents } from './kernel-stream.ts';

const HEADER = 8;
const ECHO_REQUEST = 8;
const ECHO_REPLY = 0;
/** The same of ICMPv6 (RFC 4443 §4). */
const ECHO_REQUEST_6 = 128;
const ECHO_REPLY_6 = 129;

export class KernelPing implements PingEndpoint, Watcher {
  handler: EndpointHandler;
  sequence = 0;
  readonly #fd: number;
  readonly #isIpv4: boolean;
  readonly #raw: boolean;
  readonly #identifier: number;
  readonly #loop: TurnLoop;
  readonly #memory: KernelMemory;
  readonly #buffer: number;
  readonly #token: number;
  #closed = false;

  /** Takes over `fd`: connected, nonblocking. `buffer` is shared arena space for one packet of 64 KiB. */
  constructor(
    fd: number,
    isIpv4: boolean,
    raw: boolean,
    identifier: number,
    buffer: number,
    loop: TurnLoop,
    memory: KernelMemory,
    handler: EndpointHandler,
  ) {
    this.#fd = fd;
    this.#isIpv4 = isIpv4;
    this.#raw = raw;
    this.#identifier = identifier;
    this.#buffer = buffer;
    this.#loop = loop;
    this.#memory = memory;
    this.handler = handler;
    this.#token = loop.watch(fd, EPOLLIN | EPOLLET, this);
  }

  ready(events: number): void {
    this.handler.onReady(endpointEvents(events));
  }

  send(sequence: number, offset: number, length: number): number {
    const { bytes } = this.#memory.arena;
    const at = this.#buffer;
    bytes.fill(0, at, at + HEADER);
    bytes[at] = this.#isIpv4 ? ECHO_REQUEST : ECHO_REQUEST_6;
    bytes[at + 4] = this.#identifier >>> 8;
    bytes[at + 5] = this.#identifier;
    bytes[at + 6] = sequence >>> 8;
    bytes[at + 7] = sequence;
    bytes.copyWithin(at + HEADER, offset, offset + length);
    // Of ICMPv6 the kernel always makes it.
    if (this.#raw && this.#isIpv4) writeChecksum(bytes, at, HEADER + length);
    const sent = send(this.#fd, this.#memory.base + at, HEADER + length, MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent < 0 ? sent : 0;
  }

  receive(at: number, size: number): number {
    const { bytes } = this.#memory.arena;
    for (;;) {
      const got = recv(this.#fd, this.#memory.base + this.#buffer, 65536, MSG_DONTWAIT);
      if (got < 0) return got;
      const start = this.#buffer + (this.#raw && this.#isIpv4 ? (bytes[this.#buffer]! & 15) * 4 : 0);
      const length = this.#buffer + got - start - HEADER;
      if (length < 0 || bytes[start] !== (this.#isIpv4 ? ECHO_REPLY : ECHO_REPLY_6)) continue;
      this.sequence = (bytes[start + 6]! << 8) | bytes[start + 7]!;
      const kept = Math.min(length, size);
      bytes.copyWithin(at, start + HEADER, start + HEADER + kept);
      return kept;
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#loop.forget(this.#token);
    close(this.#fd);
  }
}

/** RFC 1071; this layer does not import the packet formats. */
function writeChecksum(bytes: Uint8Array, at: number, length: number): void {
  let total = 0;
  for (let i = 0; i < length; i++) total += i & 1 ? bytes[at + i]! : bytes[at + i]! << 8;
  total = (total & 0xffff) + (total >>> 16);
  total = ~((total & 0xffff) + (total >>> 16));
  bytes[at + 2] = total >>> 8;
  bytes[at + 3] = total;
}
