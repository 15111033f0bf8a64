/** UDP services of the gateway: who listens on which port, and how their answers reach the guest. */
import { NetworkError } from '../../errors.ts';
import { IpAddress } from '../../packet/address.ts';
import type { Sum } from '../../packet/checksum.ts';
import * as ipv4 from '../../packet/ipv4.ts';
import { isMulticast } from '../../packet/ipv6.ts';
import * as udp from '../../packet/udp.ts';
import type { Arena } from '../../runtime/arena.ts';
import type { Neighbour } from '../../gateway/neighbour.ts';
import { Neighbour as Unconfigured } from '../../gateway/neighbour.ts';
import type { InboundPacket } from '../../gateway/packet.ts';
import { type PacketOutput, ReplyAddresses } from '../family.ts';
import type { DatagramListening, DatagramService, Listener } from '../listener.ts';

const BROADCAST = IpAddress.v4(-1);
/** Largest answer: 64 KiB less the headers. */
const PAYLOAD = 65_535 - ipv4.HEADER - udp.HEADER;

export interface ServiceGateway extends PacketOutput {
  /** The gateway's address that a guest with this one is talked to from. */
  sourceFor(guest: IpAddress): IpAddress;
}

interface Registration {
  readonly service: DatagramService;
  readonly anyAddress: boolean;
  readonly version: 4 | 6 | undefined;
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
  listen(port: number, service: DatagramService, { anyAddress = false, version }: DatagramListening): Listener {
    if (this.#services.has(port)) throw new NetworkError('port-taken', `UDP port ${port} of the gateway is already listened on`);
    this.#services.set(port, { service, anyAddress, version });
    return { close: () => void this.#services.delete(port) };
  }

  has(port: number): boolean {
    return this.#services.has(port);
  }

  /** Hands the datagram to its service. False when nobody listens for it. */
  deliver(packet: InboundPacket, local: boolean, at: number, length: number): boolean {
    const port = udp.destinationPort(packet.bytes, packet.payload);
    const registration = this.#services.get(port);
    if (registration === undefined) return false;
    // Of IPv6 that is the group of DHCP servers: what goes to other hosts is theirs.
    const taken = local || (registration.anyAddress && (packet.version === 4 || isMulticast(packet.destination0)));
    if (!taken) return false;
    if (registration.version !== undefined && registration.version !== packet.version) return false;
    const peerPort = udp.sourcePort(packet.bytes, packet.payload);
    const payload = packet.bytes.slice(at, at + length);
    const to = packet.neighbour;
    const unconfigured = isUnconfigured(packet);
    // Contract §11.3: a guest without an address is reached by broadcast.
    const neighbour = unconfigured ? broadcastTo(to) : to;
    const address = new IpAddress(packet.source0, packet.source1, packet.source2, packet.source3);
    const reply = new ReplyAddresses();
    if (local) reply.answer(packet);
    else reply.between(this.#gateway.sourceFor(address), unconfigured ? BROADCAST : address);
    const peer = { address, port: peerPort, vm: packet.port, mac: { hi: to.macHi, lo: to.macLo } };
    registration.service(payload, peer, (answer) => void this.send(neighbour, reply, peerPort, port, answer));
    return true;
  }

  /** From the gateway's address to a guest's. */
  sendTo(to: Neighbour, address: IpAddress, toPort: number, fromPort: number, payload: Uint8Array): boolean {
    const between = new ReplyAddresses();
    between.between(this.#gateway.sourceFor(address), address);
    return this.send(to, between, toPort, fromPort, payload);
  }

  /** False: there was no room. What is longer than a datagram can be is cut. */
  send(to: Neighbour, reply: ReplyAddresses, toPort: number, fromPort: number, payload: Uint8Array): boolean {
    const { bytes } = this.#arena;
    const at = this.#scratch;
    const length = udp.HEADER + Math.min(payload.length, PAYLOAD);
    udp.write(bytes, at, fromPort, toPort, length);
    bytes.set(payload.subarray(0, PAYLOAD), at + udp.HEADER);
    udp.setChecksum(bytes, at, ~this.#sum(at, length, reply.addressSum + ipv4.PROTOCOL_UDP + length) & 0xffff);
    const isSent = reply.family.send(this.#gateway, to, reply, ipv4.PROTOCOL_UDP, at, length);
    if (isSent) this.sent++;
    else this.dropped++;
    return isSent;
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

/** Its sender has no address yet: 0.0.0.0. */
export function isUnconfigured(packet: InboundPacket): boolean {
  return packet.version === 4 && packet.source3 === 0;
}
