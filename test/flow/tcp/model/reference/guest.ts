/** The reference guest: a Linux-like host with one address, its connections by port. */
import { sum } from '../../../../../src/packet/checksum.ts';
import * as tcp from '../../../../../src/packet/tcp.ts';
import { InboundPacket } from '../../../../../src/gateway/packet.ts';
import type { Pattern } from '../pattern.ts';
import { readFrame, type Version } from '../version.ts';
import type { VirtualTime } from '../virtual-time.ts';
import { type GuestOptions, ReferenceSocket, type Wire } from './socket.ts';

export class ReferenceGuest implements Wire {
  readonly wheel: VirtualTime['wheel'];
  readonly sockets: Map<number, ReferenceSocket> = new Map();
  readonly #time: VirtualTime;
  readonly #send: (frame: Uint8Array) => void;
  readonly #version: Version;
  readonly #packet: InboundPacket = new InboundPacket();
  readonly #checks: boolean;

  /** `checks`: checksums are verified. */
  constructor(time: VirtualTime, version: Version, checks: boolean, send: (frame: Uint8Array) => void) {
    this.#time = time;
    this.wheel = time.wheel;
    this.#version = version;
    this.#checks = checks;
    this.#send = send;
  }

  get defaultMss(): number {
    return this.#version.defaultMss;
  }

  now(): number {
    return this.#time.now;
  }

  socket(
    name: string,
    local: number,
    remote: number,
    options: GuestOptions,
    iss: number,
    out: Pattern,
    incoming: Pattern,
  ): ReferenceSocket {
    const socket = new ReferenceSocket(name, this, options, { local, remote }, iss, out, incoming);
    this.sockets.set(local, socket);
    return socket;
  }

  transmit(bytes: Uint8Array, at: number, length: number): void {
    const { guest, headers, host } = this.#version;
    const frame = new Uint8Array(headers + length);
    this.#version.write(frame, guest, host, length);
    frame.set(bytes.subarray(at, at + length), headers);
    tcp.setChecksum(frame, headers, ~sum(frame, headers, length, this.#version.pseudo(guest, host, length)) & 0xffff);
    this.#send(frame);
  }

  /** A frame arrives. */
  input(frame: Uint8Array): void {
    const { headers } = this.#version;
    readFrame(this.#version, this.#packet, frame, 0, frame.length, this.#checks);
    const socket = this.sockets.get(tcp.destinationPort(frame, headers));
    socket?.input(frame, headers, frame.length);
    if (socket === undefined || socket.gone) this.#refuse(frame);
  }

  /** RFC 9293 §3.10.7.1. */
  #refuse(frame: Uint8Array): void {
    const { headers } = this.#version;
    const flags = tcp.flags(frame, headers);
    if (flags & tcp.RST) return;
    const [from, to] = [tcp.destinationPort(frame, headers), tcp.sourcePort(frame, headers)];
    const header = new Uint8Array(tcp.HEADER);
    const data = frame.length - headers - tcp.headerLength(frame, headers);
    const ack = (tcp.sequence(frame, headers) + data + ((flags & tcp.SYN) >>> 1) + (flags & tcp.FIN)) | 0;
    if (flags & tcp.ACK) tcp.write(header, 0, from, to, tcp.acknowledgment(frame, headers), 0, tcp.HEADER, tcp.RST, 0);
    else tcp.write(header, 0, from, to, 0, ack, tcp.HEADER, tcp.RST | tcp.ACK, 0);
    this.transmit(header, 0, tcp.HEADER);
  }
}
