import assert from 'node:assert/strict';
import { Duplex } from 'node:stream';
import { test } from 'node:test';
import { type DecodedPacket, decode } from 'dns-packet';
import fc from 'fast-check';
import type { DatagramService, ServiceHost, StreamService } from '../../../src/flow/listener.ts';
import { IpAddress } from '../../../src/packet/address.ts';
import { parseHosts } from '../../../src/service/dns/host-files.ts';
import { QUERY_LIMIT } from '../../../src/service/dns/message.ts';
import { CONNECTION_LIMIT } from '../../../src/service/dns/server.ts';
import { answerTo, DnsBench, OTHER, query, settle, VM } from './bench.ts';

const PEER = { address: IpAddress.v4(0), port: 4000, vm: VM };

/** The services as the gateway would reach them. */
function listening(bench: DnsBench): { datagram: DatagramService; stream: StreamService } {
  let datagram: DatagramService | undefined;
  let stream: StreamService | undefined;
  const host: ServiceHost = {
    listenDatagram(port, service, options) {
      assert.deepEqual([port, options], [53, undefined]);
      datagram = service;
      return { close: () => {} };
    },
    listenStream(port, service) {
      assert.equal(port, 53);
      stream = service;
      return { close: () => {} };
    },
  };
  bench.server.listen(host);
  return { datagram: datagram!, stream: stream! };
}

/** A guest's TCP connection: what it sends is pushed, what it gets is parsed by the frame. */
class Connection {
  readonly duplex: Duplex;
  received: Buffer = Buffer.alloc(0);
  /** Writes are taken but not yet done while the guest doesn't read. */
  stalled: (() => void) | null = null;
  reads = true;
  ended = false;

  constructor(service: StreamService, vm = VM) {
    this.duplex = new Duplex({
      allowHalfOpen: true,
      writableHighWaterMark: 1024,
      read: () => {},
      write: (chunk: Buffer, _encoding, done) => {
        this.received = Buffer.concat([this.received, chunk]);
        if (this.reads) done();
        else this.stalled = done;
      },
      final: (done) => {
        this.ended = true;
        done();
      },
    });
    service(this.duplex, { ...PEER, vm });
  }

  send(...queries: Uint8Array[]): void {
    this.duplex.push(Buffer.concat(queries.map(framed)));
  }

  answers(): DecodedPacket[] {
    const answers: DecodedPacket[] = [];
    for (let at = 0; at < this.received.length; at += 2 + this.received.readUInt16BE(at))
      answers.push(decode(this.received.subarray(at + 2, at + 2 + this.received.readUInt16BE(at))));
    return answers;
  }
}

function framed(bytes: Uint8Array): Uint8Array {
  return Buffer.concat([Uint8Array.of(bytes.length >> 8, bytes.length & 255), bytes]);
}

async function settled(): Promise<void> {
  for (let i = 0; i < 20; i++) await settle();
}

test('answers a name of its own with TTL 0 and the case of the question (0x20)', async () => {
  const { answers, questions, flag_aa: aa, flag_ra: ra, flag_rd: rd } = await new DnsBench().ask('HoSt.cOntainers.INTERNAL');
  assert.deepEqual(
    questions!.map(({ name }) => name),
    ['HoSt.cOntainers.INTERNAL'],
  );
  assert.deepEqual(
    answers!.map((answer) => ({ ...answer })),
    [{ name: 'HoSt.cOntainers.INTERNAL', type: 'A', ttl: 0, class: 'IN', flush: false, data: '192.168.127.254' }],
  );
  assert.deepEqual([aa, ra, rd], [false, true, true]);
});

test('never lets a name of its own out, of whatever type', async () => {
  const bench = new DnsBench();
  for (const type of ['AAAA', 'MX', 'TXT', 'ANY', 'HTTPS', 'SOA'] as const) {
    const known = (await bench.ask('host.containers.internal', type as 'AAAA')) as DecodedPacket & { rcode: string };
    assert.deepEqual([known.rcode, known.answers!.length], ['NOERROR', 0], type);
    const unknown = (await bench.ask('nobody.containers.internal', type as 'AAAA')) as DecodedPacket & { rcode: string };
    assert.equal(unknown.rcode, 'NXDOMAIN', type);
  }
  assert.equal(bench.upstream.asked.length, 0);
  bench.upstream.script = ({ message }) => answerTo(message);
  await bench.ask('containers.internal');
  assert.equal(bench.upstream.asked.length, 1, 'the apex is not owned');
});

test("answers from the host's hosts file in both families and backwards, and follows its changes", async () => {
  const bench = new DnsBench();
  bench.upstream.script = ({ message }) => answerTo(message);
  bench.hosts = parseHosts('10.0.0.7 nas.lan nas\n10.0.0.8 nas.lan\nfd00::7 nas.lan\n10.0.0.9 host.containers.internal');
  assert.deepEqual(await bench.addresses('NAS.lan'), ['10.0.0.7', '10.0.0.8']);
  assert.deepEqual(
    (await bench.ask('nas.lan', 'AAAA')).answers!.map((answer) => 'data' in answer && answer.data),
    ['fd00::7'],
  );
  assert.deepEqual((await bench.ask('nas', 'AAAA')).answers, [], 'the name is known, without IPv6');
  assert.deepEqual(
    (await bench.ask('7.0.0.10.IN-ADDR.arpa', 'PTR')).answers!.map((answer) => 'data' in answer && answer.data),
    ['nas.lan'],
  );
  assert.deepEqual(await bench.addresses('host.containers.internal'), ['192.168.127.254'], 'zones come first');
  assert.equal(bench.upstream.asked.length, 0);
  bench.hosts = parseHosts('');
  assert.deepEqual(await bench.addresses('nas.lan'), ['203.0.0.0']);
});

test('sends a client to TCP when the answer exceeds what it takes', async () => {
  const bench = new DnsBench();
  bench.upstream.script = ({ message }) => answerTo(message, 60);
  const plain = await bench.ask('www.example.com');
  assert.deepEqual([plain.flag_tc, plain.answers!.length, plain.questions!.length], [true, 0, 1]);
  const edns = { type: 'OPT', name: '.', udpPayloadSize: 4096, flags: 0, options: [] };
  const large = (await bench.server.answer(query('www.example.com', 'A', { additionals: [edns as never] }), false, VM))!;
  assert.equal(decode(Buffer.from(large)).answers!.length, 60);
  assert.equal((await bench.ask('www.example.com', 'A', true)).answers!.length, 60);
  assert.equal(bench.server.counters.truncated, 1);
});

test('refuses malformed queries with the header alone and ignores responses', async () => {
  const bench = new DnsBench();
  const loop = Uint8Array.of(0x42, 0x42, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 12, 0, 1, 0, 1);
  assert.deepEqual([...(await bench.server.answer(loop, false, VM))!], [0x42, 0x42, 0x81, 0x81, 0, 0, 0, 0, 0, 0, 0, 0]);
  assert.equal(await bench.server.answer(new Uint8Array(11), false, VM), undefined);
  assert.equal(await bench.server.answer(answerTo(decode(Buffer.from(query('a.b')))), false, VM), undefined);
  assert.equal(bench.server.counters.malformed, 3);
  assert.equal(bench.upstream.asked.length, 0);
});

test('answers or ignores any bytes, and never rejects', async () => {
  const bench = new DnsBench();
  bench.upstream.script = () => undefined;
  const good = query('gateway.containers.internal');
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 60 }), fc.nat(good.length), async (bytes, at) => {
      const answer = await bench.server.answer(Uint8Array.from([...good.subarray(0, at), ...bytes]), false, VM);
      if (answer === undefined) return;
      assert.ok(answer.length >= 12 && (answer[2]! & 0x80) !== 0);
      assert.deepEqual([...answer.subarray(0, 2)], at >= 2 ? [0x42, 0x42] : [...answer.subarray(0, 2)]);
    }),
    { numRuns: 500 },
  );
});

test('answers datagrams, and no more once it is closed', async () => {
  const bench = new DnsBench();
  const { datagram } = listening(bench);
  const replies: Uint8Array[] = [];
  datagram(query('host.containers.internal'), PEER, (reply) => void replies.push(reply));
  await settle();
  assert.equal(replies.length, 1);
  datagram(query('www.example.com'), PEER, (reply) => void replies.push(reply));
  bench.server.close();
  bench.upstream.asked[0]!.resolve(answerTo(bench.upstream.asked[0]!.message));
  await settle();
  assert.equal(replies.length, 1);
});

test('answers pipelined TCP queries in order, however slow the first', async () => {
  const bench = new DnsBench();
  const connection = new Connection(listening(bench).stream);
  connection.send(query('www.example.com', 'A', { id: 1 }), query('host.containers.internal', 'A', { id: 2 }));
  await settled();
  assert.equal(connection.answers().length, 0);
  bench.upstream.asked[0]!.resolve(answerTo(bench.upstream.asked[0]!.message));
  await settled();
  assert.deepEqual(
    connection.answers().map(({ id }) => id),
    [1, 2],
  );
  assert.ok(!connection.ended);
});

test('takes a TCP query byte by byte', async () => {
  const connection = new Connection(listening(new DnsBench()).stream);
  for (const byte of framed(query('host.containers.internal'))) {
    connection.duplex.push(Uint8Array.of(byte));
    await settle();
  }
  await settled();
  assert.equal(connection.answers().length, 1);
});

test('answers what a guest asked before it finished sending, then finishes too', async () => {
  const connection = new Connection(listening(new DnsBench()).stream);
  connection.send(query('host.containers.internal'));
  connection.duplex.push(null);
  await settled();
  assert.equal(connection.answers().length, 1);
  assert.ok(connection.ended);
});

test('ends a connection after 128 queries', async () => {
  const connection = new Connection(listening(new DnsBench()).stream);
  connection.send(...Array.from({ length: 130 }, () => query('host.containers.internal')));
  for (let i = 0; i < 20; i++) await settled();
  assert.equal(connection.answers().length, 128);
  assert.ok(connection.ended);
});

test('drops a connection that asks nothing for 2 s, and one that is idle for 8 s', async () => {
  const bench = new DnsBench();
  const { stream } = listening(bench);
  const [silent, idle] = [new Connection(stream), new Connection(stream)];
  idle.send(query('host.containers.internal'));
  await settled();
  bench.timers.between = null;
  bench.timers.advance(1990);
  assert.ok(!silent.duplex.destroyed);
  bench.timers.advance(2004);
  assert.ok(silent.duplex.destroyed && !idle.duplex.destroyed);
  bench.timers.advance(8008);
  assert.ok(idle.duplex.destroyed);
});

test("does not count the resolvers' time against the guest", async () => {
  const bench = new DnsBench();
  const connection = new Connection(listening(bench).stream);
  connection.send(query('www.example.com'));
  await settled();
  bench.timers.between = null;
  bench.timers.advance(14_000);
  assert.ok(!connection.duplex.destroyed);
  bench.upstream.asked[0]!.resolve(answerTo(bench.upstream.asked[0]!.message));
  await settled();
  assert.equal(connection.answers().length, 1);
  bench.timers.advance(22_010);
  assert.ok(connection.duplex.destroyed);
});

test('a guest that asks and does not read does not pile up answers', async () => {
  const bench = new DnsBench();
  bench.upstream.script = ({ message }) => answerTo(message, 200);
  const connection = new Connection(listening(bench).stream);
  connection.reads = false;
  connection.send(...Array.from({ length: 100 }, () => query('www.example.com')));
  await settled();
  assert.equal(bench.upstream.asked.length, 1);
  connection.reads = true;
  connection.stalled!();
  await settled();
  assert.ok(bench.upstream.asked.length > 1);
});

test('beyond the limit of connections the one that asked longest ago goes', async () => {
  const bench = new DnsBench();
  const { stream } = listening(bench);
  const connections = Array.from({ length: CONNECTION_LIMIT }, () => new Connection(stream));
  connections[0]!.send(query('host.containers.internal'));
  await settled();
  const next = new Connection(stream);
  assert.deepEqual(
    connections.flatMap(({ duplex }, i) => (duplex.destroyed ? [i] : [])),
    [1],
  );
  assert.equal(bench.server.counters.crowdedOut, 1);
  next.send(query('host.containers.internal'));
  await settled();
  assert.equal(next.answers().length, 1);
});

test('a connection that has gone makes room', async () => {
  const bench = new DnsBench();
  const { stream } = listening(bench);
  const connections = Array.from({ length: CONNECTION_LIMIT }, () => new Connection(stream));
  connections[7]!.duplex.destroy(new Error('reset'));
  await settled();
  const next = new Connection(stream);
  assert.equal(bench.server.counters.crowdedOut, 0);
  assert.ok(!next.duplex.destroyed && !connections[0]!.duplex.destroyed);
});

test("a VM that opens connections without end closes no one else's and keeps no one out", async () => {
  const bench = new DnsBench();
  const { stream } = listening(bench);
  const early = new Connection(stream, OTHER);
  for (let i = 0; i < 3 * CONNECTION_LIMIT; i++) void new Connection(stream);
  const late = new Connection(stream, OTHER);
  for (let i = 0; i < 3 * CONNECTION_LIMIT; i++) void new Connection(stream);
  for (const connection of [early, late]) connection.send(query('host.containers.internal'));
  await settled();
  assert.deepEqual([early.answers().length, late.answers().length], [1, 1]);
});

test('a connection that was crowded out while a resolver is asked is done with', async () => {
  const bench = new DnsBench();
  const { stream } = listening(bench);
  const slow = new Connection(stream);
  slow.send(query('www.example.com'));
  await settled();
  for (let i = 0; i < CONNECTION_LIMIT; i++) void new Connection(stream);
  assert.ok(slow.duplex.destroyed);
  bench.upstream.asked[0]!.resolve(answerTo(bench.upstream.asked[0]!.message));
  await settled();
  assert.equal(slow.answers().length, 0);
});

test('a lying length on TCP waits for the rest and is dropped when it never comes', async () => {
  const bench = new DnsBench();
  const connection = new Connection(listening(bench).stream);
  connection.duplex.push(Buffer.concat([Uint8Array.of(0x10, 0x00), query('host.containers.internal')]));
  await settled();
  assert.equal(bench.server.counters.queries, 0);
  bench.timers.between = null;
  bench.timers.advance(2004);
  assert.ok(connection.duplex.destroyed);
});

test('takes no query that is longer than any client sends', async () => {
  const bench = new DnsBench();
  const long = Buffer.concat([query('www.example.com'), Buffer.alloc(QUERY_LIMIT)]);
  assert.equal((await bench.server.answer(long, false, VM))![3]! & 15, 1);
  const connection = new Connection(listening(bench).stream);
  connection.duplex.push(framed(long).subarray(0, 100));
  await settled();
  assert.ok(connection.duplex.destroyed);
  assert.equal(bench.upstream.asked.length, 0);
});
