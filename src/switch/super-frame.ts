/**
 * A frame that isn't one yet: its checksum is to be completed, and it may stand for several (virtio 1.3 §5.1.6).
 *
 *     0 ─ Ethernet, VLAN tags ─ network ─ IPv4 or IPv6 ─ transport ─ TCP or UDP ─ payload ─ data … length
 *
 * What its header says is believed only as far as the frame itself bears it out: a hostile VM wrote both.
 */
import { u16 } from '../packet/bytes.ts';
import * as ethernet from '../packet/ethernet.ts';
import * as ipv4 from '../packet/ipv4.ts';
import * as ipv6 from '../packet/ipv6.ts';
import * as tcp from '../packet/tcp.ts';
import * as udp from '../packet/udp.ts';
import * as vnet from '../packet/vnet-header.ts';

const VLAN_TAG = 4;
const VLAN_TAGS = 2;

const IPV6_OPTIONS = 4;

export const TCP_CHECKSUM = 16;
export const UDP_CHECKSUM = 6;

/** Frames that one may stand for. At more the headers would cost more than the data: 64 KiB in segments of one byte are 4 MB. */
export const SEGMENT_LIMIT = 512;

/** Where everything lies in one frame, in bytes from its beginning. Filled for one frame at a time and reused. */
export class SuperFrame {
  length = 0;
  network = 0;
  isIpv6 = false;
  transport = 0;
  isUdp = false;
  payload = 0;
  /** Bytes of data in each segment; 0: a single frame, of which only the checksum is open. */
  size = 0;
  segments = 1;
  /** Where the checksum begins, and its field behind that. */
  checksumStart = 0;
  checksumOffset = 0;

  /** Reads the virtio-net header at `at - 12` and the frame behind it. False when they can't be meant together. */
  describe(bytes: Uint8Array, at: number, length: number): boolean {
    const header = at - vnet.VNET_HEADER;
    const type = vnet.gsoType(bytes, header);
    this.length = length;
    this.size = 0;
    this.segments = 1;
    this.checksumStart = vnet.checksumStart(bytes, header);
    this.checksumOffset = vnet.checksumOffset(bytes, header);
    if (type === vnet.GSO_NONE) return true;
    if (!this.locate(bytes, at, length) || this.checksumStart !== this.transport) return false;
    if (this.isUdp !== (type === vnet.GSO_UDP_L4) || (!this.isUdp && this.isIpv6 !== (type === vnet.GSO_TCPV6))) return false;
    this.checksumOffset = this.isUdp ? UDP_CHECKSUM : TCP_CHECKSUM;
    return this.cut(bytes, at, vnet.gsoSize(bytes, header));
  }

  /** Segments of `size` bytes each. False for what nobody sends in segments, and for more segments than there may be. */
  cut(bytes: Uint8Array, at: number, size: number): boolean {
    if (!this.isUdp && (tcp.flags(bytes, at + this.transport) & (tcp.SYN | tcp.RST)) !== 0) return false;
    this.size = size;
    this.segments = Math.max(1, Math.ceil((this.length - this.payload) / size));
    return this.segments <= SEGMENT_LIMIT;
  }

  /** Finds the headers of a whole TCP or UDP packet that fills the frame. */
  locate(bytes: Uint8Array, at: number, length: number): boolean {
    this.length = length;
    let network = ethernet.HEADER;
    let type = ethernet.type(bytes, at);
    for (let tags = 0; tags < VLAN_TAGS && (type === ethernet.TYPE_VLAN || type === ethernet.TYPE_SERVICE_VLAN); tags++) {
      network += VLAN_TAG;
      if (network > length) return false;
      type = u16(bytes, at + network - 2);
    }
    this.network = network;
    this.isIpv6 = type === ethernet.TYPE_IPV6;
    if (!this.isIpv6) return type === ethernet.TYPE_IPV4 && this.#locateIpv4(bytes, at);
    return this.#locateIpv6(bytes, at);
  }

  #locateIpv4(bytes: Uint8Array, at: number): boolean {
    const { network, length } = this;
    const header = at + network;
    if (network + ipv4.HEADER > length || ipv4.version(bytes, header) !== 4) return false;
    const headerLength = ipv4.headerLength(bytes, header);
    if (headerLength < ipv4.HEADER || network + ipv4.totalLength(bytes, header) !== length) return false;
    if ((ipv4.fragment(bytes, header) & (ipv4.FLAG_MF | ipv4.OFFSET_MASK)) !== 0) return false;
    return this.#locateTransport(bytes, at, network + headerLength, ipv4.protocol(bytes, header));
  }

  #locateIpv6(bytes: Uint8Array, at: number): boolean {
    const { network, length } = this;
    if (network + ipv6.HEADER > length || network + ipv6.HEADER + u16(bytes, at + network + 4) !== length) return false;
    if (bytes[at + network]! >>> 4 !== 6) return false;
    let next = bytes[at + network + 6]!;
    let transport = network + ipv6.HEADER;
    for (let i = 0; i < IPV6_OPTIONS && (next === ipv6.HOP_BY_HOP || next === ipv6.DESTINATION_OPTIONS); i++) {
      if (transport + 8 > length) return false;
      next = bytes[at + transport]!;
      transport += 8 + bytes[at + transport + 1]! * 8;
    }
    return this.#locateTransport(bytes, at, transport, next);
  }

  #locateTransport(bytes: Uint8Array, at: number, transport: number, protocol: number): boolean {
    const { length } = this;
    this.transport = transport;
    this.isUdp = protocol === ipv4.PROTOCOL_UDP;
    if (this.isUdp) {
      this.payload = transport + udp.HEADER;
      return this.payload <= length;
    }
    if (protocol !== ipv4.PROTOCOL_TCP || transport + tcp.HEADER > length) return false;
    const headerLength = tcp.headerLength(bytes, at + transport);
    this.payload = transport + headerLength;
    return headerLength >= tcp.HEADER && this.payload <= length;
  }
}
