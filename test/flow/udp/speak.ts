/** The version of IP that scripts of UDP are run in. */
import { formatIpv4, IpAddress, parseIpv4 } from '../../../src/packet/address.ts';
import { Neighbour } from '../../../src/gateway/neighbour.ts';
import type { InboundPacket } from '../../../src/gateway/packet.ts';
import { pseudoIpv4, pseudoIpv6 } from '../../../src/packet/checksum.ts';
import * as ethernet from '../../../src/packet/ethernet.ts';
import * as ipv4 from '../../../src/packet/ipv4.ts';
import * as ipv6 from '../../../src/packet/ipv6.ts';
import { PROTOCOL_UDP } from '../../../src/packet/ipv4.ts';

let six = false;
/** Addresses of IPv4 stand behind fd00::/96. */
const PREFIX = 0xfd000000 | 0;

/** From now on benches speak IPv6. The MTU is larger by as much as the header is, so that datagrams have the same sizes. */
export function speakIpv6(): void {
  six = true;
}

export function speaksIpv6(): boolean {
  return six;
}

/** Bytes of the IP header, and of all headers in front of a datagram's payload in a frame. */
export function ipHeader(): number {
  return six ? ipv6.HEADER : ipv4.HEADER;
}

export function headers(): number {
  return ethernet.HEADER + ipHeader() + 8;
}

/** The host's own. */
export function loopback(): string {
  return six ? '::1' : '127.0.0.1';
}

/** The address that stands for one of IPv4. */
export function addressOf(text: string): IpAddress {
  const word = parseIpv4(text)!;
  return six ? new IpAddress(PREFIX, 0, 0, word) : IpAddress.v4(word);
}

/** What it stands for. */
export function textOf(address: IpAddress): string {
  if (!six) return address.toString();
  return address.w0 === PREFIX ? formatIpv4(address.w3) : address.toString().replace(/^::1$/, '127.0.0.1');
}

export function guestAt(text: string): Neighbour {
  const { w0, w1, w2, w3 } = addressOf(text);
  return new Neighbour(w0, w1, w2, w3);
}

/** Of a frame to the guest. */
export function sourceOf(frame: Uint8Array): string {
  return formatIpv4(six ? ipv6.source(frame, ethernet.HEADER, 3) : ipv4.source(frame, ethernet.HEADER));
}

/** What a datagram's checksum begins with. */
export function pseudo(source: string, destination: string, length: number): number {
  const [from, to] = [addressOf(source), addressOf(destination)];
  if (!six) return pseudoIpv4(from.w3, to.w3, PROTOCOL_UDP, length);
  return pseudoIpv6(from.w0, from.w1, from.w2, from.w3, to.w0, to.w1, to.w2, to.w3, PROTOCOL_UDP, length);
}

/** Writes the header of a packet in front of its payload, and what the gateway reads in it. */
export function describe(packet: InboundPacket, source: IpAddress, destination: IpAddress, df: boolean): void {
  const { bytes, payload, end, ttl } = packet;
  const [{ w0, w1, w2, w3 }, to] = [source, destination];
  packet.header = payload - ipHeader();
  packet.version = six ? 6 : 4;
  // What a guest of IPv6 has cut itself may be cut again.
  packet.reassembled = six && !df;
  [packet.source0, packet.source1, packet.source2, packet.source3] = [w0, w1, w2, w3];
  [packet.destination0, packet.destination1, packet.destination2, packet.destination3] = [to.w0, to.w1, to.w2, to.w3];
  if (six) ipv6.write(bytes, packet.header, end - payload, PROTOCOL_UDP, ttl, w0, w1, w2, w3, to.w0, to.w1, to.w2, to.w3);
  else ipv4.write(bytes, packet.header, end - packet.header, 0, df ? ipv4.FLAG_DF : 0, ttl, PROTOCOL_UDP, w3, to.w3);
}
