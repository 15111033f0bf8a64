/** UDP services of the gateway: who listens on which port, and how their answers reach the guest. */
import { NetworkError } from '../../errors.ts';
import { IpAddress } from '../../packet/address.ts';
import { pseudoIpv4, type Sum } from '../../packet/checksum.ts';
import * as ethernet from '../../packet/ethernet.ts';
import * as ipv4 from '../../packet/ipv4.ts';
import * as udp from '../../packet/udp.ts';
import type { Arena } from '../../runtime/arena.ts';
import type { Neighbour } from '../../gateway/neighbour.ts';
import { Neighbour as Unconfigured } from '../../gateway/neighbour.ts';
import type { InboundPacket } from '../../gateway/packet.ts';
import type { DatagramService, Listener } from '../listener.ts';

const BROADCAST = -1;
/** Largest answer: 64 KiB less the headers. */
const PAYLOAD = 65_535 - ipv4.HEADER - udp.HEADER;

export interface ServiceGateway {
  readonly address: number;
  sendIpv4(to: Neighbour, source: number, destination: number, protocol: number, at: number, length: number): boolean;
}

interface Registration {
  readonly service: DatagramService;
  readonly anyAddress: boolean;
}

export class UdpServices {
  readonly #arena: Arena;
  readonly #sum: Sum;
  readonly #gateway: ServiceGateway;
  readonly #services: Map<number, Registration> = new Map();
  readonly #scratch: number;
  /** Answers that found no room. */
  dropped = 0;
  sent = 0;

  constructor(arena: Arena, sum: Sum, gateway: ServiceGateway) {
    this.#arena = arena;
    this.#sum = sum;
    this.#gateway = gateway;
    this.#scratch = arena.allocate(65_536);
  }

  /** Throws when the port is taken. */
  listen(port: number, service: DatagramService, anyAddress: boolean): Listener {
    if (this.#services.has(port)) throw new NetworkError('port-taken', `UDP port ${port} of the gateway is already listened on`);
    this.#services.set(port, { service, anyAddress });
    return { close: () => void this.#services.delete(port) };
  }

  /** Hands the datagram to its service. False when nobody listens for it. */
  deliver(packet: InboundPacket, local: boolean, at: number, length: number): boolean {
    const port = udp.destinationPort(packet.bytes, packet.payload);
    const registration = this.#services.get(port);
    if (registration === undefined || !(local || registration.anyAddress)) return false;
    const peerPort = udp.sourcePort(packet.bytes, packet.payload);
    const payload = packet.bytes.slice(at, at + length);
    const to = packet.neighbour;
    const unconfigured = packet.source3 === 0;
    // Contract §11.3: a guest without an address is reached by broadcast.
    const neighbour = unconfigured ? broadcastTo(to) : to;
    const destination = unconfigured ? BROADCAST : packet.source3;
    const peer = { address: IpAddress.v4(packet.source3), port: peerPort, vm: packet.port };
    registration.service(payload, peer, (answer) => this.#send(neighbour, destination, peerPort, port, answer));
    return true;
  }

  #send(to: Neighbour, destination: number, toPort: number, fromPort: number, payload: Uint8Array): void {
    const { bytes } = this.#arena;
    const at = this.#scratch;
    const length = udp.HEADER + Math.min(payload.length, PAYLOAD);
    const source = this.#gateway.address;
    udp.write(bytes, at, fromPort, toPort, length);
    bytes.set(payload.subarray(0, PAYLOAD), at + udp.HEADER);
    udp.setChecksum(bytes, at, ~this.#sum(at, length, pseudoIpv4(source, destination, ipv4.PROTOCOL_UDP, length)) & 0xffff);
    if (this.#gateway.sendIpv4(to, source, destination, ipv4.PROTOCOL_UDP, at, length)) this.sent++;
    else this.dropped++;
  }

  close(): void {
    this.#services.clear();
    this.#arena.free(this.#scratch, 65_536);
  }
}

/** The guest's port, and everyone's address on it. */
function broadcastTo(guest: Neighbour): Neighbour {
  const everyone = new Unconfigured(guest.w0, guest.w1, guest.w2, guest.w3);
  everyone.port = guest.port;
  everyone.macHi = 0xffff;
  everyone.macLo = -1;
  return everyone;
}

/** Bytes in front of a UDP payload in a frame. */
export const UDP_HEADERS: number = ethernet.HEADER + ipv4.HEADER + udp.HEADER;
