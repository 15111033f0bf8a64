import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { after, before, test } from 'node:test';
import { decode } from 'dns-packet';
import { SeededRandom } from '../../../src/runtime/clock.ts';
import { Forwarder } from '../../../src/service/dns/forwarder.ts';
import { readQuery } from '../../../src/service/dns/message.ts';
import { NodeUpstream } from '../../../src/service/dns/node-upstream.ts';
import { answerTo, query, VM } from './bench.ts';

/** A resolver on 127.0.0.1, UDP and TCP on one port. */
let datagrams: Socket;
let streams: Server;
let port: number;
/** Answers to a query, sent one after the other; the fields of a test. */
let script: (asked: Uint8Array, overTcp: boolean) => Uint8Array[] = () => [];

/** A port that is free for both transports: others on this machine use ports meanwhile. */
async function listenOnBoth(): Promise<void> {
  for (let tries = 1; ; tries++) {
    streams.listen(0, '127.0.0.1');
    await once(streams, 'listening');
    port = (streams.address() as AddressInfo).port;
    datagrams = createSocket('udp4');
    try {
      datagrams.bind(port, '127.0.0.1');
      await once(datagrams, 'listening');
      return;
    } catch (error) {
      if (tries === 20) throw error;
      datagrams.close();
      streams.close();
      await once(streams, 'close');
    }
  }
}

before(async () => {
  streams = createServer((connection) => {
    connection.on('error', () => {});
    connection.on('data', (chunk) => {
      for (const answer of script(chunk.subarray(2), true)) {
        const framed = Buffer.concat([Uint8Array.of(answer.length >> 8, answer.length & 255), answer]);
        // In pieces, as a stream may come.
        connection.write(framed.subarray(0, 1));
        setImmediate(() => connection.end(framed.subarray(1)));
      }
      if (chunk.length === 3) connection.end();
    });
  });
  await listenOnBoth();
  datagrams.on('message', (asked, from) => {
    for (const answer of script(asked, false)) datagrams.send(answer, from.port, from.address);
  });
});

after(() => {
  datagrams.close();
  streams.close();
});

function everything(): boolean {
  return true;
}

test('asks a real resolver over UDP, and over TCP when the answer was cut', async () => {
  script = (asked, overTcp) => [answerTo(decode(Buffer.from(asked)), overTcp ? 100 : 0, overTcp ? 0x180 : 0x380)];
  const forwarder = new Forwarder(new NodeUpstream(port), () => ['127.0.0.1'], new SeededRandom(3));
  const asked = readQuery(query('www.example.com'));
  assert.ok(typeof asked === 'object');
  const { id, answers } = decode(Buffer.from(await forwarder.forward(asked, true, VM)));
  assert.deepEqual([id, answers!.length], [0x4242, 100]);
});

test('passes over forged answers until the right one comes', async () => {
  script = (asked) => {
    const message = decode(Buffer.from(asked));
    const evil = { ...message, questions: [{ type: 'A' as const, name: 'evil.example' }] };
    return [answerTo({ ...message, id: message.id! ^ 1 }), answerTo(evil), new Uint8Array(0), new Uint8Array(5), answerTo(message, 2)];
  };
  const forwarder = new Forwarder(new NodeUpstream(port), () => ['127.0.0.1'], new SeededRandom(3));
  const asked = readQuery(query('www.example.com'));
  assert.ok(typeof asked === 'object');
  assert.equal(decode(Buffer.from(await forwarder.forward(asked, false, VM))).answers!.length, 2);
});

test('uses another source port for each attempt', async () => {
  const ports = new Set<number>();
  const note = (_asked: Uint8Array, from: { port: number }): void => void ports.add(from.port);
  datagrams.on('message', note);
  script = (asked) => [asked];
  const upstream = new NodeUpstream(port);
  await Promise.all(Array.from({ length: 20 }, () => upstream.askUdp('127.0.0.1', query('a.b'), 1000, everything)));
  datagrams.off('message', note);
  assert.equal(ports.size, 20);
});

test('hears nothing from another port than the one it asked', async () => {
  const stranger = createSocket('udp4');
  const forge = (asked: Uint8Array, from: { port: number }): void => stranger.send(asked, from.port, '127.0.0.1');
  datagrams.on('message', forge);
  script = () => [];
  await assert.rejects(new NodeUpstream(port).askUdp('127.0.0.1', query('a.b'), 100, everything), /no answer/);
  datagrams.off('message', forge);
  stranger.close();
});

test('gives up on a silent server when its time has passed', async () => {
  script = () => [];
  const upstream = new NodeUpstream(port);
  await assert.rejects(upstream.askUdp('127.0.0.1', query('a.b'), 50, everything), /no answer from 127.0.0.1/);
  await assert.rejects(upstream.askTcp('127.0.0.1', query('a.b'), 50, everything), /no answer from 127.0.0.1/);
});

test('knows at once that nobody listens or that there is no way there', async () => {
  const closed = createSocket('udp4');
  closed.bind(0, '127.0.0.1');
  await once(closed, 'listening');
  const free = closed.address().port;
  closed.close();
  await assert.rejects(new NodeUpstream(free).askUdp('127.0.0.1', query('a.b'), 60_000, everything), { code: 'ECONNREFUSED' });
  await assert.rejects(new NodeUpstream(free).askTcp('127.0.0.1', query('a.b'), 60_000, everything), { code: 'ECONNREFUSED' });
  // A broadcast address refuses `connect` the way a missing route does: through the callback.
  await assert.rejects(new NodeUpstream(port).askUdp('255.255.255.255', query('a.b'), 60_000, everything), { syscall: 'connect' });
});

test('an answer over TCP that is cut short or to another question is none', async () => {
  script = (asked) => [answerTo(decode(Buffer.from(asked)))];
  const upstream = new NodeUpstream(port);
  await assert.rejects(
    upstream.askTcp('127.0.0.1', query('a.b'), 1000, () => false),
    /another question/,
  );
  script = () => [];
  await assert.rejects(upstream.askTcp('127.0.0.1', Uint8Array.of(1), 1000, everything), /closed the connection/);
});
