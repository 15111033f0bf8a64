/** The VM's ends of links: plain descriptors that never block, with the wire formats written down a second time. */
import { IpAddress } from '../../src/packet/address.ts';
import {
  AF_INET,
  AF_UNIX,
  IP_ADD_MEMBERSHIP,
  IP_MULTICAST_IF,
  IPPROTO_IP,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  SO_RCVBUF,
  SO_REUSEADDR,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
} from '../../src/system/constants.ts';
import { EAGAIN } from '../../src/system/errno.ts';
import { check } from '../../src/system/error.ts';
import { setOption } from '../../src/system/socket-options.ts';
import { writeSockaddr, writeUnixSockaddr } from '../../src/system/memory.ts';
import { MessageHeaders } from '../../src/system/message-headers.ts';
import { addressOf, bindSocket, close, connect, recv, recvmmsg, send, sendmmsg, setsockopt, socket } from '../../src/system/syscalls.ts';

/** What a test has of a VM. */
export interface VmEnd {
  /** False: the link is full, the frame was not sent. Streams: may be sent with the next call. */
  send(frame: Uint8Array): boolean;
  /** A copy, or null when there is none now. */
  receive(): Uint8Array | null;
  /** Streams: bytes as they are. */
  sendBytes?(bytes: Uint8Array): void;
  /** The link has closed the connection; only after `receive` has returned null. */
  readonly ended: boolean;
  /** As a process that is killed. */
  close(): void;
}

const ROOM = 1 << 18;
const HEADERS_AT = 200_000;
const NAME_AT = 210_000;

/** Scratch memory of a VM. */
class Memory {
  readonly bytes: Uint8Array = new Uint8Array(new ArrayBuffer(ROOM));
  readonly address: number = addressOf(this.bytes.buffer as ArrayBuffer);
}

function openUnix(type: number, own?: string): number {
  const address = new ArrayBuffer(256);
  const fd = check(socket(AF_UNIX, type | SOCK_NONBLOCK, 0), 'socket');
  if (own !== undefined) {
    const size = writeUnixSockaddr(new Uint8Array(address), 0, own);
    check(bindSocket(fd, addressOf(address), size), 'bind');
  }
  return fd;
}

function connectUnix(type: number, path: string, own?: string): number {
  const address = new ArrayBuffer(256);
  const fd = openUnix(type, own);
  const size = writeUnixSockaddr(new Uint8Array(address), 0, path);
  check(connect(fd, addressOf(address), size), 'connect', { address: path });
  return fd;
}

/** One frame a message, on a connected socket. */
export class MessageEnd implements VmEnd {
  ended = false;
  readonly #fd: number;
  readonly #memory: Memory = new Memory();

  /** Takes over `fd`. */
  constructor(fd: number) {
    this.#fd = fd;
  }

  /** `own`: where the VM's own socket is bound. */
  static unix(type: number, path: string, own?: string): MessageEnd {
    return new MessageEnd(connectUnix(type, path, own));
  }

  send(frame: Uint8Array): boolean {
    this.#memory.bytes.set(frame);
    const sent = send(this.#fd, this.#memory.address, frame.length, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent !== -EAGAIN) check(sent, 'send');
    return sent >= 0;
  }

  receive(): Uint8Array | null {
    const got = recv(this.#fd, this.#memory.address, ROOM, MSG_DONTWAIT);
    if (got > 0) return this.#memory.bytes.slice(0, got);
    this.ended = got !== -EAGAIN;
    return null;
  }

  close(): void {
    close(this.#fd);
  }
}

/** One frame a message, from a socket that isn't connected. */
export class UnconnectedEnd implements VmEnd {
  ended = false;
  readonly #fd: number;
  readonly #memory: Memory = new Memory();
  readonly #headers: MessageHeaders;

  /** Takes over `fd`, whose messages go to `to`, a sockaddr. */
  constructor(fd: number, to: Uint8Array) {
    this.#fd = fd;
    const { bytes, address } = this.#memory;
    bytes.set(to, NAME_AT);
    this.#headers = new MessageHeaders(new Uint32Array(bytes.buffer), address, HEADERS_AT, 1);
    this.#headers.name(0, NAME_AT, to.length);
  }

  static unix(path: string, own: string): UnconnectedEnd {
    const address = new Uint8Array(128);
    return new UnconnectedEnd(openUnix(SOCK_DGRAM, own), address.subarray(0, writeUnixSockaddr(address, 0, path)));
  }

  /** On the host's loopback. */
  static udp(port: number, toPort: number): UnconnectedEnd {
    return new UnconnectedEnd(openUdp(LOOPBACK, port), loopback(LOOPBACK, toPort));
  }

  send(frame: Uint8Array): boolean {
    this.#memory.bytes.set(frame);
    this.#headers.buffer(0, 0, frame.length);
    const sent = sendmmsg(this.#fd, this.#headers.address, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent !== -EAGAIN) check(sent, 'sendmmsg');
    return sent >= 0;
  }

  receive(): Uint8Array | null {
    const got = recv(this.#fd, this.#memory.address, HEADERS_AT, MSG_DONTWAIT);
    return got >= 0 ? this.#memory.bytes.slice(0, got) : null;
  }

  close(): void {
    close(this.#fd);
  }
}

const LOOPBACK = '127.0.0.1';

function loopback(address: string, port: number): Uint8Array {
  const bytes = new Uint8Array(128);
  const { w0, w1, w2, w3 } = IpAddress.parse(address)!;
  return bytes.subarray(0, writeSockaddr(bytes, 0, w0, w1, w2, w3, port));
}

function openUdp(address: string, port: number): number {
  const fd = check(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), 'socket');
  setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  setOption(fd, SOL_SOCKET, SO_RCVBUF, 4 << 20);
  const place = loopback(address, port).slice();
  check(bindSocket(fd, addressOf(place.buffer), place.length), 'bind', { address, port });
  return fd;
}

/** A QEMU in a multicast group on the host's loopback: it hears its own frames as well, which here it leaves out. */
export class MulticastEnd implements VmEnd {
  ended = false;
  readonly #fd: number;
  readonly #port: number;
  readonly #end: UnconnectedEnd;
  readonly #memory: Memory = new Memory();
  readonly #headers: MessageHeaders;
  /** Of its own frames. */
  copies = 0;

  constructor(group: string, port: number) {
    this.#fd = openUdp(group, port);
    this.#port = port;
    const addresses = new Uint8Array(new ArrayBuffer(8));
    addresses.set(loopback(group, 0).subarray(4, 8));
    addresses.set(loopback(LOOPBACK, 0).subarray(4, 8), 4);
    const at = addressOf(addresses.buffer);
    check(setsockopt(this.#fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, at, 8), 'IP_ADD_MEMBERSHIP');
    check(setsockopt(this.#fd, IPPROTO_IP, IP_MULTICAST_IF, at + 4, 4), 'IP_MULTICAST_IF');
    this.#end = new UnconnectedEnd(this.#fd, loopback(group, port));
    this.#headers = new MessageHeaders(new Uint32Array(this.#memory.bytes.buffer), this.#memory.address, HEADERS_AT, 1);
  }

  send(frame: Uint8Array): boolean {
    return this.#end.send(frame);
  }

  receive(): Uint8Array | null {
    const { bytes } = this.#memory;
    for (;;) {
      this.#headers.buffer(0, 0, HEADERS_AT);
      this.#headers.name(0, NAME_AT, 128);
      if (recvmmsg(this.#fd, this.#headers.address, 1, MSG_DONTWAIT) !== 1) return null;
      if (((bytes[NAME_AT + 2]! << 8) | bytes[NAME_AT + 3]!) !== this.#port) return bytes.slice(0, this.#headers.length(0));
      this.copies++;
    }
  }

  close(): void {
    this.#end.close();
  }
}

/** QEMU's 32 bits, big-endian, or HyperKit's 16 bits, little-endian. */
export type LengthField = 'u32be' | 'u16le';

/** Frames behind their length, on a connected stream socket. */
export class StreamEnd implements VmEnd {
  ended = false;
  readonly #fd: number;
  readonly #out: number;
  readonly #field: LengthField;
  /** Bytes in front of the first frame. */
  #skip: number;
  readonly #memory: Memory = new Memory();
  /** What the socket hasn't taken. */
  #unsent: Uint8Array = new Uint8Array(0);
  #received: Buffer = Buffer.alloc(0);

  /** Takes over `fd`, and `out` where frames go to another. `skip` bytes come before the first frame. */
  constructor(fd: number, field: LengthField, skip = 0, out = fd) {
    this.#fd = fd;
    this.#out = out;
    this.#field = field;
    this.#skip = skip;
  }

  static unix(type: number, path: string, field: LengthField, skip = 0): StreamEnd {
    return new StreamEnd(connectUnix(type, path), field, skip);
  }

  /** Frames come from the socket at one path and go to that at the other. */
  static twoWay(from: string, to: string, field: LengthField): StreamEnd {
    return new StreamEnd(connectUnix(SOCK_STREAM, from), field, 0, connectUnix(SOCK_STREAM, to));
  }

  send(frame: Uint8Array): boolean {
    if (!this.#flush()) return false;
    const head = this.#field === 'u32be' ? 4 : 2;
    const bytes = new Uint8Array(head + frame.length);
    const view = new DataView(bytes.buffer);
    if (this.#field === 'u32be') view.setUint32(0, frame.length);
    else view.setUint16(0, frame.length, true);
    bytes.set(frame, head);
    this.#unsent = bytes;
    this.#flush();
    return true;
  }

  #flush(): boolean {
    while (this.#unsent.length > 0) {
      this.#memory.bytes.set(this.#unsent.subarray(0, ROOM));
      const sent = send(this.#out, this.#memory.address, Math.min(this.#unsent.length, ROOM), MSG_DONTWAIT | MSG_NOSIGNAL);
      if (sent === -EAGAIN) return false;
      this.#unsent = this.#unsent.subarray(check(sent, 'send'));
    }
    return true;
  }

  sendBytes(bytes: Uint8Array): void {
    this.#memory.bytes.set(bytes);
    check(send(this.#out, this.#memory.address, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL), 'send');
  }

  receive(): Uint8Array | null {
    this.#flush();
    let frame = this.#cut();
    if (frame !== null) return frame;
    const got = recv(this.#fd, this.#memory.address, ROOM, MSG_DONTWAIT);
    if (got > 0) {
      this.#received = Buffer.concat([this.#received, this.#memory.bytes.subarray(0, got)]);
      frame = this.#cut();
    } else this.ended = got !== -EAGAIN;
    return frame;
  }

  #cut(): Uint8Array | null {
    const head = this.#field === 'u32be' ? 4 : 2;
    const skipped = Math.min(this.#skip, this.#received.length);
    this.#skip -= skipped;
    const received = (this.#received = this.#received.subarray(skipped));
    if (received.length < head) return null;
    const length = this.#field === 'u32be' ? received.readUInt32BE() : received.readUInt16LE();
    if (received.length < head + length) return null;
    this.#received = received.subarray(head + length);
    return received.subarray(head, head + length);
  }

  close(): void {
    close(this.#fd);
    if (this.#out !== this.#fd) close(this.#out);
  }
}
