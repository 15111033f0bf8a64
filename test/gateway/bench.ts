/** A gateway with one fake port, on a manual clock: frames in, frames out. */
import { Gateway } from '../../src/gateway/gateway.ts';
import type { Ipv6Options } from '../../src/gateway/ipv6-gateway.ts';
import type { InboundPacket } from '../../src/gateway/packet.ts';
import { parseIpv4 } from '../../src/packet/address.ts';
import { finish, sum } from '../../src/packet/checksum.ts';
import * as ethernet from '../../src/packet/ethernet.ts';
import * as icmp from '../../src/packet/icmpv4.ts';
import * as ipv4 from '../../src/packet/ipv4.ts';
import { parseMac } from '../../src/packet/mac.ts';
import { Arena } from '../../src/runtime/arena.ts';
import { SeededRandom } from '../../src/runtime/clock.ts';
import { TimerWheel } from '../../src/runtime/timer-wheel.ts';
import { FakePort } from '../fake-port.ts';

export const GUEST_MAC = '5a94efe40cee';
export const GATEWAY_MAC = '5a94efe40cdd';

export function address(text: string): number {
  return parseIpv4(text)!;
}

export class GatewayBench {
  readonly arena: Arena = new Arena(64 << 20);
  readonly timers: TimerWheel = new TimerWheel(0);
  readonly port: FakePort = new FakePort(this.arena);
  readonly broadcasts: Buffer[] = [];
  /** Payloads that reached TCP and UDP, with the reassembled flag. */
  readonly delivered: { protocol: number; payload: Buffer; reassembled: boolean }[] = [];
  readonly gateway: Gateway;
  /** While true, the frames that come in are of one batch. */
  inBatch = false;
  readonly #at: number;

  constructor(mtu = 1500, ipv6?: Ipv6Options) {
    this.gateway = new Gateway({
      arena: this.arena,
      sum: (at, length, initial) => sum(this.arena.bytes, at, length, initial),
      timers: this.timers,
      random: new SeededRandom(3),
      mac: parseMac('5a:94:ef:e4:0c:dd')!,
      address: address('192.168.127.1'),
      subnet: address('192.168.127.0'),
      mask: address('255.255.255.0'),
      virtualAddresses: [address('192.168.127.254')],
      mtu,
      ...(ipv6 && { ipv6 }),
    });
    this.gateway.connect({
      broadcast: (_from, at, length) => void this.broadcasts.push(Buffer.from(this.arena.bytes.subarray(at, at + length))),
    });
    const transport = {
      input: (packet: InboundPacket): void => {
        const payload = Buffer.from(packet.bytes.subarray(packet.payload, packet.end));
        this.delivered.push({ protocol: packet.protocol, payload, reassembled: packet.reassembled });
      },
    };
    this.gateway.transport(ipv4.PROTOCOL_TCP, transport);
    this.gateway.transport(ipv4.PROTOCOL_UDP, transport);
    this.#at = this.arena.allocate(1 << 18);
  }

  /** A frame from the guest, its surroundings poisoned. */
  input(frame: Uint8Array, port: FakePort = this.port): void {
    this.arena.bytes.fill(0xa5, this.#at, this.#at + frame.length + 200);
    this.arena.bytes.set(frame, this.#at + 100);
    this.gateway.input(port, this.#at + 100, frame.length);
    if (!this.inBatch) this.gateway.endOfBatch();
  }

  /** Everything that was refused, whatever the reason. */
  get refused(): number {
    const { dropShort, dropVersion, dropHeaderLength, dropTotalLength, dropSource, dropDestination } = this.gateway.counters;
    return dropShort + dropVersion + dropHeaderLength + dropTotalLength + dropSource + dropDestination;
  }
}

export interface Ipv4Fields {
  source?: string;
  destination?: string;
  protocol?: number;
  id?: number;
  /** Flags and offset. */
  fragment?: number;
  payload?: Uint8Array;
  /** Bytes behind the packet. */
  padding?: number;
}

/** A frame with an IPv4 packet from the guest. */
export function ipFrame(fields: Ipv4Fields): Buffer {
  const payload = fields.payload ?? Buffer.alloc(20);
  const frame = Buffer.alloc(ethernet.HEADER + ipv4.HEADER + payload.length + (fields.padding ?? 0));
  frame.write(GATEWAY_MAC + GUEST_MAC, 'hex');
  frame.writeUInt16BE(ethernet.TYPE_IPV4, 12);
  const { source = '192.168.127.2', destination = '10.0.0.1', protocol = ipv4.PROTOCOL_UDP, id = 1, fragment = 0 } = fields;
  ipv4.write(frame, 14, ipv4.HEADER + payload.length, id, fragment, 64, protocol, address(source), address(destination));
  frame.set(payload, 34);
  return frame;
}

export function echoRequest(payload: Uint8Array, identifier = 7, sequence = 1): Buffer {
  const message = Buffer.alloc(icmp.HEADER + payload.length);
  icmp.write(message, 0, icmp.ECHO_REQUEST, 0, (identifier << 16) | sequence);
  message.set(payload, icmp.HEADER);
  icmp.setChecksum(message, 0, finish(sum(message, 0, message.length)));
  return message;
}
