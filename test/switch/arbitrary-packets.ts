/** Packets of all kinds that a network card may be left to cut. */
import fc from 'fast-check';
import * as vnet from '../../src/packet/vnet-header.ts';
import { headersOf, type Packet, transportOf } from './packets.ts';

export const SOURCE = '020000000001';
export const DESTINATION = '020000000002';

/** The virtio-net header that makes a super frame of a packet; `size` 0: only its checksum is open. */
export function headerOf(packet: Packet, size: number): Buffer {
  const header = Buffer.alloc(vnet.VNET_HEADER);
  const type = size === 0 ? vnet.GSO_NONE : packet.isUdp ? vnet.GSO_UDP_L4 : packet.isIpv6 ? vnet.GSO_TCPV6 : vnet.GSO_TCPV4;
  vnet.write(header, 0, type, headersOf(packet), size, transportOf(packet), packet.isUdp ? 6 : 16);
  return header;
}

export const bytes = (length: number): fc.Arbitrary<Buffer> =>
  fc.uint8Array({ minLength: length, maxLength: length }).map((a) => Buffer.from(a));

/** Random data of `length` bytes, from a seed: as an array of numbers it would take longer than the test. */
export function dataOf(length: number, seed: number): Buffer {
  const data = Buffer.alloc(length);
  let state = seed | 1;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) | 0;
    data[i] = state >>> 16;
  }
  return data;
}

export const packets: fc.Arbitrary<Packet> = fc
  .record({
    isIpv6: fc.boolean(),
    isUdp: fc.boolean(),
    tags: fc.nat(2),
    optionWords: fc.nat(2),
    tcpWords: fc.nat(10),
    length: fc.nat(20_000),
    seed: fc.integer(),
  })
  .chain(({ isIpv6, isUdp, tags, optionWords, tcpWords, length, seed }) =>
    fc.record({
      ethernet: fc.constant(Buffer.from(DESTINATION + SOURCE + '81000064'.repeat(tags), 'hex')),
      isIpv6: fc.constant(isIpv6),
      options: isIpv6 ? bytes(optionWords * 8) : fc.constant(Buffer.alloc(optionWords * 8, 1)),
      identification: fc.integer({ min: 0, max: 65_535 }),
      addresses: bytes(isIpv6 ? 32 : 8),
      isUdp: fc.constant(isUdp),
      ports: bytes(4),
      sequence: fc.integer(),
      // Any but SYN and RST.
      flags: fc.nat(255).map((flags) => flags & ~6),
      tcpOptions: isUdp ? fc.constant(Buffer.alloc(0)) : bytes(tcpWords * 4),
      data: fc.constant(dataOf(length, seed)),
    }),
  );
