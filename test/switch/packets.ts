/** TCP and UDP packets put together the plain way, with every length and checksum worked out from the whole: the reference for what is cut. */
import { sum } from '../../src/packet/checksum.ts';

export interface Packet {
  /** In bytes: destination, source, VLAN tags. */
  readonly ethernet: Buffer;
  readonly isIpv6: boolean;
  /** IPv4 options, or IPv6 destination options, a multiple of 8 bytes. */
  readonly options: Buffer;
  readonly identification: number;
  readonly addresses: Buffer;
  readonly isUdp: boolean;
  /** Ports. */
  readonly ports: Buffer;
  readonly sequence: number;
  readonly flags: number;
  /** TCP options, a multiple of 4 bytes. */
  readonly tcpOptions: Buffer;
  readonly data: Buffer;
}

/** Bytes of all headers. */
export function headersOf(packet: Packet): number {
  const { ethernet, isIpv6, options, isUdp, tcpOptions } = packet;
  return ethernet.length + 2 + (isIpv6 ? 40 : 20) + options.length + (isUdp ? 8 : 20 + tcpOptions.length);
}

export function transportOf({ ethernet, isIpv6, options }: Packet): number {
  return ethernet.length + 2 + (isIpv6 ? 40 : 20) + options.length;
}

/** The whole frame. `partial`: its checksum field holds the sum of the pseudo header only. */
export function frameOf(packet: Packet, partial = false): Buffer {
  const transport = packet.isUdp ? udpHeader(packet) : tcpHeader(packet);
  const body = Buffer.concat([transport, packet.data]);
  const field = packet.isUdp ? 6 : 16;
  const length = Buffer.alloc(8);
  length.writeUInt32BE(body.length);
  length[7] = packet.isUdp ? 17 : 6;
  const pseudo = Buffer.concat([packet.addresses, length]);
  if (partial) body.writeUInt16BE(sum(pseudo, 0, pseudo.length), field);
  else {
    const all = Buffer.concat([pseudo, body]);
    const value = ~sum(all, 0, all.length) & 0xffff;
    body.writeUInt16BE(packet.isUdp && value === 0 ? 0xffff : value, field);
  }
  return Buffer.concat([packet.ethernet, packet.isIpv6 ? ipv6Header(packet, body.length) : ipv4Header(packet, body.length), body]);
}

function ipv4Header({ options, identification, addresses, isUdp }: Packet, length: number): Buffer {
  const header = Buffer.concat([Buffer.alloc(14), addresses, options]);
  header.writeUInt16BE(0x0800, 0);
  header[2] = 0x40 | ((header.length - 2) / 4);
  header.writeUInt16BE(header.length - 2 + length, 4);
  header.writeUInt16BE(identification, 6);
  header.writeUInt16BE(0x4000, 8);
  header[10] = 64;
  header[11] = isUdp ? 17 : 6;
  header.writeUInt16BE(~sum(header, 2, header.length - 2) & 0xffff, 12);
  return header;
}

function ipv6Header({ options, addresses, isUdp }: Packet, length: number): Buffer {
  const header = Buffer.concat([Buffer.alloc(10), addresses, options]);
  const transport = isUdp ? 17 : 6;
  header.writeUInt16BE(0x86dd, 0);
  header[2] = 0x60;
  header.writeUInt16BE(options.length + length, 6);
  header[8] = options.length > 0 ? 60 : transport;
  header[9] = 64;
  if (options.length > 0) {
    header[42] = transport;
    header[43] = options.length / 8 - 1;
    // PadN over what is left.
    header.fill(0, 44);
    header[44] = 1;
    header[45] = options.length - 4;
  }
  return header;
}

function tcpHeader({ ports, sequence, flags, tcpOptions }: Packet): Buffer {
  const header = Buffer.concat([ports, Buffer.alloc(16), tcpOptions]);
  header.writeUInt32BE(sequence >>> 0, 4);
  header.writeUInt32BE(0x01020304, 8);
  header[12] = (header.length / 4) << 4;
  header[13] = flags;
  header.writeUInt16BE(0x1234, 14);
  return header;
}

function udpHeader({ ports, data }: Packet): Buffer {
  const header = Buffer.concat([ports, Buffer.alloc(4)]);
  header.writeUInt16BE(8 + data.length, 4);
  return header;
}

/** What a network card makes of a super frame with `size` bytes of data in each segment. */
export function segmentsOf(packet: Packet, size: number): Buffer[] {
  const count = Math.max(1, Math.ceil(packet.data.length / size));
  return Array.from({ length: count }, (_, i) => {
    const last = i === count - 1;
    const flags = packet.flags & (last ? 0xff : ~0x09) & (i === 0 ? 0xff : ~0x80);
    const data = packet.data.subarray(i * size, (i + 1) * size);
    return frameOf({ ...packet, data, flags, sequence: packet.sequence + i * size, identification: (packet.identification + i) & 0xffff });
  });
}
