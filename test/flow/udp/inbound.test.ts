import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { InboundPort } from '../../../src/flow/udp/inbound.ts';
import type { Neighbour } from '../../../src/gateway/neighbour.ts';
import type { DatagramListener, DatagramPeer, DatagramSenders, EndpointHandler, Spans } from '../../../src/host/endpoint.ts';
import { ReportKind } from '../../../src/gateway/guest-report.ts';
import { guestReport } from '../reports.ts';
import { IpAddress } from '../../../src/packet/address.ts';
import * as ipv4 from '../../../src/packet/ipv4.ts';
import * as udp from '../../../src/packet/udp.ts';
import { EAGAIN, ENETUNREACH, ENOMEM } from '../../../src/system/errno.ts';
import { FakePort } from '../../fake-port.ts';
import { Bench } from './bench.ts';
import { addressOf, headers, speaksIpv6, ipHeader, sourceOf, textOf } from './speak.ts';

const PER_FORWARD = 2048;

/** Clients have addresses of the version that is spoken, unless they are written as IPv6. */
function parse(text: string): IpAddress {
  return text.includes(':') ? IpAddress.parse(text)! : addressOf(text);
}

interface Incoming {
  readonly from: string;
  readonly port: number;
  readonly data: string | Buffer;
  readonly local?: string;
}

/** A host socket whose datagrams are written down here. */
class FakeListener implements DatagramListener {
  handler: EndpointHandler;
  readonly port = 5353;
  readonly incoming: Incoming[] = [];
  readonly sent: string[] = [];
  closed = false;
  errno = 0;
  readonly #bench: Bench;

  constructor(bench: Bench, handler: EndpointHandler) {
    this.#bench = bench;
    this.handler = handler;
  }

  receive(at: number, size: number, stride: number, count: number, lengths: Int32Array, senders: DatagramSenders): number {
    if (this.errno !== 0) {
      const { errno } = this;
      this.errno = 0;
      return -errno;
    }
    const batch = this.incoming.splice(0, count);
    batch.forEach(({ from, port, data, local }, i) => {
      const payload = Buffer.from(data).subarray(0, size);
      this.#bench.arena.bytes.set(payload, at + i * stride);
      lengths[i] = payload.length;
      const { w0, w1, w2, w3 } = parse(from);
      senders.address.set([w0, w1, w2, w3], i * 4);
      senders.port[i] = port;
      const own = local === undefined ? undefined : parse(local);
      senders.local.set(own === undefined ? [0, 0, 0, 0] : [own.w0, own.w1, own.w2, own.w3], i * 4);
    });
    return batch.length || -EAGAIN;
  }

  send(spans: Spans, peer: DatagramPeer): number {
    if (this.errno !== 0) return -this.errno;
    const to = textOf(new IpAddress(peer.remote0, peer.remote1, peer.remote2, peer.remote3));
    const from = peer.local3 === 0 ? '' : ` from ${textOf(new IpAddress(peer.local0, peer.local1, peer.local2, peer.local3))}`;
    for (let i = 0; i < spans.count; i++) {
      const data = Buffer.from(this.#bench.arena.bytes.subarray(spans.offset[i]!, spans.offset[i]! + spans.length[i]!));
      this.sent.push(`${data.toString()} to ${to}:${peer.remotePort}${from}`);
    }
    return spans.count;
  }

  close(): void {
    this.closed = true;
  }
}

/** A forwarded port to 192.168.127.2:53; clients of 203.0.113.0/24 are seen as they are, others as the gateway. */
class Forwarded {
  readonly bench: Bench;
  listener!: FakeListener;
  readonly port: InboundPort;
  /** Who waits for the guest's address; undefined: it is known. */
  waiting: ((neighbour: Neighbour | null) => void)[] | undefined;

  constructor(bench: Bench = new Bench(), known = true) {
    this.bench = bench;
    if (!known) this.waiting = [];
    const options = {
      address: addressOf('192.168.127.2'),
      port: 53,
      neighbours: {
        resolve: (_w0: number, _w1: number, _w2: number, _w3: number, done: (neighbour: Neighbour | null) => void): void => {
          if (this.waiting === undefined) done(bench.neighbour);
          else this.waiting.push(done);
        },
      },
      seenAs: (client: IpAddress): IpAddress => (client.w3 >>> 8 === 0xcb0071 ? client : addressOf('192.168.127.1')),
    };
    this.port = bench.engine.inbound.open(options, (handler) => (this.listener = new FakeListener(bench, handler)));
    bench.round();
  }

  hear(from: string, port: number, data: string | Buffer = 'x', local?: string): void {
    this.listener.incoming.push({ from, port, data, ...(local === undefined ? {} : { local }) });
  }

  round(): void {
    this.listener.handler.onReady(1);
    this.bench.round();
  }

  /** `source:port payload` of what the guest was sent. */
  frames(): string[] {
    return this.bench.port.take().map((frame) => {
      const header = 14 + ipHeader();
      assert.equal(udp.destinationPort(frame, header), 53);
      return `${sourceOf(frame)}:${udp.sourcePort(frame, header)} ${frame.subarray(headers()).toString()}`;
    });
  }
}

test('§10.2: a client has a conversation of its own, and its answers go back to it', () => {
  const forwarded = new Forwarded();
  forwarded.hear('203.0.113.7', 4000, 'one', '198.51.100.1');
  forwarded.hear('203.0.113.7', 4001, 'two');
  forwarded.hear('203.0.113.7', 4000, 'three', '198.51.100.2');
  forwarded.round();
  assert.deepEqual(forwarded.frames(), ['203.0.113.7:4000 one', '203.0.113.7:4001 two', '203.0.113.7:4000 three']);
  forwarded.bench.input('203.0.113.7', 4000, 'answer', { from: 53 });
  forwarded.bench.input('203.0.113.7', 4001, '', { from: 53 });
  forwarded.bench.round();
  // The host's address is the one that the client used last.
  assert.deepEqual(forwarded.listener.sent, ['answer to 203.0.113.7:4000 from 198.51.100.2', ' to 203.0.113.7:4001']);
  assert.equal(forwarded.bench.endpoints.length, 0);
});

test('a datagram over IPv6 that no packet of IPv4 can carry is dropped, the largest one is not', () => {
  const forwarded = new Forwarded();
  const { large, engine } = forwarded.bench;
  // IPv6 carries what a host can send.
  const [largest, dropped] = speaksIpv6() ? [65_527, 0] : [65_507, 1];
  if (!speaksIpv6()) forwarded.hear('2001:db8::1', 4000, Buffer.alloc(largest + 1));
  forwarded.round();
  assert.deepEqual([large.length, engine.counters.dropNoRoom], [0, dropped]);
  forwarded.hear('2001:db8::1', 4000, Buffer.alloc(largest));
  forwarded.round();
  assert.deepEqual([large.length, engine.counters.dropNoRoom], [1, dropped]);
});

test('§19 #634: a client that is seen as the gateway comes from a port of its own', () => {
  const forwarded = new Forwarded();
  forwarded.hear('127.0.0.1', 4000, 'a');
  forwarded.hear('127.0.0.1', 4001, 'b');
  forwarded.hear('127.0.0.1', 4000, 'c');
  forwarded.round();
  const seen = forwarded.frames().map((frame) => /^192\.168\.127\.1:(\d+) (.)$/.exec(frame)!);
  assert.deepEqual(
    seen.map(([, , data]) => data),
    ['a', 'b', 'c'],
  );
  const ports = seen.map(([, port]) => Number(port));
  assert.ok(ports[0] !== ports[1] && ports[0] === ports[2] && ports.every((port) => port >= 16_000), ports.join());
  forwarded.bench.send('192.168.127.1', ports[1]!, 'answer', { from: 53 });
  assert.deepEqual(forwarded.listener.sent, ['answer to 127.0.0.1:4001']);
});

test("a client whose address and port are those of the guest's own conversation comes from another port", () => {
  const forwarded = new Forwarded();
  forwarded.bench.send('203.0.113.7', 4000, 'mine', { from: 53 });
  forwarded.hear('203.0.113.7', 4000);
  forwarded.round();
  assert.match(forwarded.frames()[0]!, /^203\.0\.113\.7:(?!4000 )\d+ x$/);
  assert.deepEqual(forwarded.bench.endpoints[0]!.sent.map(String), ['mine']);
});

test('§10.2: 90 s without a datagram in either direction end a conversation', () => {
  const forwarded = new Forwarded();
  const { timers, engine } = forwarded.bench;
  forwarded.hear('203.0.113.7', 4000);
  forwarded.round();
  timers.advance(80_000);
  forwarded.bench.send('203.0.113.7', 4000, 'answer', { from: 53 });
  timers.advance(160_000);
  forwarded.hear('203.0.113.7', 4000);
  forwarded.round();
  timers.advance(249_000);
  assert.deepEqual([engine.size, forwarded.port.size], [1, 1]);
  timers.advance(251_000);
  assert.deepEqual([engine.size, forwarded.port.size, forwarded.bench.neighbour.flows], [0, 0, 0]);
  assert.equal(engine.counters.timedOut, 1);
});

test('a port has so many clients, and those heard from once make room for others', () => {
  const forwarded = new Forwarded();
  for (let port = 1; port <= PER_FORWARD; port++) forwarded.hear('203.0.113.7', port);
  forwarded.hear('203.0.113.7', 1, 'again');
  forwarded.round();
  assert.equal(forwarded.port.size, PER_FORWARD);
  for (let port = 1; port <= 500; port++) forwarded.hear('203.0.113.8', port);
  forwarded.round();
  assert.equal(forwarded.port.size, PER_FORWARD);
  assert.equal(forwarded.bench.engine.counters.evicted, 500);
  assert.equal(forwarded.bench.engine.size, PER_FORWARD);
  const left = new Set([...forwarded.bench.engine].map((flow) => `${flow.remote3 & 0xff}:${flow.remotePort}`));
  assert.deepEqual(
    [left.has('7:1'), left.has('7:2'), left.has('7:501'), left.has('7:502'), left.has('8:500')],
    [true, false, false, true, true],
  );
});

test('while the guest has no room its datagrams wait in the socket', () => {
  const forwarded = new Forwarded();
  const { port, engine } = forwarded.bench;
  forwarded.hear('203.0.113.7', 1, 'first');
  forwarded.round();
  port.full = true;
  forwarded.hear('203.0.113.7', 1, 'second');
  forwarded.round();
  assert.equal(forwarded.listener.incoming.length, 1);
  port.full = false;
  engine.drained(new FakePort(forwarded.bench.arena, 9));
  forwarded.bench.round();
  assert.equal(forwarded.listener.incoming.length, 1);
  engine.drained(port);
  forwarded.bench.round();
  assert.deepEqual(forwarded.frames(), ['203.0.113.7:1 first', '203.0.113.7:1 second']);
  assert.equal(engine.counters.dropNoRoom, 0);
});

test('for a guest that is being looked for datagrams wait in the socket', () => {
  const forwarded = new Forwarded(new Bench(), false);
  forwarded.hear('203.0.113.7', 1, 'early');
  forwarded.round();
  forwarded.round();
  assert.deepEqual([forwarded.waiting!.length, forwarded.listener.incoming.length], [1, 1]);
  forwarded.waiting!.pop()!(forwarded.bench.neighbour);
  forwarded.bench.round();
  assert.deepEqual(forwarded.frames(), ['203.0.113.7:1 early']);
});

test('what came for a guest that is not there is thrown away, and what comes later looks for it again', () => {
  const forwarded = new Forwarded(new Bench(), false);
  for (let i = 0; i < 200; i++) forwarded.hear('203.0.113.7', 1, 'stale');
  forwarded.round();
  forwarded.waiting!.pop()!(null);
  forwarded.bench.round();
  assert.deepEqual([forwarded.listener.incoming.length, forwarded.bench.engine.counters.dropNobody], [0, 200]);
  assert.equal(forwarded.waiting!.length, 0);
  forwarded.hear('203.0.113.7', 1, 'late');
  forwarded.round();
  forwarded.waiting!.pop()!(forwarded.bench.neighbour);
  forwarded.bench.round();
  assert.deepEqual(forwarded.frames(), ['203.0.113.7:1 late']);
});

test('a guest that goes takes its conversations along, and its port waits for the next', () => {
  const forwarded = new Forwarded();
  const { neighbour, engine, port } = forwarded.bench;
  forwarded.hear('203.0.113.7', 1);
  forwarded.round();
  port.full = true;
  forwarded.hear('203.0.113.7', 1, 'waits');
  forwarded.round();
  neighbour.port = null;
  const waiting: ((neighbour: Neighbour | null) => void)[] = [];
  forwarded.waiting = waiting;
  engine.detached();
  forwarded.bench.round();
  assert.deepEqual([engine.size, forwarded.port.size, waiting.length], [0, 0, 1]);
  port.full = false;
  neighbour.port = port;
  waiting.pop()!(neighbour);
  forwarded.bench.round();
  assert.deepEqual(forwarded.frames(), ['203.0.113.7:1 x', '203.0.113.7:1 waits']);
});

test("a guest's port unreachable ends the conversation; the client's next datagram begins another", () => {
  const forwarded = new Forwarded();
  const { engine } = forwarded.bench;
  forwarded.hear('203.0.113.7', 4000);
  forwarded.round();
  engine.report(
    guestReport({
      kind: ReportKind.PORT_UNREACHABLE,
      protocol: ipv4.PROTOCOL_UDP,
      source: addressOf('203.0.113.7').toString(),
      destination: addressOf('192.168.127.2').toString(),
      sourcePort: 4000,
      destinationPort: 53,
    }),
  );
  assert.deepEqual([engine.counters.closedByGuest, engine.size, forwarded.port.size], [1, 0, 0]);
  forwarded.hear('203.0.113.7', 4000);
  forwarded.round();
  assert.equal(engine.counters.openedFromHost, 2);
});

test('closing ends the conversations and the socket, once', () => {
  const forwarded = new Forwarded();
  forwarded.hear('203.0.113.7', 1);
  forwarded.hear('203.0.113.7', 2);
  forwarded.round();
  forwarded.hear('203.0.113.7', 3);
  forwarded.listener.handler.onReady(1);
  forwarded.port.close();
  forwarded.port.close();
  forwarded.bench.round();
  assert.deepEqual([forwarded.bench.engine.size, forwarded.listener.closed, forwarded.listener.incoming.length], [0, true, 1]);
});

test('errors of the socket are counted, and the next datagram goes', () => {
  const forwarded = new Forwarded();
  forwarded.listener.errno = ENOMEM;
  forwarded.hear('203.0.113.7', 1);
  forwarded.round();
  assert.deepEqual(forwarded.frames(), ['203.0.113.7:1 x']);
  assert.equal(forwarded.bench.engine.counters.dropHostError, 1);
  // Where the client was is no network any more: the guest is told, and the conversation ends.
  forwarded.listener.errno = ENETUNREACH;
  forwarded.bench.send('203.0.113.7', 1, 'answer', { from: 53 });
  assert.deepEqual([forwarded.bench.unreachable, forwarded.port.size], [[0], 0]);
});

test('a datagram from port 0 is dropped', () => {
  const forwarded = new Forwarded();
  forwarded.hear('203.0.113.7', 0);
  forwarded.round();
  assert.deepEqual([forwarded.frames(), forwarded.port.size], [[], 0]);
});
