import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { KernelNetwork } from '../../../src/host/kernel-network.ts';
import { TurnLoop } from '../../../src/runtime/turn-loop.ts';
import { EAGAIN, ECONNREFUSED, EMSGSIZE, ENETUNREACH, ENOBUFS } from '../../../src/system/errno.ts';
import { address, Bench } from './bench.ts';
import { ipHeader, loopback, speaksIpv6 } from './speak.ts';

/** Sends ten datagrams in one batch to a host that answers sends as scripted. */
function batch(...script: number[]): Bench {
  const bench = new Bench();
  bench.send('1.1.1.1', 9, 'first');
  bench.endpoints[0]!.script.push(...script);
  for (let i = 0; i < 10; i++) bench.input('1.1.1.1', 9, `${i}`);
  bench.round();
  return bench;
}

function sent(bench: Bench): string {
  return bench.endpoints[0]!.sent.slice(1).map(String).join('');
}

test('what a send leaves behind is sent on: the error in between may have been about an earlier datagram', () => {
  const bench = batch(3, 4);
  assert.equal(sent(bench), '0123456789');
  assert.equal(bench.engine.counters.dropHostBusy, 0);
});

test('a refusal in the middle of a batch is told to the guest, and the rest is sent', () => {
  const bench = batch(3, -ECONNREFUSED, 7);
  assert.equal(sent(bench), '0123456789');
  assert.deepEqual(bench.unreachable, [3]);
});

test('a host that refuses again and again does not hold up the batch', () => {
  const bench = batch(...Array.from({ length: 50 }, () => -ECONNREFUSED));
  assert.ok(bench.endpoints[0]!.calls < 50);
  assert.deepEqual(bench.unreachable, [3], 'told once per batch');
  assert.equal(bench.engine.counters.dropHostError, 10);
});

test('every datagram a busy host does not take is counted', () => {
  for (const errno of [EAGAIN, ENOBUFS]) {
    const bench = batch(4, -errno);
    assert.equal(sent(bench), '0123');
    assert.equal(bench.engine.counters.dropHostBusy, 6);
  }
});

test('a datagram too large for the host is dropped alone', () => {
  const bench = batch(2, -EMSGSIZE, 7);
  // The fake takes the first spans it is given: what follows the datagram that was skipped.
  assert.equal(sent(bench), '013456789');
  assert.equal(bench.engine.counters.dropTooLarge, 1);
});

test('a network that went away is told once per batch', () => {
  const bench = batch(2, -ENETUNREACH);
  assert.equal(sent(bench), '01');
  assert.deepEqual(bench.unreachable, [0]);
});

test('an error that stays does not keep the pump running', () => {
  const bench = new Bench();
  bench.send('1.1.1.1', 9, 'x');
  const endpoint = bench.endpoints[0]!;
  endpoint.receiveError = 5;
  endpoint.broken = true;
  endpoint.handler.onReady(1);
  let rounds = 0;
  while (bench.engine.pump() && rounds < 100) rounds++;
  assert.ok(rounds < 100);
});

test('more datagrams than one batch of the arena chain are all sent, in order', () => {
  const bench = new Bench();
  for (let i = 0; i < 16_390; i++) bench.input('1.1.1.1', 9, '');
  bench.round();
  assert.equal(bench.endpoints[0]!.sent.length, 16_390);
});

test('a batch to a closed port of the real host comes back as port unreachable', async () => {
  const probe = createSocket(speaksIpv6() ? 'udp6' : 'udp4').bind(0, loopback());
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  let loop: TurnLoop | undefined;
  const bench = new Bench(100, {
    host: (arena) => {
      loop = new TurnLoop(arena);
      return new KernelNetwork(loop, arena);
    },
  });
  try {
    for (let i = 0; i < 10; i++) bench.input('192.168.127.254', port, `${i}`);
    bench.round();
    for (let i = 0; i < 100 && bench.relayed.length === 0; i++) {
      await pause(5);
      bench.round();
    }
    assert.ok(bench.relayed.length > 0, 'nothing was told');
    for (const { type, code, from, quoted } of bench.relayed) {
      assert.deepEqual([type, code, from], [...(speaksIpv6() ? [1, 4] : [3, 3]), '192.168.127.254']);
      assert.match(quoted.subarray(ipHeader() + 8).toString(), /^\d$/);
    }
    assert.deepEqual(bench.unreachable, [], 'told once');
    assert.equal(bench.engine.counters.dropHostBusy, 0);
  } finally {
    bench.engine.close();
    loop?.close();
  }
});

test('a burst to an open port of the real host arrives whole, empty datagrams included', async () => {
  const server = createSocket(speaksIpv6() ? 'udp6' : 'udp4').bind(0, loopback());
  await once(server, 'listening');
  const heard: string[] = [];
  server.on('message', (message) => heard.push(message.toString()));
  let loop: TurnLoop | undefined;
  const bench = new Bench(100, {
    host: (arena) => {
      loop = new TurnLoop(arena);
      return new KernelNetwork(loop, arena);
    },
  });
  try {
    const wanted = Array.from({ length: 100 }, (_, i) => (i % 10 === 0 ? '' : `${i}`));
    for (const data of wanted) bench.input('192.168.127.254', server.address().port, data);
    bench.round();
    while (heard.length < wanted.length) await once(server, 'message', { signal: AbortSignal.timeout(2000) });
    assert.deepEqual(heard, wanted);
    assert.equal(bench.engine.counters.opened, 1);
    assert.equal(bench.neighbour.w3, address('192.168.127.2'));
  } finally {
    bench.engine.close();
    loop?.close();
    server.close();
  }
});
