/**
 * Host endpoints: what a flow talks to on the host's side. A kernel socket or an in-process Duplex, the flow can't tell.
 *
 * Errors are the host's errno as negative numbers (Linux values, see errno in src/system): the data path never throws.
 * Callbacks of a handler come inside a turn, may come spuriously, and must only mark work to be done.
 */
import type { IpAddress } from '../packet/address.ts';

/** Events of an endpoint, as bits. READABLE and WRITABLE are edges: they come again only after the call would block. */
export const READABLE = 1;
export const WRITABLE = 2;
/** Peer has finished sending, or an error is pending: `peek` or `connectStatus` tells which. */
export const HANGUP = 4;

export interface EndpointHandler {
  onReady(events: number): void;
}

/** Pieces of arena memory to be sent, in order. Reused: an endpoint copies what it keeps. */
export class Spans {
  static readonly LIMIT = 1024;
  readonly offset: Int32Array = new Int32Array(Spans.LIMIT);
  readonly length: Int32Array = new Int32Array(Spans.LIMIT);
  count = 0;

  add(offset: number, length: number): void {
    this.offset[this.count] = offset;
    this.length[this.count++] = length;
  }
}

/** One side of a TCP conversation. Received bytes stay queued in the endpoint until `discard`ed: its queue is our buffer. */
export interface StreamEndpoint {
  handler: EndpointHandler;
  /** 0 once connected; -EINPROGRESS while pending; another negative errno when the connection failed. */
  connectStatus(): number;
  /**
   * Copies queued bytes, starting `skip` bytes into the queue, into `count` slots of `size` bytes, `stride` apart, the
   * first at arena offset `at`. Nothing is consumed. Returns bytes copied; 0 at end of stream; -EAGAIN; or an errno.
   */
  peek(skip: number, at: number, size: number, stride: number, count: number): number;
  /** Drops `count` bytes from the head of the queue: the guest has acknowledged them. */
  discard(count: number): void;
  /** Sends. Returns how many bytes were taken (may be fewer than given), or a negative errno. */
  write(spans: Spans): number;
  /** No more data will be written: the peer sees end of stream after what was written. */
  shutdownWrite(): void;
  /** The conversation is quiet: from now on find out whether the peer is still there. May be called again. */
  keepAlive(): void;
  /** Both directions are done. */
  close(): void;
  /**
   * Nobody is left who reads what the peer sends, and the end of stream was written: the peer still gets what it was sent, which a
   * close over bytes that nobody has read would cut off. Closes by itself, once the peer has closed or does not for minutes.
   */
  abandon(): void;
  /** Aborts: the peer sees a reset. */
  reset(): void;
}

/** RFC 1700's TTL, which hosts use by default. */
export const DEFAULT_HOPS = 64;

/** What the host or its network reported about a datagram that was sent. Its owner reuses it. */
export class DatagramReport {
  errno = 0;
  /** ICMP type and code (RFC 792, or RFC 4443) of the network's message; type -1 when the host itself refused the datagram. */
  type = -1;
  code = 0;
  /** With EMSGSIZE: MTU of the path in bytes, 0 when it was not told. */
  mtu = 0;
  /** Address of who reported; null when the host did. */
  offender: IpAddress | null = null;
  /** Bytes of the datagram's payload that were quoted. */
  length = 0;
}

/** A connected datagram conversation. */
export interface DatagramEndpoint {
  handler: EndpointHandler;
  /** One datagram per span. Returns how many were taken, or a negative errno for the first (-ECONNREFUSED: port unreachable). */
  send(spans: Spans): number;
  /**
   * Receives up to `count` datagrams into slots of `size` bytes, `stride` apart, the first at arena offset `at`; their
   * lengths go to `lengths` (0 is a datagram). Returns how many, -EAGAIN, or an errno.
   */
  receive(at: number, size: number, stride: number, count: number, lengths: Int32Array): number;
  /**
   * Takes the oldest report, whose quoted payload goes to arena offset `at`, at most `size` bytes. False when there is none.
   * HANGUP tells when to ask; once all are taken, `send` and `receive` no longer fail with what they said.
   */
  nextReport(report: DatagramReport, at: number, size: number): boolean;
  /** On: datagrams larger than the path's MTU are refused (-EMSGSIZE, with a report). Off, as at first: the host fragments them. */
  dontFragment(on: boolean): void;
  /** Hops that datagrams may take from now on, 1 to 254; DEFAULT_HOPS or more: the host's default, as at first. */
  limitHops(hops: number): void;
  close(): void;
}

/** Echo requests of one guest identifier to one address. */
export interface PingEndpoint {
  handler: EndpointHandler;
  /** Sends an echo request with this sequence number and the payload in the arena. Returns 0 or a negative errno. */
  send(sequence: number, offset: number, length: number): number;
  /** Receives one echo reply's payload to arena offset `at`. Returns its length, -EAGAIN, or an errno; sets `sequence`. */
  receive(at: number, size: number): number;
  /** Sequence number of the reply last received. */
  readonly sequence: number;
  close(): void;
}

/** A listening host socket, for forwards. */
export interface StreamListener {
  /** The port that was bound, for a request of port 0; 0 for a unix socket. */
  readonly port: number;
  close(): void;
}

/** A unix socket's peer has no address: it is the unspecified one, with port 0. */
export interface StreamAccepted {
  (endpoint: StreamEndpoint, peer: IpAddress, peerPort: number): void;
}

/** Who sent the datagrams of one `receive`, by slot: four words of an address and a port each. Reused. */
export class DatagramSenders {
  static readonly LIMIT = 64;
  readonly address: Int32Array = new Int32Array(DatagramSenders.LIMIT * 4);
  readonly port: Int32Array = new Int32Array(DatagramSenders.LIMIT);
  /** Interface of a link-local address of IPv6. */
  readonly scope: Int32Array = new Int32Array(DatagramSenders.LIMIT);
  /** The host's address that each was sent to; 0 where the socket has only one. */
  readonly local: Int32Array = new Int32Array(DatagramSenders.LIMIT * 4);
}

/** Where datagrams of a listener go: a client's address and port, and the host's address that it talks to (zero: the only one). */
export interface DatagramPeer {
  readonly remote0: number;
  readonly remote1: number;
  readonly remote2: number;
  readonly remote3: number;
  readonly remotePort: number;
  readonly scope: number;
  readonly local0: number;
  readonly local1: number;
  readonly local2: number;
  readonly local3: number;
}

/** A host socket that receives from any peer, for UDP forwards. READABLE is an edge, as with the others. */
export interface DatagramListener {
  handler: EndpointHandler;
  /** The port that was bound, for a request of port 0. */
  readonly port: number;
  /** As DatagramEndpoint.receive, at most DatagramSenders.LIMIT; tells who sent each. */
  receive(at: number, size: number, stride: number, count: number, lengths: Int32Array, senders: DatagramSenders): number;
  /** One datagram per span. Returns how many were taken, or a negative errno for the first. */
  send(spans: Spans, peer: DatagramPeer): number;
  close(): void;
}

/** The host's network, as far as flows and forwards need it. Openers return a negative errno instead of throwing. */
export interface HostNetwork {
  connectStream(address: IpAddress, port: number, handler: EndpointHandler): StreamEndpoint | number;
  /** `localPort` is the guest's source port, kept where the host has it free. */
  openDatagram(address: IpAddress, port: number, localPort: number, handler: EndpointHandler): DatagramEndpoint | number;
  openPing(address: IpAddress, handler: EndpointHandler): PingEndpoint | number;
  /** Throws SystemError when the address can't be bound. */
  listenStream(address: IpAddress, port: number, accept: StreamAccepted): StreamListener;
}

/** What forwards listen with. All throw SystemError when they can't. */
export interface HostListeners extends Pick<HostNetwork, 'listenStream'> {
  listenDatagram(address: IpAddress, port: number, handler: EndpointHandler): DatagramListener;
  /** At a path of the file system; see src/system/unix-listener.ts for what happens to a file that is there. */
  listenUnix(path: string, accept: StreamAccepted): StreamListener;
}
