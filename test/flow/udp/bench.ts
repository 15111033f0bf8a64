/**
 * A test bench for the UDP engine: scripted exchanges on a manual clock, without sockets.
 *
 *     bench.send(to, port, data)       a datagram of the guest; the engine's batch and pump run
 *     bench.answerWith(endpoint, …)    the host's peer answers; frames are in bench.port.take()
 */
import { FlowPolicy } from '../../../src/flow/policy.ts';
import type { UdpGateway } from '../../../src/flow/udp/context.ts';
import { UdpEngine } from '../../../src/flow/udp/engine.ts';
import type { Neighbour } from '../../../src/gateway/neighbour.ts';
import { InboundPacket } from '../../../src/gateway/packet.ts';
import type { DatagramEndpoint, DatagramReport, EndpointHandler, HostNetwork, Spans } from '../../../src/host/endpoint.ts';
import { IpAddress, parseIpv4 } from '../../../src/packet/address.ts';
import { sum } from '../../../src/packet/checksum.ts';
import * as ipv4 from '../../../src/packet/ipv4.ts';
import * as udp from '../../../src/packet/udp.ts';
import { Arena } from '../../../src/runtime/arena.ts';
import { SeededRandom } from '../../../src/runtime/clock.ts';
import { TimerWheel } from '../../../src/runtime/timer-wheel.ts';
import { EAGAIN, ECONNREFUSED } from '../../../src/system/errno.ts';
import { FakePort } from '../../fake-port.ts';
import { addressOf, describe, guestAt, ipHeader, loopback, textOf } from './speak.ts';

export function address(text: string): number {
  return parseIpv4(text)!;
}

export class FakeDatagram implements DatagramEndpoint {
  handler: EndpointHandler;
  readonly sent: Buffer[] = [];
  calls = 0;
  readonly incoming: Buffer[] = [];
  refusals = 0;
  /** What the next sends answer, first to last: datagrams taken, or a negative errno. Afterwards everything is taken. */
  readonly script: number[] = [];
  receiveError = 0;
  /** What the error queue holds; the text is the quoted payload. */
  readonly reports: (Omit<Partial<DatagramReport>, 'offender'> & { offender?: number; quoted?: string })[] = [];
  /** What the socket was told, in order: `df on`, `hops 3`. */
  readonly settings: string[] = [];
  /** The error stays. */
  broken = false;
  closed = false;
  readonly arena: Arena;

  constructor(arena: Arena, handler: EndpointHandler) {
    this.arena = arena;
    this.handler = handler;
  }

  send(spans: Spans): number {
    this.calls++;
    if (this.refusals > 0) {
      this.refusals--;
      return -ECONNREFUSED;
    }
    const taken = this.script.shift() ?? spans.count;
    for (let i = 0; i < taken; i++)
      this.sent.push(Buffer.from(this.arena.bytes.subarray(spans.offset[i]!, spans.offset[i]! + spans.length[i]!)));
    return taken;
  }

  receive(at: number, size: number, stride: number, count: number, lengths: Int32Array): number {
    if (this.receiveError !== 0) {
      const error = this.receiveError;
      if (!this.broken) this.receiveError = 0;
      return -error;
    }
    const batch = this.incoming.splice(0, count);
    batch.forEach((datagram, i) => {
      this.arena.bytes.set(datagram.subarray(0, size), at + i * stride);
      lengths[i] = Math.min(datagram.length, size);
    });
    return batch.length || -EAGAIN;
  }

  nextReport(report: DatagramReport, at: number, size: number): boolean {
    const next = this.reports.shift();
    if (next === undefined) return false;
    const { quoted = '', offender, ...rest } = next;
    const payload = Buffer.from(quoted).subarray(0, size);
    this.arena.bytes.set(payload, at);
    Object.assign(report, { errno: 0, type: -1, code: 0, mtu: 0, length: payload.length, ...rest });
    report.offender = !offender ? null : IpAddress.v4(offender);
    return true;
  }

  dontFragment(on: boolean): void {
    this.settings.push(`df ${on ? 'on' : 'off'}`);
  }

  limitHops(hops: number): void {
    this.settings.push(`hops ${hops}`);
  }

  close(): void {
    this.closed = true;
  }
}

export interface InputOptions {
  from?: number;
  length?: number;
  source?: string;
  df?: boolean;
  ttl?: number;
}

export interface BenchOptions {
  /** Instead of the fake host. */
  host?: (arena: Arena) => HostNetwork;
  /** Instead of keeping what goes to the fragmenter in `large`. */
  sendIpv4?: (arena: Arena) => UdpGateway['sendIpv4'];
  sendIpv6?: (arena: Arena) => UdpGateway['sendIpv6'];
}

export class Bench {
  readonly arena: Arena = new Arena(64 << 20);
  readonly timers: TimerWheel = new TimerWheel(0);
  readonly port: FakePort = new FakePort(this.arena);
  readonly neighbour: Neighbour = guestAt('192.168.127.2');
  readonly endpoints: FakeDatagram[] = [];
  readonly targets: string[] = [];
  readonly unreachable: number[] = [];
  readonly relayed: { type: number; code: number; mtu: number; from: string; quoted: Buffer }[] = [];
  readonly large: { destination: number; length: number; data: Buffer; macHi: number }[] = [];
  readonly policy: FlowPolicy = new FlowPolicy({
    nat: [[addressOf('192.168.127.254'), IpAddress.parse(loopback())!]],
    allowLinkLocal: false,
  });
  readonly engine: UdpEngine;
  answer = 0;
  readonly #at: number = this.arena.allocate(1 << 20);
  #offset = 0;

  /** `maxFlows`: what the bench's VM may have while it is alone, half of the engine's. */
  constructor(maxFlows = 8192, options: BenchOptions = {}) {
    const { arena } = this;
    this.neighbour.port = this.port;
    const host = {
      openDatagram: (target: IpAddress, port: number, local: number, handler: EndpointHandler): DatagramEndpoint | number => {
        this.targets.push(`${textOf(target)}:${port} from ${local}`);
        if (this.answer < 0) return this.answer;
        const endpoint = new FakeDatagram(arena, handler);
        this.endpoints.push(endpoint);
        return endpoint;
      },
    } as unknown as HostNetwork;
    this.engine = new UdpEngine(
      {
        arena,
        sum: (at, length, initial) => sum(arena.bytes, at, length, initial),
        timers: this.timers,
        random: new SeededRandom(5),
        host: options.host?.(arena) ?? host,
        policy: this.policy,
        maxFlows: 2 * maxFlows,
        gateway: {
          macHi: 0x5a94,
          macLo: 0xefe40cdd | 0,
          mtu: 1480 + ipHeader(),
          sourceFor: () => addressOf('192.168.127.1'),
          isOutside: ({ w3 }) => w3 >>> 24 !== 127 && w3 >>> 24 !== 192,
          isLocal: ({ w3 }) => w3 === address('192.168.127.1'),
          icmp: {
            unreachable: (_packet, code) => void this.unreachable.push(code),
            relay: (packet, type, code, mtu, from) => {
              const quoted = Buffer.from(packet.bytes.subarray(packet.header, packet.end));
              this.relayed.push({ type, code, mtu, from: from === null ? 'gateway' : textOf(from), quoted });
            },
          },
          sendIpv6:
            options.sendIpv6?.(arena) ??
            ((to, _s0, _s1, _s2, _s3, _d0, _d1, _d2, destination, _protocol, at, length) => {
              this.large.push({ destination, length, data: Buffer.from(arena.bytes.subarray(at, at + length)), macHi: to.macHi });
              return true;
            }),
          sendIpv4:
            options.sendIpv4?.(arena) ??
            ((to, _source, destination, _protocol, at, length) => {
              this.large.push({ destination, length, data: Buffer.from(arena.bytes.subarray(at, at + length)), macHi: to.macHi });
              return true;
            }),
        },
      },
      () => {},
    );
  }

  /** A datagram of the guest within a batch; `length` overrides the UDP length field. */
  input(to: string, port: number, data: string | Buffer, options: InputOptions = {}): void {
    const payload = Buffer.from(data);
    const at = this.#at + this.#offset + ipHeader();
    const { bytes } = this.arena;
    udp.write(bytes, at, options.from ?? 5000, port, options.length ?? udp.HEADER + payload.length);
    bytes.set(payload, at + udp.HEADER);
    const packet = new InboundPacket();
    packet.bytes = bytes;
    packet.port = this.port;
    packet.neighbour = this.neighbour;
    packet.payload = at;
    packet.end = at + udp.HEADER + payload.length;
    packet.protocol = ipv4.PROTOCOL_UDP;
    packet.ttl = options.ttl ?? 64;
    describe(packet, addressOf(options.source ?? '192.168.127.2'), addressOf(to), options.df !== false);
    this.#offset += 84 + payload.length;
    this.engine.input(packet);
  }

  round(): void {
    this.engine.endOfBatch();
    this.arena.bytes.fill(0xa5, this.#at, this.#at + this.#offset);
    this.#offset = 0;
    while (this.engine.pump());
  }

  send(to: string, port: number, data: string | Buffer, options: InputOptions = {}): void {
    this.input(to, port, data, options);
    this.round();
  }

  answerWith(endpoint: FakeDatagram, ...datagrams: (string | Buffer)[]): void {
    endpoint.incoming.push(...datagrams.map((data) => Buffer.from(data)));
    endpoint.handler.onReady(1);
    this.round();
  }
}
