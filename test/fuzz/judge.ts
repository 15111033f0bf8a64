/**
 * What a frame for a VM must be, whatever was sent: lengths that agree, good checksums, addresses that make sense, nobody
 * else's bytes. Throws Verdict.
 */
import * as arp from '../../src/packet/arp.ts';
import { u16 } from '../../src/packet/bytes.ts';
import { pseudoIpv4, sum } from '../../src/packet/checksum.ts';
import * as ethernet from '../../src/packet/ethernet.ts';
import * as icmp from '../../src/packet/icmpv4.ts';
import * as ipv4 from '../../src/packet/ipv4.ts';
import * as tcp from '../../src/packet/tcp.ts';
import * as udp from '../../src/packet/udp.ts';
import { HOST_TAG } from './memory-host.ts';
import { GATEWAY, GATEWAY_MAC } from './world.ts';

export class Verdict extends Error {
  override name = 'Verdict';
}

/** A packet whose header is in order, whole. */
export interface Packet {
  readonly protocol: number;
  readonly source: number;
  readonly destination: number;
  readonly payload: Uint8Array;
}

/** What has come of a datagram. */
interface Fragments {
  readonly pieces: Uint8Array[];
  length: number;
}

/** Judges what one VM is sent; puts fragments together. */
export class Judge {
  readonly #mtu: number;
  readonly #fragments: Map<string, Fragments> = new Map();

  constructor(mtu: number) {
    this.#mtu = mtu;
  }

  /** The packet, once it is whole; null for ARP, for fragments, and for frames that other VMs have sent. */
  frame(bytes: Uint8Array, at: number, length: number): Packet | null {
    if (length < ethernet.HEADER) throw new Verdict(`a frame of ${length} bytes`);
    const isOurs =
      ethernet.macHi(bytes, at, ethernet.SOURCE) === GATEWAY_MAC.hi && ethernet.macLo(bytes, at, ethernet.SOURCE) === GATEWAY_MAC.lo;
    // The switch passes on what another VM has sent, as it is.
    if (!isOurs) return null;
    const type = ethernet.type(bytes, at);
    const packet = bytes.slice(at + ethernet.HEADER, at + length);
    if (type === ethernet.TYPE_ARP) return this.#arp(packet);
    if (type !== ethernet.TYPE_IPV4) throw new Verdict(`ethertype ${type}`);
    return this.#ipv4(packet);
  }

  #arp(packet: Uint8Array): null {
    if (packet.length !== arp.LENGTH || !arp.isIpv4OverEthernet(packet, 0)) throw new Verdict('malformed ARP');
    if (arp.senderMacHi(packet, 0) !== GATEWAY_MAC.hi || arp.senderMacLo(packet, 0) !== GATEWAY_MAC.lo)
      throw new Verdict('ARP for another');
    return null;
  }

  #ipv4(packet: Uint8Array): Packet | null {
    const { length } = packet;
    if (length < ipv4.HEADER || packet[0] !== 0x45) throw new Verdict('malformed IPv4 header');
    if (length > this.#mtu) throw new Verdict(`a packet of ${length} bytes, MTU ${this.#mtu}`);
    if (ipv4.totalLength(packet, 0) !== length) throw new Verdict(`a packet of ${length} bytes says ${ipv4.totalLength(packet, 0)}`);
    if (sum(packet, 0, ipv4.HEADER) !== 0xffff) throw new Verdict('bad IPv4 checksum');
    if (ipv4.ttl(packet, 0) !== 64) throw new Verdict(`TTL ${ipv4.ttl(packet, 0)}`);
    const payload = this.#whole(packet);
    if (payload === null) return null;
    const whole = { protocol: ipv4.protocol(packet, 0), source: ipv4.source(packet, 0), destination: ipv4.destination(packet, 0), payload };
    judgeAddresses(whole);
    if (whole.protocol === ipv4.PROTOCOL_TCP) judgeTcp(whole);
    else if (whole.protocol === ipv4.PROTOCOL_UDP) judgeUdp(whole);
    else if (whole.protocol === ipv4.PROTOCOL_ICMP) judgeIcmp(whole);
    else throw new Verdict(`protocol ${whole.protocol}`);
    return whole;
  }

  /** Fragments come in order, one datagram at a time for each identification. */
  #whole(packet: Uint8Array): Uint8Array | null {
    const word = ipv4.fragment(packet, 0);
    const offset = (word & ipv4.OFFSET_MASK) * 8;
    const piece = packet.subarray(ipv4.HEADER);
    const more = (word & ipv4.FLAG_MF) !== 0;
    if (offset === 0 && !more) return piece;
    if (word & ipv4.FLAG_DF) throw new Verdict("a fragment that says don't fragment");
    if (piece.length === 0 || (more && piece.length % 8 !== 0)) throw new Verdict(`a fragment of ${piece.length} bytes`);
    const key = `${ipv4.identification(packet, 0)},${ipv4.protocol(packet, 0)},${ipv4.source(packet, 0)}`;
    const before: Fragments | undefined = offset === 0 ? { pieces: [], length: 0 } : this.#fragments.get(key);
    if (before?.length !== offset) throw new Verdict(`a fragment at ${offset} behind ${before?.length}`);
    before.pieces.push(piece);
    before.length += piece.length;
    this.#fragments.set(key, before);
    if (more) return null;
    this.#fragments.delete(key);
    if (offset + piece.length + ipv4.HEADER > 65_535) throw new Verdict('a datagram of more than 64 KiB');
    return Buffer.concat(before.pieces);
  }
}

function judgeAddresses({ source, destination }: Packet): void {
  const first = source >>> 24;
  if (first === 0 || first === 127 || first >= 224) throw new Verdict(`source ${first}.x.x.x`);
  if (destination === 0) throw new Verdict('destination 0.0.0.0');
}

function judgeChecksum({ protocol, source, destination, payload }: Packet): void {
  if (sum(payload, 0, payload.length, pseudoIpv4(source, destination, protocol, payload.length)) !== 0xffff) {
    throw new Verdict(`bad checksum, protocol ${protocol}`);
  }
}

/** What comes from a host is what hosts send. */
function judgeOrigin({ source }: Packet, data: Uint8Array): void {
  if (source === GATEWAY) return;
  for (const byte of data) if ((byte & 0xf0) !== HOST_TAG) throw new Verdict(`byte ${byte} from a host that did not send it`);
}

const NEVER_TOGETHER = [tcp.SYN | tcp.FIN, tcp.SYN | tcp.RST, tcp.FIN | tcp.RST];

function judgeTcp(packet: Packet): void {
  const { payload } = packet;
  if (payload.length < tcp.HEADER) throw new Verdict(`a TCP segment of ${payload.length} bytes`);
  judgeChecksum(packet);
  const header = tcp.headerLength(payload, 0);
  if (header < tcp.HEADER || header > payload.length) throw new Verdict(`a TCP header of ${header} bytes`);
  const flags = tcp.flags(payload, 0);
  if (NEVER_TOGETHER.some((both) => (flags & both) === both)) throw new Verdict(`TCP flags ${flags}`);
  if ((flags & (tcp.SYN | tcp.RST | tcp.ACK)) === 0) throw new Verdict(`TCP flags ${flags}`);
  if (flags & tcp.RST && payload.length > header) throw new Verdict('a reset with data');
  judgeOptions(payload, header);
  judgeOrigin(packet, payload.subarray(header));
}

function judgeOptions(payload: Uint8Array, header: number): void {
  for (let at = tcp.HEADER; at < header;) {
    const kind = payload[at]!;
    if (kind === 0) return;
    if (kind === 1) {
      at++;
      continue;
    }
    const length = payload[at + 1] ?? 0;
    if (length < 2 || at + length > header) throw new Verdict(`TCP option ${kind} of ${length} bytes`);
    at += length;
  }
}

function judgeUdp(packet: Packet): void {
  const { payload } = packet;
  if (payload.length < udp.HEADER || udp.length(payload, 0) !== payload.length) throw new Verdict('malformed UDP');
  if (u16(payload, 6) === 0) throw new Verdict('UDP without a checksum');
  judgeChecksum(packet);
  judgeOrigin(packet, payload.subarray(udp.HEADER));
}

/** Quoted bytes of an ICMP error, and those of an echo from the gateway, are the guest's own. */
function judgeIcmp(packet: Packet): void {
  const { payload } = packet;
  if (payload.length < icmp.HEADER) throw new Verdict('malformed ICMP');
  if (sum(payload, 0, payload.length) !== 0xffff) throw new Verdict('bad ICMP checksum');
  const type = icmp.type(payload, 0);
  if (type === icmp.ECHO_REPLY) return judgeOrigin(packet, payload.subarray(icmp.HEADER));
  if (type !== icmp.UNREACHABLE && type !== icmp.TIME_EXCEEDED) throw new Verdict(`ICMP type ${type}`);
  const quoted = payload.subarray(icmp.HEADER);
  if (quoted.length < ipv4.HEADER || quoted.length > 576 - ipv4.HEADER - icmp.HEADER)
    throw new Verdict(`an error that quotes ${quoted.length} bytes`);
}
