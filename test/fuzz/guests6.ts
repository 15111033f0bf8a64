/** What the VMs of a world with IPv6 do beside what all do: packets of IPv6, whole or in pieces, and what configures a host. */
import type { IpAddress } from '../../src/packet/address.ts';
import * as ethernet from '../../src/packet/ethernet.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../../src/packet/ipv4.ts';
import * as ipv6 from '../../src/packet/ipv6.ts';
import type { Mac } from '../../src/packet/mac.ts';
import { GATEWAY6, global6, linkLocal6, vmOf6 } from './addresses6.ts';
import * as frames from './frames.ts';
import * as frames6 from './frames6.ts';
import { pick, Step } from './program.ts';

const PIECES = [8, 16, 64, 512, 1232, 8192];
/** As a link-layer address in a frame of discovery. */
const BROADCAST = { hi: 0xffff, lo: -1 };

/** What they need of who runs the program. */
export interface Senders {
  mac(vm: number): Mac;
  /** Sends a frame as it is. */
  send(vm: number, frame: Uint8Array): void;
  /** Sends it as the step says: mutated, mended. */
  emit(step: Step, vm: number, frame: Uint8Array): void;
  /** What its hosts get, and who gets its packets, may be anything from now on. */
  spoil(vm: number): void;
  /** Frames sent so far. */
  frames(): number;
}

export class Guests6 {
  readonly #senders: Senders;

  constructor(senders: Senders) {
    this.#senders = senders;
  }

  /** What a VM sends when it comes: its addresses are its own from then on. */
  arrive(vm: number): void {
    const mac = this.#senders.mac(vm);
    for (const source of [linkLocal6(vm), global6(vm)]) {
      const solicitation = { ...frames6.discovery(vm, mac, new Step(new Uint8Array(16))), source };
      this.#discovery(vm, solicitation, (frame) => this.#senders.send(vm, frame));
    }
  }

  #discovery(vm: number, { source, destination, hops, bytes }: frames6.Discovery, send: (frame: Uint8Array) => void): void {
    const frame = frames6.packet6({ mac: this.#senders.mac(vm), source, destination, hops }, ipv6.PROTOCOL_ICMPV6, bytes);
    frames.mendChecksums(frame);
    send(frame);
  }

  /** `vm`'s address that such a packet goes from: the same for all of a connection. */
  #source(step: Step, vm: number, destination: IpAddress, protocol: number): IpAddress {
    if (ipv6.isLinkLocal(destination.w0)) return linkLocal6(vm);
    if (protocol === PROTOCOL_TCP || step.window < 176) return global6(vm);
    if (step.window < 208) return global6(vm, 1 + step.extra);
    return step.window < 240 ? linkLocal6(vm) : frames6.UNSPECIFIED;
  }

  packet(step: Step, vm: number, destination: IpAddress, protocol: number, payload: Uint8Array): void {
    const from = { mac: this.#senders.mac(vm), source: this.#source(step, vm, destination, protocol), destination };
    const headers = frames6.extensions(step);
    if (step.how >= 0xe0) return this.#fragments(step, vm, from, protocol, payload, headers);
    this.#senders.emit(step, vm, frames6.packet6(from, protocol, payload, headers));
  }

  /** In pieces: in order or backwards, one twice, one missing, one overlapping; a whole one of the same name among them. */
  #fragments(
    step: Step,
    vm: number,
    from: frames6.Addresses6,
    protocol: number,
    payload: Uint8Array,
    headers: readonly frames6.Extension[],
  ): void {
    const whole = frames6.packet6(from, protocol, payload);
    frames.mendChecksums(whole);
    const { next, bytes } = frames6.link(headers, protocol, whole.subarray(ethernet.HEADER + ipv6.HEADER));
    const size = Math.max(pick(PIECES, step.extra), (bytes.length >>> 8) & ~7);
    const id = step.position + (step.value & 16 ? this.#senders.frames() : 0);
    const pieces: Uint8Array[] = [];
    for (let at = 0; at < bytes.length; at += size) {
      const overlap = step.value >= 240 && at > 0 ? 8 : 0;
      const header = frames6.fragment(at - overlap, at + size < bytes.length, id);
      pieces.push(frames6.packet6(from, next, bytes.subarray(at, at + size), [header]));
    }
    if (step.value & 1) pieces.reverse();
    if ((step.value & 6) === 6) pieces.splice(step.position % pieces.length, 1);
    if (step.value & 8 && pieces.length > 0) pieces.push(pieces[step.position % pieces.length]!);
    if (step.value & 32) pieces.splice(1, 0, frames6.packet6(from, next, bytes.subarray(0, 1200), [frames6.fragment(0, false, id)]));
    for (const [i, piece] of pieces.entries()) {
      if (i === step.position % pieces.length) this.#senders.emit(step, vm, piece);
      else this.#senders.send(vm, piece);
    }
  }

  /** Solicitations, advertisements, redirects; of addresses by the hundred. */
  discovery(step: Step, vm: number): void {
    const repeat = pick([1, 1, 1, 1, 1, 2, 8, 200], step.how >>> 3);
    for (let i = 0; i < repeat; i++) {
      const message = frames6.discovery(vm, this.#senders.mac(vm), step, i);
      // Who says he has another's address gets what is meant for that one, once it is silent.
      if (step.extra >= 224 || vmOf6(message.source) !== vm) for (const each of [vm, (vm + 1) & 3]) this.#senders.spoil(each);
      this.#discovery(vm, message, (frame) => {
        if (step.window >= 224) {
          const to = pick([this.#senders.mac((vm + 1) & 3), BROADCAST], step.window);
          ethernet.setMac(frame, 0, ethernet.DESTINATION, to.hi, to.lo);
        }
        this.#senders.emit(step, vm, frame);
      });
    }
  }

  listener(step: Step, vm: number): void {
    const { destination, bytes } = frames6.listener(step);
    const alert = { type: ipv6.HOP_BY_HOP, bytes: Uint8Array.of(0, 0, 5, 2, 0, 0, 1, 0) };
    const from = { mac: this.#senders.mac(vm), source: linkLocal6(vm), destination, hops: 1 };
    const frame = frames6.packet6(from, ipv6.PROTOCOL_ICMPV6, bytes, step.value < 200 ? [alert] : []);
    this.#senders.emit(step, vm, frame);
  }

  dhcp(step: Step, vm: number): void {
    const destination = frames6.dhcpServer(step);
    const source = pick([linkLocal6(vm), linkLocal6(vm), global6(vm), frames6.UNSPECIFIED], step.window);
    const mac = this.#senders.mac(vm);
    const repeat = pick([1, 1, 1, 1, 1, 2, 8, 100], step.how >>> 3);
    for (let i = 0; i < repeat; i++) {
      const message = frames6.dhcpBytes6(mac, step, i);
      const payload = step.seq < 240 ? frames.udpBytes(546, 547, message) : frames.udpBytes(547, 546, message);
      this.#senders.emit(step, vm, frames6.packet6({ mac, source, destination, hops: 1 }, PROTOCOL_UDP, payload));
    }
  }

  echo(step: Step, vm: number, destination: IpAddress): void {
    const payload = frames.tagged(vm, frames.payloadLength(step));
    this.packet(step, vm, destination, ipv6.PROTOCOL_ICMPV6, frames6.echoBytes6(step, payload));
  }

  /** About a packet that the VM was sent. */
  error(step: Step, vm: number, quoted: Uint8Array): void {
    this.packet(step, vm, GATEWAY6, ipv6.PROTOCOL_ICMPV6, frames6.errorBytes6(step, quoted));
  }
}
