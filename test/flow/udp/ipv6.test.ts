/** UDP and pings over IPv6, through a whole gateway: frames of a guest in, frames to it out. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EchoForwarder } from '../../../src/flow/echo.ts';
import { FlowPolicy } from '../../../src/flow/policy.ts';
import { UdpEngine } from '../../../src/flow/udp/engine.ts';
import { type EndpointHandler, HANGUP, type HostNetwork, type PingEndpoint } from '../../../src/host/endpoint.ts';
import { IpAddress } from '../../../src/packet/address.ts';
import { finish, pseudoIpv6, sum } from '../../../src/packet/checksum.ts';
import { SeededRandom } from '../../../src/runtime/clock.ts';
import { EACCES, EAGAIN, ECONNREFUSED, EHOSTUNREACH, EMSGSIZE, ENETUNREACH } from '../../../src/system/errno.ts';
import {
  Bench6,
  type Fields6,
  frame6,
  GATEWAY,
  GUEST,
  GUEST_LOCAL,
  HOST,
  icmp6,
  OUTSIDE,
  type Packet6,
  ROUTER,
} from '../../gateway/bench6.ts';
import { FakeDatagram } from './bench.ts';

class World extends Bench6 {
  readonly engine: UdpEngine;
  readonly echo: EchoForwarder;
  readonly endpoints: FakeDatagram[] = [];
  readonly targets: string[] = [];
  readonly pings: FakePing[] = [];
  /** What opening a socket answers instead. */
  refusal = 0;

  constructor() {
    super();
    const { arena, timers, gateway } = this;
    const host = {
      openDatagram: (target: IpAddress, port: number, _local: number, handler: EndpointHandler) => {
        this.targets.push(`${target.toString()} ${port}`);
        if (this.refusal !== 0) return this.refusal;
        this.endpoints.push(new FakeDatagram(arena, handler));
        return this.endpoints.at(-1)!;
      },
      openPing: (target: IpAddress, handler: EndpointHandler) => {
        this.targets.push(target.toString());
        if (this.refusal !== 0) return this.refusal;
        this.pings.push(new FakePing(this, handler));
        return this.pings.at(-1)!;
      },
    } as unknown as HostNetwork;
    const policy = new FlowPolicy({ nat: [[IpAddress.parse(HOST)!, IpAddress.parse('::1')!]], allowLinkLocal: false });
    const plain = (at: number, length: number, initial: number): number => sum(arena.bytes, at, length, initial);
    const shared = { arena, timers, gateway, host, policy, sum: plain, random: new SeededRandom(5) };
    this.engine = new UdpEngine(shared, () => {});
    this.echo = new EchoForwarder(shared, () => {});
    gateway.transport(17, this.engine);
    this.ipv6.icmpInput.echo = this.echo;
    gateway.onBatch(() => this.engine.endOfBatch());
    gateway.onReport((report) => this.engine.report(report));
  }

  /** A datagram of the guest. */
  send(destination: string, port: number, data: string | Buffer, fields: Fields6 = {}): void {
    const payload = Buffer.concat([Buffer.alloc(8), Buffer.from(data)]);
    payload.writeUInt16BE(5000, 0);
    payload.writeUInt16BE(port, 2);
    payload.writeUInt16BE(payload.length, 4);
    this.input(frame6({ ...fields, destination, payload }));
    this.pump();
  }

  pump(): void {
    while (this.engine.pump());
    while (this.echo.pump());
  }

  /** The socket has something. */
  ready(endpoint: { handler: EndpointHandler }, events = 1): void {
    endpoint.handler.onReady(events);
    this.pump();
  }
}

class FakePing implements PingEndpoint {
  handler: EndpointHandler;
  sequence = 0;
  readonly replies: { sequence: number; payload: Buffer }[] = [];
  readonly world: World;

  constructor(world: World, handler: EndpointHandler) {
    this.world = world;
    this.handler = handler;
  }

  send(sequence: number, offset: number, length: number): number {
    this.replies.push({ sequence, payload: Buffer.from(this.world.arena.bytes.subarray(offset, offset + length)) });
    return 0;
  }

  receive(at: number, size: number): number {
    const reply = this.replies.shift();
    if (reply === undefined) return -EAGAIN;
    this.sequence = reply.sequence;
    const taken = reply.payload.subarray(0, size);
    this.world.arena.bytes.set(taken, at);
    return taken.length;
  }

  close(): void {}
}

function shown({ source, destination, next, payload }: Packet6): string {
  if (next === 58) return `${payload[0]}/${payload[1]} ${payload.readUInt32BE(4)} from ${source}`;
  return `${source}:${payload.readUInt16BE(0)} > ${destination}:${payload.readUInt16BE(2)} ${payload.toString('latin1', 8)}`;
}

test('a conversation leaves by a socket to the translated address, and its answers come from what the guest asked for', () => {
  const world = new World();
  world.send(HOST, 53, 'question');
  world.send(OUTSIDE, 9, '');
  assert.deepEqual(world.targets, ['::1 53', `${OUTSIDE} 9`]);
  const [first, second] = world.endpoints;
  assert.deepEqual([first!.sent.map(String), second!.sent.map(String)], [['question'], ['']]);
  first!.incoming.push(Buffer.from('answer'), Buffer.alloc(0));
  world.ready(first!);
  assert.deepEqual(world.answers().map(shown), [`${HOST}:53 > ${GUEST}:5000 answer`, `${HOST}:53 > ${GUEST}:5000 `]);
  // The guest's next one is of the same conversation.
  world.send(HOST, 53, 'more');
  assert.equal(world.endpoints.length, 2);
});

test('an answer larger than the MTU comes in fragments whose whole has the right checksum', () => {
  const world = new World();
  world.send(OUTSIDE, 9, 'x');
  const data = Buffer.from(Array.from({ length: 5000 }, (_, i) => i % 251));
  world.endpoints[0]!.incoming.push(data);
  world.ready(world.endpoints[0]!);
  const pieces = world.answers();
  assert.deepEqual(
    pieces.map(({ next, payload }) => [next, payload.length <= 1460, payload[3]! & 1]),
    [
      [44, true, 1],
      [44, true, 1],
      [44, true, 1],
      [44, true, 0],
    ],
  );
  const whole = Buffer.concat(pieces.map(({ payload }) => payload.subarray(8)));
  assert.deepEqual(whole.subarray(8), data);
  const [from, to] = [IpAddress.parse(OUTSIDE)!, IpAddress.parse(GUEST)!];
  const pseudo = pseudoIpv6(from.w0, from.w1, from.w2, from.w3, to.w0, to.w1, to.w2, to.w3, 17, whole.length);
  assert.equal(finish(sum(whole, 0, whole.length, pseudo)), 0);
});

/** What has come in fragments, headers of the transport included. */
function whole(packets: Packet6[]): Buffer {
  return Buffer.concat(packets.map(({ payload }) => payload.subarray(8)));
}

test('datagrams and pings as large as IPv6 carries come whole', () => {
  const world = new World();
  const data = Buffer.from(Array.from({ length: 65_527 }, (_, i) => i % 251));
  world.send(OUTSIDE, 9, 'x');
  world.endpoints[0]!.incoming.push(data);
  world.ready(world.endpoints[0]!);
  assert.ok(whole(world.answers()).subarray(8).equals(data));
  world.input(icmp6(128, Buffer.from('00070001', 'hex'), { destination: OUTSIDE }));
  world.pump();
  world.answers();
  world.pings[0]!.replies.push({ sequence: 2, payload: data });
  world.ready(world.pings[0]!);
  assert.ok(whole(world.answers()).subarray(8).equals(data));
});

test('a host without IPv6 is told of at once, and so is what else is refused', () => {
  for (const [errno, told] of [
    [ENETUNREACH, '1/0'],
    [EHOSTUNREACH, '1/3'],
    [ECONNREFUSED, '1/4'],
    [EACCES, '1/1'],
  ] as const) {
    const world = new World();
    world.refusal = -errno;
    world.send(OUTSIDE, 9, 'what was sent');
    const [error] = world.answers();
    assert.equal(shown(error!), `${told} 0 from ${OUTSIDE}`);
    assert.equal(error!.payload.toString('latin1', 56), 'what was sent');
    world.input(icmp6(128, Buffer.from('00070001', 'hex'), { destination: OUTSIDE }));
    if (errno !== ECONNREFUSED) assert.equal(shown(world.answers()[0]!), `${told} 0 from ${OUTSIDE}`);
  }
});

test('a port of the gateway that nobody serves is closed', () => {
  const world = new World();
  world.send(GATEWAY, 9, 'x');
  assert.deepEqual(world.answers().map(shown), [`1/4 0 from ${GATEWAY}`]);
  assert.deepEqual(world.targets, []);
});

test("what the network reports is told about the guest's own datagram, from who said it", () => {
  const world = new World();
  world.send(HOST, 9, 'first');
  const [endpoint] = world.endpoints;
  const from = (offender: string | null, type: number, code: number, errno: number, mtu = 0): void => {
    const report = { errno, type, code, mtu, quoted: 'first' };
    // The fake's reports name who said it by a word of IPv4.
    endpoint!.nextReport = (into, at) => {
      endpoint!.nextReport = () => false;
      Object.assign(into, { ...report, offender: offender === null ? null : IpAddress.parse(offender)!, length: 5 });
      world.arena.bytes.set(Buffer.from('first'), at);
      return true;
    };
    world.ready(endpoint!, HANGUP);
  };
  from('::1', 1, 4, ECONNREFUSED);
  from('2001:db8::7', 1, 0, ENETUNREACH);
  from('2001:db8::7', 3, 0, EHOSTUNREACH);
  from('2001:db8::7', 2, 0, EMSGSIZE, 1280);
  from('fd01:2:3:4::77', 1, 3, EHOSTUNREACH);
  from(null, 1, 1, EACCES);
  from('2001:db8::7', 4, 1, ECONNREFUSED);
  assert.deepEqual(world.answers().map(shown), [
    `1/4 0 from ${HOST}`,
    '1/0 0 from 2001:db8::7',
    '3/0 0 from 2001:db8::7',
    '2/0 1280 from 2001:db8::7',
    `1/3 0 from ${GATEWAY}`,
    `1/1 0 from ${GATEWAY}`,
  ]);
  const { refused, unreachable, expired, dropTooLarge, dropHostError } = world.engine.counters;
  assert.deepEqual([refused, unreachable, expired, dropTooLarge, dropHostError], [1, 3, 1, 1, 1]);
});

test('a guest forbids fragments by not making them itself, and hears how large its datagrams may be', () => {
  const world = new World();
  world.send(OUTSIDE, 9, Buffer.alloc(1400));
  const [endpoint] = world.endpoints;
  assert.deepEqual(endpoint!.settings, ['df on']);
  endpoint!.script.push(-EMSGSIZE);
  endpoint!.reports.push({ errno: EMSGSIZE, mtu: 1300 });
  world.send(OUTSIDE, 9, Buffer.alloc(1400));
  const [told] = world.answers();
  assert.deepEqual([told!.payload[0], told!.payload[1], told!.payload.readUInt32BE(4)], [2, 0, 1300]);
  // What comes in fragments may leave in fragments.
  const half = Buffer.alloc(8);
  half[0] = 17;
  half.writeUInt16BE(1, 2);
  const head = Buffer.alloc(1208);
  head.writeUInt32BE((5000 << 16) | 9, 0);
  head.writeUInt16BE(2408, 4);
  world.input(frame6({ next: 44, payload: Buffer.concat([half, head]) }));
  half.writeUInt16BE(1208, 2);
  world.input(frame6({ next: 44, payload: Buffer.concat([half, Buffer.alloc(1200)]) }));
  assert.deepEqual(endpoint!.settings, ['df on', 'df off']);
  assert.equal(endpoint!.sent.at(-1)!.length, 2400);
  world.send(OUTSIDE, 9, 'near', { hops: 3 });
  assert.deepEqual(endpoint!.settings.at(-1), 'hops 3');
});

test("a guest's port unreachable ends the conversation", () => {
  const world = new World();
  world.send(OUTSIDE, 9, 'x');
  const answer = Buffer.alloc(12);
  answer.writeUInt32BE((9 << 16) | 5000);
  const quoted = frame6({ source: OUTSIDE, destination: GUEST, payload: answer }).subarray(14);
  world.input(icmp6(1, Buffer.concat([Buffer.alloc(4), quoted]), {}, 4));
  assert.deepEqual([world.engine.size, world.engine.counters.closedByGuest], [0, 1]);
});

test('services are asked at every address of the gateway, and answer from the one that was asked', () => {
  const world = new World();
  const heard: string[] = [];
  world.engine.listen(53, (payload, { address }, reply) => {
    heard.push(`${address.toString()} ${Buffer.from(payload).toString()}`);
    reply(Buffer.from('answer'));
  });
  world.engine.listen(67, () => assert.fail('of IPv4 alone'), { anyAddress: true, version: 4 });
  world.engine.listen(547, (_payload, { mac }, reply) => reply(Buffer.from(`${mac!.hi} ${mac!.lo}`)), { anyAddress: true, version: 6 });
  world.send(GATEWAY, 53, 'a');
  world.send(ROUTER, 53, 'b', { source: GUEST_LOCAL });
  world.send(ROUTER, 53, 'c');
  assert.deepEqual(heard, [`${GUEST} a`, `${GUEST_LOCAL} b`, `${GUEST} c`]);
  assert.deepEqual(world.answers().map(shown), [
    `${GATEWAY}:53 > ${GUEST}:5000 answer`,
    `${ROUTER}:53 > ${GUEST_LOCAL}:5000 answer`,
    `${ROUTER}:53 > ${GUEST}:5000 answer`,
  ]);
  world.send('ff02::1:2', 547, 'solicit', { source: GUEST_LOCAL });
  assert.deepEqual(world.answers().map(shown), [`${ROUTER}:547 > ${GUEST_LOCAL}:5000 23188 -270267154`]);
  world.send(GATEWAY, 67, 'x');
  assert.deepEqual(world.answers().map(shown), [`1/4 0 from ${GATEWAY}`]);
  world.send(OUTSIDE, 547, 'to somebody else');
  assert.deepEqual(world.targets, [`${OUTSIDE} 547`]);
});

test('a ping to another address is a real ping, answered from the address that was pinged', () => {
  const world = new World();
  const body = Buffer.concat([Buffer.from('00090005', 'hex'), Buffer.from('abc')]);
  for (const destination of [HOST, OUTSIDE]) world.input(icmp6(128, body, { destination, hops: 64 }));
  assert.deepEqual(world.targets, ['::1', OUTSIDE]);
  for (const ping of world.pings) world.ready(ping);
  assert.deepEqual(
    world.answers().map(({ source, payload }) => [source, payload[0], payload.toString('latin1', 4)]),
    [
      [HOST, 129, body.toString('latin1')],
      [OUTSIDE, 129, body.toString('latin1')],
    ],
  );
});
