/**
 * A test bench for the TCP engine: scripted exchanges on a manual clock, without sockets.
 *
 *     bench.guest({ flags: SYN, seq: 1000 })      the guest sends a segment; the engine's batch and pump run
 *     bench.expect({ flags: SYN | ACK, ack: 1001 }) the next frame to the guest; checksums are verified
 *     bench.silence()                             nothing more was sent
 */
import assert from 'node:assert/strict';
import { Neighbour } from '../../../src/gateway/neighbour.ts';
import { InboundPacket } from '../../../src/gateway/packet.ts';
import { formatIpv4, IpAddress, parseIpv4 } from '../../../src/packet/address.ts';
import { setU16 } from '../../../src/packet/bytes.ts';
import { pseudoIpv4, sum } from '../../../src/packet/checksum.ts';
import * as ethernet from '../../../src/packet/ethernet.ts';
import * as ipv4 from '../../../src/packet/ipv4.ts';
import * as tcp from '../../../src/packet/tcp.ts';
import { TcpOptions, writeSack, writeSynOptions } from '../../../src/packet/tcp-options.ts';
import { Arena } from '../../../src/runtime/arena.ts';
import { SeededRandom } from '../../../src/runtime/clock.ts';
import { TimerWheel } from '../../../src/runtime/timer-wheel.ts';
import { type TcpCounters, type TcpLimits } from '../../../src/flow/tcp/context.ts';
import { TcpEngine } from '../../../src/flow/tcp/engine.ts';
import { FlowPolicy } from '../../../src/flow/policy.ts';
import { FakePort, type FakePortOptions } from '../../fake-port.ts';
import { FakeHost, FakeStream } from './fake-host.ts';

export const { FIN, SYN, RST, PSH, ACK, URG } = tcp;

const [GUEST, GATEWAY, HOST, LOOPBACK] = ['192.168.127.2', '192.168.127.1', '192.168.127.254', '127.0.0.1'] as const;

let ipv6 = false;

/**
 * From now on benches speak IPv6, by the addresses of IPv4 behind fd00::/96. MTUs are larger by as much as headers are, so that
 * segments have the same sizes.
 */
export function speakIpv6(): void {
  ipv6 = true;
}

/** The address that stands for one of IPv4. */
export function addressOf(text: string): IpAddress {
  const word = parseIpv4(text)!;
  return ipv6 ? new IpAddress(0xfd000000, 0, 0, word) : IpAddress.v4(word);
}

/** What a guest takes that says nothing of its MSS (RFC 9293 §3.7.1). */
export function defaultMss(): number {
  return ipv6 ? 1220 : 536;
}

/** Addresses that guests can't connect to, as far as engines know them: of IPv6 the gateway refuses the others. */
export function blockedAddresses(): readonly string[] {
  return ipv6 ? [] : ['169.254.169.254', '127.0.0.1', '0.0.0.1', '224.0.0.1'];
}

function ipHeader(): number {
  return ipv6 ? 40 : 20;
}

/** What the guest sends; the bench fills in sequence numbers from what it knows when they are left out. */
export interface GuestSegment {
  flags?: number;
  seq?: number;
  ack?: number;
  window?: number;
  data?: string | Buffer;
  /** The urgent pointer. */
  urgent?: number;
  /** SYN options: defaults to mss 1460, window scale 0, SACK permitted. False sends none. */
  options?: { mss?: number; scale?: number; sack?: boolean } | false;
  sack?: [left: number, right: number][];
  guestPort?: number;
  port?: number;
  to?: string;
}

export interface Sent {
  seq: number;
  ack: number;
  flags: number;
  window: number;
  data: Buffer;
  options: TcpOptions;
  from: string;
  fromPort: number;
  toPort: number;
  /** Length of the Ethernet frame. */
  length: number;
}

/** `limits` are what the bench's VM, alone as it is, may have: half of the engine's connects, and all of a few flows. */
function forOneVm(limits: Partial<TcpLimits>): Partial<TcpLimits> {
  const { connecting } = limits;
  return { ...limits, ...(connecting && { connecting: 2 * connecting }) };
}

export interface BenchOptions {
  port?: FakePortOptions;
  mtu?: number;
  limits?: Partial<TcpLimits>;
  /** Bytes of the largest batch. */
  batch?: number;
  /** The engine's initial sequence number on the connection between the ports that are used when none are named. */
  iss?: number;
}

/** What the engine chooses at time 0; found when first asked for. */
let issAtZero: number | undefined;

/** The engine's clock when it would choose `iss`: RFC 6528's numbers follow the clock, 250 a millisecond. */
function timeOfIss(iss: number): number {
  if (issAtZero === undefined) {
    const bench = new Bench();
    bench.guest({ flags: SYN });
    issAtZero = bench.next().seq;
  }
  return (((iss - issAtZero) >>> 0) + 0.5) / 250;
}

export class Bench {
  readonly arena: Arena = new Arena(64 << 20);
  readonly timers: TimerWheel;
  readonly host: FakeHost = new FakeHost(this.arena);
  readonly port: FakePort;
  readonly neighbour: Neighbour;
  readonly policy: FlowPolicy = new FlowPolicy({ nat: [[addressOf(HOST), addressOf(LOOPBACK)]], allowLinkLocal: false });
  readonly engine: TcpEngine;
  /** ICMP codes of unreachables sent to the guest. */
  readonly unreachable: number[] = [];
  /** Next sequence number of the guest, and what it has received: kept up by `guest` and `expect`. */
  seq = 1000;
  ack = 0;
  #now: number;
  /** While true, rounds are those of one turn. */
  turnGoesOn = false;
  readonly #packet: InboundPacket = new InboundPacket();
  readonly #receive: number;
  /** Bytes of the largest batch. */
  readonly #batch: number;
  /** Where the next segment goes: each has a place of its own until the batch ends. */
  #offset = 0;

  constructor(options: BenchOptions = {}) {
    this.#now = options.iss === undefined ? 0 : timeOfIss(options.iss);
    this.timers = new TimerWheel(this.#now);
    this.#batch = options.batch ?? 1 << 17;
    this.#receive = this.arena.allocate(this.#batch);
    this.port = new FakePort(this.arena, 0, options.port);
    const { w0, w1, w2, w3 } = addressOf(GUEST);
    this.neighbour = new Neighbour(w0, w1, w2, w3);
    this.neighbour.port = this.port;
    this.neighbour.macHi = 0x5a94;
    this.neighbour.macLo = 0xefe40cee | 0;
    this.engine = new TcpEngine(
      {
        arena: this.arena,
        sum: (at, length, initial) => sum(this.arena.bytes, at, length, initial),
        gateway: {
          macHi: 0x5a94,
          macLo: 0xefe40cdd | 0,
          mtu: (options.mtu ?? 1500) + ipHeader() - 20,
          isLocal: (address) => address.equals(addressOf(GATEWAY)),
          icmp: { unreachable: (_packet, code) => void this.unreachable.push(code) },
        },
        timers: this.timers,
        random: new SeededRandom(7),
        host: this.host,
        policy: this.policy,
        ...(options.limits && { limits: forOneVm(options.limits) }),
      },
      () => {},
    );
  }

  get counters(): TcpCounters {
    return this.engine.counters;
  }

  get stream(): FakeStream {
    return this.host.streams.at(-1)!;
  }

  /** The guest sends one segment, and the round ends. */
  guest(segment: GuestSegment): void {
    this.input(segment);
    this.round();
  }

  /** The guest sends one segment within a batch. */
  input(segment: GuestSegment): void {
    const { bytes } = this.arena;
    const data = Buffer.from(segment.data ?? '');
    const flags = segment.flags ?? ACK;
    const at = this.#receive + this.#offset + ipHeader();
    const options = this.#writeOptions(at + tcp.HEADER, flags, segment);
    const header = tcp.HEADER + options;
    const seq = segment.seq ?? this.seq;
    tcp.write(
      bytes,
      at,
      segment.guestPort ?? 40000,
      segment.port ?? 80,
      seq,
      segment.ack ?? this.ack,
      header,
      flags,
      segment.window ?? 65535,
    );
    bytes.set(data, at + header);
    setU16(bytes, at + 18, segment.urgent ?? 0);
    if (segment.seq === undefined) this.seq = (seq + data.length + (flags & SYN ? 1 : 0) + (flags & FIN)) | 0;
    this.raw(at, header + data.length, segment.to);
  }

  #writeOptions(at: number, flags: number, segment: GuestSegment): number {
    if (segment.options === false) return 0;
    const { bytes } = this.arena;
    if (flags & SYN) {
      const { mss = 1460, scale = 0, sack = true } = segment.options ?? {};
      return writeSynOptions(bytes, at, mss, scale, sack);
    }
    const blocks = segment.sack ?? [];
    const left = Int32Array.from(blocks, ([from]) => from);
    const right = Int32Array.from(blocks, ([, to]) => to);
    return writeSack(bytes, at, blocks.length, left, right);
  }

  /** `length` bytes of TCP at arena offset `at`, as the gateway would hand them in. */
  raw(at: number, length: number, to = '192.168.127.254'): void {
    const packet = this.#packet;
    packet.bytes = this.arena.bytes;
    packet.port = this.port;
    packet.neighbour = this.neighbour;
    packet.header = at - ipHeader();
    packet.payload = at;
    packet.end = at + length;
    packet.protocol = ipv4.PROTOCOL_TCP;
    const [source, destination] = [addressOf(GUEST), addressOf(to)];
    packet.version = ipv6 ? 6 : 4;
    [packet.source0, packet.source1, packet.source2, packet.source3] = [source.w0, source.w1, source.w2, source.w3];
    [packet.destination0, packet.destination1] = [destination.w0, destination.w1];
    [packet.destination2, packet.destination3] = [destination.w2, destination.w3];
    this.engine.input(packet);
    this.#offset += length + 128;
    assert.ok(this.#offset + ipHeader() <= this.#batch, 'the batch is larger than the bench has room for');
  }

  /** Ends the batch and runs the pump until nothing is left to do. */
  round(): void {
    this.engine.endOfBatch();
    this.arena.bytes.fill(0xa5, this.#receive, this.#receive + this.#offset);
    this.#offset = 0;
    while (this.engine.pump());
    if (!this.turnGoesOn) this.engine.endOfTurn(true);
  }

  /** Time passes, from one tick with a timer to the next; a round now and after each. */
  at(ms: number): void {
    assert.ok(ms >= this.#now, 'time runs forward');
    this.round();
    while (this.#now < ms) {
      this.#now = Math.min(this.#now + Math.max(4, this.timers.untilNext()), ms);
      this.timers.advance(this.#now);
      this.round();
    }
  }

  /** The machine was asleep: the clock jumps, and everything that is due comes at once. */
  leap(ms: number): void {
    this.#now += ms;
    this.timers.advance(this.#now);
    this.round();
  }

  later(ms: number): void {
    this.at(this.#now + ms);
  }

  /** Takes the next frame to the guest; verifies lengths and checksums. */
  next(): Sent {
    const frame = this.port.frames.shift();
    assert.ok(frame, 'the guest was sent nothing');
    return decode(frame);
  }

  /** The next frame has these fields; `data` is compared as text. Keeps `ack` up with what the guest has seen in order. */
  expect(want: { flags?: number; seq?: number; ack?: number; data?: string; window?: number; length?: number }): Sent {
    const sent = this.next();
    if (want.flags !== undefined) assert.equal(names(sent.flags), names(want.flags));
    if (want.seq !== undefined) assert.equal(sent.seq, want.seq | 0, 'sequence number');
    if (want.ack !== undefined) assert.equal(sent.ack, want.ack | 0, 'acknowledgment number');
    if (want.window !== undefined) assert.equal(sent.window, want.window, 'window');
    if (want.data !== undefined) assert.equal(sent.data.toString(), want.data);
    if (want.length !== undefined) assert.equal(sent.data.length, want.length, 'payload length');
    if (sent.flags & SYN) this.ack = (sent.seq + 1) | 0;
    else if (sent.seq === this.ack) this.ack = (sent.seq + sent.data.length + (sent.flags & FIN)) | 0;
    return sent;
  }

  silence(): void {
    const left = this.port.frames.map((frame) => describe(decode(frame)));
    assert.deepEqual(left, [], 'nothing more is sent');
  }

  /** All frames that wait. */
  drain(): Sent[] {
    return this.port.frames.splice(0).map(decode);
  }

  /** A host side that is connected asks for the guest's port 40000: the engine sends its SYN. */
  fromHost(): FakeStream {
    const stream = new FakeStream(this.arena);
    this.host.streams.push(stream);
    const remote = addressOf(HOST);
    assert.ok(this.engine.connect(this.neighbour, 40000, remote, 80, stream) !== null);
    return stream;
  }

  /** The VM's link is gone. */
  detach(): void {
    this.neighbour.port = null;
    this.engine.detached();
    this.round();
  }

  /** The VM's link has room again. */
  drained(): void {
    this.port.full = false;
    this.engine.drained(this.port);
    this.round();
  }

  /** A connection opened by the guest. `scale` is the guest's. Returns the host's side. */
  connected(options: { mss?: number; scale?: number; sack?: boolean; window?: number } = {}): FakeStream {
    const { window = 65535, ...syn } = options;
    this.guest({ flags: SYN, options: syn, window });
    this.expect({ flags: SYN | ACK, ack: this.seq });
    this.guest({ window });
    this.silence();
    return this.stream;
  }
}

/** Fields of a frame to the guest. */
export function decode(frame: Buffer): Sent {
  const ip = ethernet.HEADER;
  const at = ip + ipHeader();
  const length = frame.length - at;
  if (ipv6) judgeIpv6(frame, ip, length);
  else judgeIpv4(frame, ip, length);
  const header = tcp.headerLength(frame, at);
  const options = new TcpOptions();
  options.read(frame, at + tcp.HEADER, at + header);
  return {
    seq: tcp.sequence(frame, at),
    ack: tcp.acknowledgment(frame, at),
    flags: tcp.flags(frame, at),
    window: tcp.window(frame, at),
    data: frame.subarray(at + header),
    options,
    // Of IPv6 the last word: that of the address which it stands for.
    from: formatIpv4(frame.readInt32BE(ipv6 ? ip + 20 : ip + 12)),
    fromPort: tcp.sourcePort(frame, at),
    toPort: tcp.destinationPort(frame, at),
    length: frame.length,
  };
}

function judgeIpv4(frame: Buffer, ip: number, length: number): void {
  assert.equal(ethernet.type(frame, 0), ethernet.TYPE_IPV4);
  assert.equal(sum(frame, ip, ipv4.HEADER), 0xffff, 'IPv4 checksum');
  assert.equal(ipv4.totalLength(frame, ip), frame.length - ip, 'IPv4 length');
  const pseudo = pseudoIpv4(ipv4.source(frame, ip), ipv4.destination(frame, ip), ipv4.PROTOCOL_TCP, length);
  assert.equal(sum(frame, ip + ipv4.HEADER, length, pseudo), 0xffff, 'TCP checksum');
}

function judgeIpv6(frame: Buffer, ip: number, length: number): void {
  assert.equal(ethernet.type(frame, 0), ethernet.TYPE_IPV6);
  assert.equal(frame.toString('hex', ip, ip + 4), '60000000');
  assert.deepEqual([frame.readUInt16BE(ip + 4), frame[ip + 6], frame[ip + 7]], [length, ipv4.PROTOCOL_TCP, 64], 'IPv6 header');
  assert.equal(frame.toString('hex', ip + 8, ip + 20), 'fd0000000000000000000000');
  // Both addresses, length and protocol: the pseudo header is what stands there.
  assert.equal(sum(frame, ip + 8, 32 + length, length + ipv4.PROTOCOL_TCP), 0xffff, 'TCP checksum');
}

export function names(flags: number): string {
  return ['FIN', 'SYN', 'RST', 'PSH', 'ACK', 'URG'].filter((_, bit) => flags & (1 << bit)).join(' ');
}

function describe(sent: Sent): string {
  return `${names(sent.flags)} seq ${sent.seq} ack ${sent.ack} window ${sent.window} ${sent.data.length} bytes`;
}
