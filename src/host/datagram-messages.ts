/**
 * Arena memory for datagrams with addresses: recvmmsg and sendmmsg with names and control messages, shared by the listeners of one
 * KernelNetwork.
 *
 * The control message is IP_PKTINFO or IPV6_PKTINFO: which of the host's addresses a datagram was sent to, and which its answer is
 * to come from. A socket on every address would otherwise answer from the one that the route suggests, and its client not know it.
 */
import { AF_INET, IP_PKTINFO, IPPROTO_IP, IPPROTO_IPV6, IPV6_PKTINFO } from '../system/constants.ts';
import { CMSGHDR, IN6_PKTINFO, IN_PKTINFO, SOCKADDR_IN6 } from '../system/layout.ts';
import { writeSockaddr } from '../system/memory.ts';
import { MessageHeaders } from '../system/message-headers.ts';
import type { Arena } from '../runtime/arena.ts';
import { type DatagramPeer, DatagramSenders, type Spans } from './endpoint.ts';

const NAME = 32;
const CONTROL = 64;
/** sin6_scope_id. */
const SCOPE = 24;
/** Third word of an IPv4-mapped address (RFC 4291 §2.5.5.2). */
const MAPPED = 0xffff;

export class DatagramMessages {
  readonly #arena: Arena;
  readonly #headers: MessageHeaders;
  readonly #names: number;
  readonly #controls: number;

  /** `base` is the address of arena offset 0. */
  constructor(arena: Arena, base: number) {
    this.#arena = arena;
    const limit = DatagramSenders.LIMIT;
    const headers = MessageHeaders.bytes(limit);
    const size = headers + limit * (NAME + CONTROL);
    const at = arena.allocate(size);
    arena.bytes.fill(0, at, at + size);
    this.#headers = new MessageHeaders(arena.words, base, at, limit);
    this.#names = at + headers;
    this.#controls = this.#names + limit * NAME;
  }

  /** `count` messages to be received into slots. Returns the address of the array. */
  slots(at: number, size: number, stride: number, count: number): number {
    const { words } = this.#arena;
    for (let i = 0; i < count; i++) {
      this.#headers.buffer(i, at + i * stride, size);
      this.#headers.name(i, this.#names + i * NAME, SOCKADDR_IN6);
      this.#headers.control(i, this.#controls + i * CONTROL, CONTROL);
      // Where no control message comes there must be none of an earlier call.
      words[(this.#controls + i * CONTROL) >> 2] = 0;
    }
    return this.#headers.address;
  }

  /** Bytes of message `index` after recvmmsg. */
  length(index: number): number {
    return this.#headers.length(index);
  }

  /** Tells who sent message `index`, after recvmmsg. */
  sender(index: number, senders: DatagramSenders): void {
    const { bytes } = this.#arena;
    const name = this.#names + index * NAME;
    senders.port[index] = (bytes[name + 2]! << 8) | bytes[name + 3]!;
    if (bytes[name] === AF_INET) this.#ipv4(senders.address, index, name + 4);
    else this.#ipv6(senders.address, index, name + 8);
    senders.scope[index] = bytes[name] === AF_INET ? 0 : this.#arena.words[(name + SCOPE) >> 2]!;
    this.#local(index, senders.local);
  }

  #local(index: number, into: Int32Array): void {
    const { words } = this.#arena;
    const control = this.#controls + index * CONTROL;
    const level = words[(control + CMSGHDR.level) >> 2]!;
    const type = words[(control + CMSGHDR.type) >> 2]!;
    const data = control + CMSGHDR.size;
    if (words[control >> 2] === 0) into.fill(0, index * 4, index * 4 + 4);
    else if (level === IPPROTO_IP && type === IP_PKTINFO) this.#ipv4(into, index, data + IN_PKTINFO.local);
    else if (level === IPPROTO_IPV6 && type === IPV6_PKTINFO) this.#ipv6(into, index, data + IN6_PKTINFO.local);
    else into.fill(0, index * 4, index * 4 + 4);
  }

  #ipv4(into: Int32Array, index: number, at: number): void {
    const word = index * 4;
    into[word] = into[word + 1] = 0;
    into[word + 2] = MAPPED;
    into[word + 3] = this.#word(at);
  }

  #ipv6(into: Int32Array, index: number, at: number): void {
    for (let i = 0; i < 4; i++) into[index * 4 + i] = this.#word(at + i * 4);
  }

  #word(at: number): number {
    const { bytes } = this.#arena;
    return (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;
  }

  /**
   * One message per span to `peer`, from `first` on, at most DatagramSenders.LIMIT. `fromLocal`: from the host's address that the peer
   * talks to. Returns the address of the array.
   */
  to(peer: DatagramPeer, fromLocal: boolean, spans: Spans, first: number, count: number): number {
    const { remote0, remote1, remote2, remote3, remotePort } = peer;
    const { bytes, words } = this.#arena;
    const size = writeSockaddr(bytes, this.#names, remote0, remote1, remote2, remote3, remotePort);
    if (size === SOCKADDR_IN6) words[(this.#names + SCOPE) >> 2] = peer.scope;
    const controlLength = fromLocal ? this.#writeLocal(peer, size === SOCKADDR_IN6) : 0;
    for (let i = 0; i < count; i++) {
      this.#headers.buffer(i, spans.offset[first + i]!, spans.length[first + i]!);
      this.#headers.name(i, this.#names, size);
      this.#headers.control(i, this.#controls, controlLength);
    }
    return this.#headers.address;
  }

  /** The address that the datagrams are to come from. Returns the length of the control message. */
  #writeLocal(peer: DatagramPeer, ipv6: boolean): number {
    const { bytes, words } = this.#arena;
    const at = this.#controls;
    const data = at + CMSGHDR.size;
    const size = ipv6 ? IN6_PKTINFO.size : IN_PKTINFO.size;
    bytes.fill(0, at, at + CONTROL);
    words[at >> 2] = CMSGHDR.size + size;
    words[(at + CMSGHDR.level) >> 2] = ipv6 ? IPPROTO_IPV6 : IPPROTO_IP;
    words[(at + CMSGHDR.type) >> 2] = ipv6 ? IPV6_PKTINFO : IP_PKTINFO;
    if (ipv6) {
      this.#write(data + IN6_PKTINFO.local, peer.local0);
      this.#write(data + IN6_PKTINFO.local + 4, peer.local1);
      this.#write(data + IN6_PKTINFO.local + 8, peer.local2);
      this.#write(data + IN6_PKTINFO.local + 12, peer.local3);
    } else this.#write(data + IN_PKTINFO.local, peer.local3);
    return align(CMSGHDR.size + size);
  }

  #write(at: number, word: number): void {
    const { bytes } = this.#arena;
    bytes[at] = word >>> 24;
    bytes[at + 1] = word >>> 16;
    bytes[at + 2] = word >>> 8;
    bytes[at + 3] = word;
  }
}

/** CMSG_SPACE's alignment on 64-bit machines. */
function align(length: number): number {
  return (length + 7) & ~7;
}
