import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decode, encode } from 'dns-packet';
import { IN_FLIGHT_LIMIT } from '../../../src/service/dns/forwarder.ts';
import { answerTo, DnsBench, OTHER, query, settle, VM } from './bench.ts';

test('passes a query on as bytes under an id of its own and gives the answer the old id', async () => {
  const bench = new DnsBench();
  const edns = { type: 'OPT', name: '.', udpPayloadSize: 1232, flags: 0x8000, options: [{ code: 10, data: Buffer.from('cookie!!') }] };
  const asked = query('www.Example.com', 'HTTPS' as never, { additionals: [edns as never] });
  const answer = bench.server.answer(asked, false, VM);
  const [sent] = bench.upstream.asked;
  assert.deepEqual(Buffer.from(sent!.bytes.subarray(2)), Buffer.from(asked.subarray(2)));
  assert.notEqual(sent!.message.id, 0x4242);
  const reply = answerTo(sent!.message);
  sent!.resolve(reply);
  const got = (await answer)!;
  assert.equal(decode(Buffer.from(got)).id, 0x4242);
  assert.deepEqual(Buffer.from(got.subarray(2)), Buffer.from(reply.subarray(2)));
});

test('uses another id for each attempt', async () => {
  const bench = new DnsBench();
  bench.upstream.script = () => undefined;
  await bench.ask('www.example.com');
  await bench.ask('www.example.com');
  assert.equal(new Set(bench.upstream.asked.map(({ message }) => message.id)).size, 4);
});

test('accepts an answer only with the id and the question of the attempt', () => {
  const bench = new DnsBench();
  void bench.ask('www.example.com');
  const { accept, message } = bench.upstream.asked[0]!;
  assert.ok(accept(answerTo(message)));
  assert.ok(!accept(answerTo({ ...message, id: message.id! ^ 1 })));
  assert.ok(!accept(answerTo({ ...message, questions: [{ type: 'A', name: 'evil.example' }] })));
  assert.ok(!accept(new Uint8Array(0)));
});

test('asks every server in order, twice, and then says SERVFAIL', async () => {
  const bench = new DnsBench();
  bench.servers = ['192.0.2.1', '192.0.2.2'];
  bench.upstream.script = () => undefined;
  assert.equal(await bench.addresses('www.example.com'), 'SERVFAIL');
  assert.deepEqual(
    bench.upstream.asked.map(({ server }) => server),
    ['192.0.2.1', '192.0.2.2', '192.0.2.1', '192.0.2.2'],
  );
  assert.equal(bench.forwarder.counters.failed, 1);
});

test('goes on to the second server when the first is silent', async () => {
  const bench = new DnsBench();
  bench.servers = ['192.0.2.1', '192.0.2.2'];
  bench.upstream.script = ({ server, message }) => (server === '192.0.2.2' ? answerTo(message) : undefined);
  assert.deepEqual(await bench.addresses('www.example.com'), ['203.0.0.0']);
});

test('says SERVFAIL when no server is known, and uses one as soon as there is', async () => {
  const bench = new DnsBench();
  bench.servers = [];
  assert.equal(await bench.addresses('www.example.com'), 'SERVFAIL');
  bench.servers = ['192.0.2.9'];
  bench.upstream.script = ({ message }) => answerTo(message);
  assert.deepEqual(await bench.addresses('www.example.com'), ['203.0.0.0']);
  assert.deepEqual(
    bench.upstream.asked.map(({ server }) => server),
    ['192.0.2.9'],
  );
});

test('passes NXDOMAIN on as it is', async () => {
  const bench = new DnsBench();
  bench.upstream.script = ({ message }) => encode({ type: 'response', id: message.id!, flags: 0x183, questions: message.questions! });
  assert.equal(await bench.addresses('nobody.example.com'), 'NXDOMAIN');
  assert.equal(bench.upstream.asked.length, 1);
});

test('asks again over TCP for a guest that has come over TCP, not for one over UDP', async () => {
  const bench = new DnsBench();
  bench.upstream.script = ({ message, overTcp }) => answerTo(message, overTcp ? 200 : 0, overTcp ? 0x180 : 0x380);
  assert.equal((await bench.ask('www.example.com', 'A', true)).answers!.length, 200);
  assert.deepEqual(
    bench.upstream.asked.map(({ overTcp }) => overTcp),
    [false, true],
  );
  const overUdp = await bench.ask('www.example.com', 'A', false);
  assert.ok(overUdp.flag_tc);
  assert.equal(bench.upstream.asked.length, 3);
});

test('refuses queries of a VM beyond its share and takes new ones when some are done', async () => {
  const bench = new DnsBench();
  const waiting = Array.from({ length: IN_FLIGHT_LIMIT / 2 }, () => bench.ask('www.example.com'));
  assert.equal(await bench.addresses('www.example.com'), 'SERVFAIL');
  assert.equal(bench.forwarder.counters.overloaded, 1);
  assert.equal(bench.upstream.asked.length, IN_FLIGHT_LIMIT / 2);
  for (const asked of bench.upstream.asked) asked.resolve(answerTo(asked.message));
  await Promise.all(waiting);
  void bench.ask('www.example.com');
  await settle();
  assert.equal(bench.upstream.asked.length, IN_FLIGHT_LIMIT / 2 + 1);
});

test('asks for one VM while another has all the queries under way that it can', async () => {
  const bench = new DnsBench();
  for (let i = 0; i < 2 * IN_FLIGHT_LIMIT; i++) void bench.ask('slow.example.com');
  bench.upstream.script = ({ message }) => answerTo(message);
  for (let i = 0; i < 32; i++) assert.deepEqual(await bench.addresses('www.example.com', OTHER), ['203.0.0.0']);
});
