/** The reference guest: a Linux-like host with one address, its connections by port. */
import { pseudoIpv4, sum } from '../../../../../src/packet/checksum.ts';
import * as ethernet from '../../../../../src/packet/ethernet.ts';
import * as ipv4 from '../../../../../src/packet/ipv4.ts';
import * as tcp from '../../../../../src/packet/tcp.ts';
import { Fault } from '../end.ts';
import type { Pattern } from '../pattern.ts';
import type { VirtualTime } from '../virtual-time.ts';
import { type GuestOptions, ReferenceSocket, type Wire } from './socket.ts';

const HEADERS = ethernet.HEADER + ipv4.HEADER;

export class ReferenceGuest implements Wire {
  readonly wheel: VirtualTime['wheel'];
  readonly sockets: Map<number, ReferenceSocket> = new Map();
  readonly #time: VirtualTime;
  readonly #send: (frame: Uint8Array) => void;
  readonly #near: number;
  readonly #far: number;
  readonly #checks: boolean;

  /** `near` is the guest's address; `checks`: checksums are verified. */
  constructor(time: VirtualTime, near: number, far: number, checks: boolean, send: (frame: Uint8Array) => void) {
    this.#time = time;
    this.wheel = time.wheel;
    this.#near = near;
    this.#far = far;
    this.#checks = checks;
    this.#send = send;
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
    const frame = new Uint8Array(HEADERS + length);
    ethernet.write(frame, 0, 0x5a94, 1, 0x5a94, 2, ethernet.TYPE_IPV4);
    ipv4.write(frame, ethernet.HEADER, ipv4.HEADER + length, 0, ipv4.FLAG_DF, 64, ipv4.PROTOCOL_TCP, this.#near, this.#far);
    frame.set(bytes.subarray(at, at + length), HEADERS);
    const total = sum(frame, HEADERS, length, pseudoIpv4(this.#near, this.#far, ipv4.PROTOCOL_TCP, length));
    tcp.setChecksum(frame, HEADERS, ~total & 0xffff);
    this.#send(frame);
  }

  /** A frame arrives. */
  input(frame: Uint8Array): void {
    const ip = ethernet.HEADER;
    const length = frame.length - HEADERS;
    if (ipv4.totalLength(frame, ip) !== frame.length - ip) throw new Fault('a frame has the wrong length');
    if (this.#checks) {
      const [from, to] = [ipv4.source(frame, ip), ipv4.destination(frame, ip)];
      if (sum(frame, ip, ipv4.HEADER) !== 0xffff) throw new Fault('a frame has a wrong IPv4 checksum');
      if (sum(frame, HEADERS, length, pseudoIpv4(from, to, ipv4.PROTOCOL_TCP, length)) !== 0xffff) {
        throw new Fault('a frame has a wrong TCP checksum');
      }
    }
    const socket = this.sockets.get(tcp.destinationPort(frame, HEADERS));
    socket?.input(frame, HEADERS, frame.length);
    if (socket === undefined || socket.gone) this.#refuse(frame);
  }

  /** RFC 9293 §3.10.7.1. */
  #refuse(frame: Uint8Array): void {
    const flags = tcp.flags(frame, HEADERS);
    if (flags & tcp.RST) return;
    const [from, to] = [tcp.destinationPort(frame, HEADERS), tcp.sourcePort(frame, HEADERS)];
    const header = new Uint8Array(tcp.HEADER);
    const data = frame.length - HEADERS - tcp.headerLength(frame, HEADERS);
    const ack = (tcp.sequence(frame, HEADERS) + data + ((flags & tcp.SYN) >>> 1) + (flags & tcp.FIN)) | 0;
    if (flags & tcp.ACK) tcp.write(header, 0, from, to, tcp.acknowledgment(frame, HEADERS), 0, tcp.HEADER, tcp.RST, 0);
    else tcp.write(header, 0, from, to, 0, ack, tcp.HEADER, tcp.RST | tcp.ACK, 0);
    this.transmit(header, 0, tcp.HEADER);
  }
}
