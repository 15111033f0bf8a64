/** A DnsServer with scripted resolvers, a manual clock and dns-packet as the judge of its bytes. */
import { type DecodedPacket, decode, encode, type Packet, type RecordType } from 'dns-packet';
import { ManualClock, SeededRandom } from '../../../src/runtime/clock.ts';
import { Arena } from '../../../src/runtime/arena.ts';
import { TimerWheel } from '../../../src/runtime/timer-wheel.ts';
import type { DnsZone } from '../../../src/network-options.ts';
import { Forwarder } from '../../../src/service/dns/forwarder.ts';
import { type HostNames, parseHosts } from '../../../src/service/dns/host-files.ts';
import { DnsServer } from '../../../src/service/dns/server.ts';
import type { Upstream } from '../../../src/service/dns/upstream.ts';
import { Zones } from '../../../src/service/dns/zones.ts';
import { FakePort } from '../../fake-port.ts';

const ARENA = new Arena(4 << 20);
export const VM: FakePort = new FakePort(ARENA, 0);
export const OTHER: FakePort = new FakePort(ARENA, 1);

export const CONTAINERS: DnsZone = {
  name: 'containers.internal.',
  records: [
    { name: 'gateway', ip: '192.168.127.1' },
    { name: 'host', ip: '192.168.127.254' },
  ],
};

export interface Asked {
  readonly server: string;
  readonly overTcp: boolean;
  readonly bytes: Uint8Array;
  readonly message: DecodedPacket;
  readonly accept: (answer: Uint8Array) => boolean;
  resolve(answer: Uint8Array): void;
  reject(error: Error): void;
}

/** Keeps what it is asked until the test answers; `script` answers at once. */
export class FakeUpstream implements Upstream {
  readonly asked: Asked[] = [];
  script: ((asked: Asked) => Uint8Array | undefined) | null = null;

  askUdp(server: string, bytes: Uint8Array, timeout: number, accept: (answer: Uint8Array) => boolean): Promise<Uint8Array> {
    return this.#ask(server, bytes, timeout, accept, false);
  }

  askTcp(server: string, bytes: Uint8Array, timeout: number, accept: (answer: Uint8Array) => boolean): Promise<Uint8Array> {
    return this.#ask(server, bytes, timeout, accept, true);
  }

  #ask(server: string, bytes: Uint8Array, timeout: number, accept: (answer: Uint8Array) => boolean, overTcp: boolean): Promise<Uint8Array> {
    if (timeout !== 2500) throw new Error(`timeout of ${timeout} ms`);
    return new Promise((resolve, reject) => {
      const asked = { server, overTcp, bytes, message: decode(Buffer.from(bytes)), accept, resolve, reject };
      this.asked.push(asked);
      if (this.script === null) return;
      const answer = this.script(asked);
      if (answer !== undefined && accept(answer)) resolve(answer);
      else reject(new Error('no answer'));
    });
  }
}

export class DnsBench {
  readonly upstream: FakeUpstream = new FakeUpstream();
  readonly timers: TimerWheel = new TimerWheel(0);
  readonly zones: Zones;
  readonly forwarder: Forwarder;
  readonly server: DnsServer;
  servers: string[] = ['192.0.2.53'];
  hosts: HostNames = parseHosts('');

  constructor(zones: readonly DnsZone[] = [CONTAINERS]) {
    this.zones = new Zones(zones);
    this.timers.between = { clock: new ManualClock(), armed: () => {} };
    this.forwarder = new Forwarder(this.upstream, () => this.servers, new SeededRandom(7));
    this.server = new DnsServer({
      zones: this.zones,
      hosts: () => this.hosts,
      forwarder: this.forwarder,
      timers: this.timers,
      processorTime: () => performance.now(),
    });
  }

  async ask(name: string, type: RecordType = 'A', overTcp = false, vm = VM): Promise<DecodedPacket> {
    const answer = await this.server.answer(query(name, type), overTcp, vm);
    if (answer === undefined) throw new Error('not answered');
    return decode(Buffer.from(answer));
  }

  /** IPv4 addresses, or the response code when it isn't NOERROR. */
  async addresses(name: string, vm = VM): Promise<string[] | string> {
    const { rcode, answers = [] } = (await this.ask(name, 'A', false, vm)) as DecodedPacket & { rcode: string };
    return rcode === 'NOERROR' ? answers.flatMap((answer) => (answer.type === 'A' ? [answer.data] : [])) : rcode;
  }
}

export function query(name: string, type: RecordType = 'A', more: Packet = {}): Uint8Array {
  return encode({ type: 'query', id: 0x4242, flags: 0x100, questions: [{ type, name }], ...more });
}

/** `count` A records for what was asked. */
export function answerTo(message: DecodedPacket, count = 1, flags = 0x180): Uint8Array {
  const { name } = message.questions![0]!;
  const answers = Array.from({ length: count }, (_, i) => ({ type: 'A' as const, name, ttl: 60, data: `203.0.${i >> 8}.${i & 255}` }));
  return encode({ type: 'response', id: message.id!, flags, questions: message.questions!, answers });
}

/** Lets promises settle. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
