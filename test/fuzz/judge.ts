/**
 * What a frame for a VM must be, whatever was sent: lengths that agree, good checksums, addresses that make sense, nobody
 * else's bytes. Throws Verdict.
 */
import * as arp from '../../src/packet/arp.ts';
import { u16 } from '../../src/packet/bytes.ts';
import { IpAddress } from '../../src/packet/address.ts';
import { pseudoIpv4, pseudoIpv6, sum } from '../../src/packet/checksum.ts';
import * as ethernet from '../../src/packet/ethernet.ts';
import * as icmp from '../../src/packet/icmpv4.ts';
import * as ipv4 from '../../src/packet/ipv4.ts';
import * as tcp from '../../src/packet/tcp.ts';
import * as udp from '../../src/packet/udp.ts';
import { PROTOCOL_ICMPV6 } from '../../src/packet/ipv6.ts';
import * as icmpv6 from '../../src/packet/icmpv6.ts';
import { GATEWAY6, linkLocalOf } from './addresses6.ts';
import { judgeForeign, judgeRouter } from './judge-foreign.ts';
import { judgeIcmp6, Reader6 } from './judge6.ts';
import { HOST_TAG } from './memory-host.ts';
import { Fragments, type Packet, Verdict } from './verdict.ts';
import { GATEWAY, GATEWAY_MAC, type World } from './world.ts';

const OURS: readonly IpAddress[] = [IpAddress.v4(GATEWAY), GATEWAY6, linkLocalOf(GATEWAY_MAC)];

/** What there may be in a world. */
export type Judged = Pick<World, 'mtu'> & Partial<Pick<World, 'ipv6' | 'isolation' | 'guard'>>;

/** Judges what one VM is sent; puts fragments together. */
export class Judge {
  readonly #mtu: number;
  readonly #fragments: Fragments = new Fragments();
  /** Null: nothing of IPv6 may come. */
  readonly #reader6: Reader6 | null;
  readonly #isolation: boolean;
  readonly #guarded: boolean;

  constructor({ mtu, ipv6 = false, isolation = false, guard = 'mac' }: Judged) {
    this.#mtu = mtu;
    this.#reader6 = ipv6 ? new Reader6(mtu) : null;
    this.#isolation = isolation;
    this.#guarded = guard === 'lease';
  }

  /** The packet, once it is whole; null for ARP, for fragments, and for frames that other VMs have sent. */
  frame(bytes: Uint8Array, at: number, length: number): Packet | null {
    if (length < ethernet.HEADER) throw new Verdict(`a frame of ${length} bytes`);
    const isOurs =
      ethernet.macHi(bytes, at, ethernet.SOURCE) === GATEWAY_MAC.hi && ethernet.macLo(bytes, at, ethernet.SOURCE) === GATEWAY_MAC.lo;
    if (!isOurs) {
      // The switch passes on what another VM has sent, as it is.
      if (this.#isolation) throw new Verdict('a frame of another VM, where they are kept apart');
      if (this.#guarded) judgeForeign(bytes.slice(at, at + length));
      else if (this.#reader6 !== null) judgeRouter(bytes.slice(at, at + length));
      return null;
    }
    const type = ethernet.type(bytes, at);
    const packet = bytes.slice(at + ethernet.HEADER, at + length);
    if (type === ethernet.TYPE_ARP) return this.#arp(packet);
    if (type === ethernet.TYPE_IPV6 && this.#reader6 !== null) return judged(this.#reader6.read(packet));
    if (type !== ethernet.TYPE_IPV4) throw new Verdict(`ethertype ${type}`);
    return judged(this.#ipv4(packet));
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
    const [source, destination] = [ipv4.source(packet, 0), ipv4.destination(packet, 0)];
    judgeAddresses(source, destination);
    return { protocol: ipv4.protocol(packet, 0), source: IpAddress.v4(source), destination: IpAddress.v4(destination), payload };
  }

  #whole(packet: Uint8Array): Uint8Array | null {
    const word = ipv4.fragment(packet, 0);
    const offset = (word & ipv4.OFFSET_MASK) * 8;
    const piece = packet.subarray(ipv4.HEADER);
    const more = (word & ipv4.FLAG_MF) !== 0;
    if (offset === 0 && !more) return piece;
    if (word & ipv4.FLAG_DF) throw new Verdict("a fragment that says don't fragment");
    const key = `${ipv4.identification(packet, 0)},${ipv4.protocol(packet, 0)},${ipv4.source(packet, 0)}`;
    const whole = this.#fragments.take(key, piece, offset, more);
    if (whole !== null && whole.length + ipv4.HEADER > 65_535) throw new Verdict('a datagram of more than 64 KiB');
    return whole;
  }
}

function judged(packet: Packet | null): Packet | null {
  if (packet === null) return null;
  const { protocol, source } = packet;
  if (protocol === ipv4.PROTOCOL_TCP) judgeTcp(packet);
  else if (protocol === ipv4.PROTOCOL_UDP) judgeUdp(packet);
  else if (protocol === ipv4.PROTOCOL_ICMP && source.isIpv4) judgeIcmp(packet);
  else if (protocol === PROTOCOL_ICMPV6 && !source.isIpv4) judgeIcmpv6(packet);
  else throw new Verdict(`protocol ${protocol}`);
  return packet;
}

function judgeAddresses(source: number, destination: number): void {
  const first = source >>> 24;
  if (first === 0 || first === 127 || first >= 224) throw new Verdict(`source ${first}.x.x.x`);
  if (destination === 0) throw new Verdict('destination 0.0.0.0');
}

function judgeChecksum({ protocol, source: s, destination: d, payload }: Packet): void {
  const { length } = payload;
  const pseudo = s.isIpv4
    ? pseudoIpv4(s.w3, d.w3, protocol, length)
    : pseudoIpv6(s.w0, s.w1, s.w2, s.w3, d.w0, d.w1, d.w2, d.w3, protocol, length);
  if (sum(payload, 0, length, pseudo) !== 0xffff) {
    throw new Verdict(`bad checksum, protocol ${protocol}`);
  }
}

/** What comes from a host is what hosts send. */
function judgeOrigin({ source }: Packet, data: Uint8Array): void {
  if (OURS.some((address) => address.equals(source))) return;
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

function judgeIcmpv6(packet: Packet): void {
  judgeChecksum(packet);
  if (packet.payload[0] === icmpv6.ECHO_REPLY) judgeOrigin(packet, packet.payload.subarray(icmpv6.HEADER));
  else judgeIcmp6(packet);
}
