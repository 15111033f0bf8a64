import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as ipv4 from '../../../src/packet/ipv4.ts';
import * as udp from '../../../src/packet/udp.ts';
import {
  EADDRNOTAVAIL,
  ECONNREFUSED,
  EHOSTUNREACH,
  EINVAL,
  EMSGSIZE,
  ENETDOWN,
  ENETUNREACH,
  ENOBUFS,
  EPERM,
} from '../../../src/system/errno.ts';
import { address, Bench, type FakeDatagram } from './bench.ts';

const HANGUP = 4;
const EPROTO = 71;
const ROUTER = address('10.9.8.7');

/** A bench whose guest has sent one datagram to 1.1.1.1:9. */
function talking(df = true): { bench: Bench; endpoint: FakeDatagram } {
  const bench = new Bench();
  bench.send('1.1.1.1', 9, 'first', { df });
  return { bench, endpoint: bench.endpoints[0]! };
}

function hangUp(bench: Bench, endpoint: FakeDatagram): void {
  endpoint.handler.onReady(HANGUP);
  bench.round();
}

function told(bench: Bench): string[] {
  return bench.relayed.map(({ type, code, mtu, from }) => `${type}/${code} mtu ${mtu} from ${from}`);
}

test("what the network reports reaches the guest as the same message about the guest's own datagram", () => {
  const { bench, endpoint } = talking();
  endpoint.reports.push({ errno: ECONNREFUSED, type: 3, code: 3, offender: address('1.1.1.1'), quoted: 'first' });
  hangUp(bench, endpoint);
  assert.deepEqual(told(bench), ['3/3 mtu 0 from 1.1.1.1']);
  const { quoted } = bench.relayed[0]!;
  assert.equal(ipv4.totalLength(quoted, 0), 33);
  assert.equal(ipv4.protocol(quoted, 0), ipv4.PROTOCOL_UDP);
  assert.equal(ipv4.source(quoted, 0), address('192.168.127.2'));
  assert.equal(ipv4.destination(quoted, 0), address('1.1.1.1'));
  assert.deepEqual([udp.sourcePort(quoted, 20), udp.destinationPort(quoted, 20), udp.length(quoted, 20)], [5000, 9, 13]);
  assert.equal(quoted.subarray(28).toString(), 'first');
  assert.equal(bench.engine.counters.refused, 1);
  assert.deepEqual(bench.unreachable, [], 'told once');
});

test('each kind of report has its message, its source and its counter', () => {
  const cases: [errno: number, type: number, code: number, offender: number, from: string, counter: 'unreachable' | 'expired'][] = [
    [ENETUNREACH, 3, 0, ROUTER, '10.9.8.7', 'unreachable'],
    [EHOSTUNREACH, 3, 1, ROUTER, '10.9.8.7', 'unreachable'],
    [EHOSTUNREACH, 3, 13, ROUTER, '10.9.8.7', 'unreachable'],
    [EHOSTUNREACH, 11, 0, ROUTER, '10.9.8.7', 'expired'],
    [EHOSTUNREACH, 11, 1, ROUTER, '10.9.8.7', 'expired'],
    // Addresses that mean somebody else to the guest, or nobody.
    [EHOSTUNREACH, 3, 1, address('127.0.0.1'), 'gateway', 'unreachable'],
    [EHOSTUNREACH, 3, 1, address('192.168.127.3'), 'gateway', 'unreachable'],
    [EHOSTUNREACH, 3, 1, 0, 'gateway', 'unreachable'],
  ];
  for (const [errno, type, code, offender, from, counter] of cases) {
    const { bench, endpoint } = talking();
    endpoint.reports.push({ errno, type, code, offender });
    hangUp(bench, endpoint);
    assert.deepEqual(told(bench), [`${type}/${code} mtu 0 from ${from}`]);
    assert.equal(bench.engine.counters[counter], 1, `${type}/${code}`);
  }
});

test("the peer's own report comes from the name that the guest has for it", () => {
  const bench = new Bench();
  bench.send('192.168.127.254', 9, 'x');
  bench.endpoints[0]!.reports.push({ errno: ECONNREFUSED, type: 3, code: 3, offender: address('127.0.0.1') });
  hangUp(bench, bench.endpoints[0]!);
  assert.deepEqual(told(bench), ['3/3 mtu 0 from 192.168.127.254']);
});

test('other messages are counted, and the guest is told nothing', () => {
  const { bench, endpoint } = talking();
  endpoint.reports.push({ errno: EPROTO, type: 12, code: 0, offender: ROUTER });
  hangUp(bench, endpoint);
  assert.deepEqual([told(bench), bench.engine.counters.dropHostError], [[], 1]);
});

test('a router that needs to fragment is told to a guest that forbids it, with the MTU, and to no other', () => {
  for (const df of [true, false]) {
    const { bench, endpoint } = talking(df);
    endpoint.reports.push({ errno: EMSGSIZE, type: 3, code: 4, mtu: 1400, offender: ROUTER });
    hangUp(bench, endpoint);
    assert.deepEqual(told(bench), df ? ['3/4 mtu 1400 from 10.9.8.7'] : []);
    assert.equal(bench.engine.counters.dropTooLarge, 1);
  }
});

test('large datagrams are fragmented by the host or refused, as the guest says with DF; small ones change nothing', () => {
  const { bench, endpoint } = talking();
  const large = Buffer.alloc(1400);
  bench.send('1.1.1.1', 9, Buffer.alloc(1252));
  assert.deepEqual(endpoint.settings, []);
  bench.send('1.1.1.1', 9, Buffer.alloc(1253));
  bench.send('1.1.1.1', 9, large);
  assert.deepEqual(endpoint.settings, ['df on']);
  bench.send('1.1.1.1', 9, 'small', { df: false });
  assert.deepEqual(endpoint.settings, ['df on']);
  bench.send('1.1.1.1', 9, large, { df: false });
  bench.send('1.1.1.1', 9, large, { df: false });
  bench.send('1.1.1.1', 9, large);
  assert.deepEqual(endpoint.settings, ['df on', 'df off', 'df on']);
  assert.equal(endpoint.sent.length, 8);
});

test('once a router has named a smaller MTU, datagrams beyond that are looked at', () => {
  const { bench, endpoint } = talking();
  endpoint.reports.push({ errno: EMSGSIZE, type: 3, code: 4, mtu: 600, offender: ROUTER });
  hangUp(bench, endpoint);
  bench.send('1.1.1.1', 9, Buffer.alloc(572));
  assert.deepEqual(endpoint.settings, []);
  bench.send('1.1.1.1', 9, Buffer.alloc(573));
  assert.deepEqual(endpoint.settings, ['df on']);
});

test('what was chained before a change of DF or TTL leaves before it', () => {
  const { bench, endpoint } = talking();
  endpoint.sent.length = 0;
  bench.input('1.1.1.1', 9, 'a');
  bench.input('1.1.1.1', 9, 'b', { ttl: 3 });
  assert.deepEqual([endpoint.sent.map(String), endpoint.settings], [['a'], ['hops 3']]);
  bench.input('1.1.1.1', 9, Buffer.alloc(2000, 'c'), { ttl: 3 });
  bench.round();
  assert.deepEqual(
    endpoint.sent.map((sent) => sent.toString()[0]),
    ['a', 'b', 'c'],
  );
});

test("a TTL below the host's default is passed on, one above is the default", () => {
  const bench = new Bench();
  bench.send('1.1.1.1', 33_434, 'x', { ttl: 1 });
  const [endpoint] = bench.endpoints;
  assert.deepEqual(endpoint!.settings, ['hops 1']);
  bench.send('1.1.1.1', 33_434, 'x', { ttl: 1 });
  bench.send('1.1.1.1', 33_434, 'x', { ttl: 2 });
  bench.send('1.1.1.1', 33_434, 'x', { ttl: 128 });
  bench.send('1.1.1.1', 33_434, 'x', { ttl: 255 });
  assert.deepEqual(endpoint!.settings, ['hops 1', 'hops 2', 'hops 64']);
  bench.send('1.1.1.1', 53, 'x', { ttl: 128 });
  assert.deepEqual(bench.endpoints[1]!.settings, []);
});

test('a TTL of nothing, with which no datagram may leave, is passed on as one hop', () => {
  const bench = new Bench();
  bench.send('1.1.1.1', 33_434, 'x', { ttl: 0 });
  assert.deepEqual([bench.endpoints[0]!.settings, bench.endpoints[0]!.sent.map(String)], [['hops 1'], ['x']]);
});

test('a datagram that the host refuses for its size is quoted with its own length, the others of the run are sent', () => {
  const { bench, endpoint } = talking();
  endpoint.script.push(1, -EMSGSIZE, 1);
  endpoint.reports.push({ errno: EMSGSIZE, mtu: 1400 }, { errno: EMSGSIZE, mtu: 1400 });
  bench.input('1.1.1.1', 9, 'a');
  bench.input('1.1.1.1', 9, Buffer.alloc(1450, 'b'));
  bench.input('1.1.1.1', 9, 'c');
  bench.round();
  assert.deepEqual(told(bench), ['3/4 mtu 1400 from gateway']);
  const { quoted } = bench.relayed[0]!;
  assert.deepEqual([ipv4.totalLength(quoted, 0), udp.length(quoted, 20)], [1478, 1458]);
  assert.equal(ipv4.fragment(quoted, 0), ipv4.FLAG_DF);
  assert.equal(quoted.length, 548);
  assert.equal(quoted.subarray(28).toString(), 'b'.repeat(520));
  // The fake takes what it is given first.
  assert.equal(endpoint.sent.at(-1)!.toString(), 'c');
  assert.equal(bench.engine.counters.dropTooLarge, 1);
});

test('a run of datagrams that are all too large is told once', () => {
  const { bench, endpoint } = talking();
  for (let i = 0; i < 20; i++) {
    endpoint.script.push(-EMSGSIZE);
    endpoint.reports.push({ errno: EMSGSIZE, mtu: 1400 });
    bench.input('1.1.1.1', 9, Buffer.alloc(1450));
  }
  bench.round();
  assert.deepEqual([told(bench).length, bench.engine.counters.dropTooLarge], [1, 20]);
});

test('a send that fails for what was reported about an earlier datagram is made again', () => {
  const { bench, endpoint } = talking();
  for (const errno of [ECONNREFUSED, EHOSTUNREACH, EMSGSIZE]) {
    endpoint.script.push(-errno);
    endpoint.reports.push({ errno, type: 3, code: errno === EMSGSIZE ? 4 : 1, offender: ROUTER });
    bench.send('1.1.1.1', 9, `after ${errno}`);
    assert.equal(endpoint.sent.at(-1)!.toString(), `after ${errno}`);
  }
  assert.deepEqual([told(bench).length, bench.unreachable], [3, []]);
});

test('a receive that fails for what was reported is told once, and what is behind it is read', () => {
  const { bench, endpoint } = talking();
  endpoint.receiveError = ECONNREFUSED;
  endpoint.reports.push({ errno: ECONNREFUSED, type: 3, code: 3, offender: ROUTER });
  bench.answerWith(endpoint, 'answer');
  assert.deepEqual([told(bench).length, bench.unreachable], [1, []]);
  assert.equal(bench.port.take().at(-1)!.subarray(42).toString(), 'answer');
});

test('a host that reports without end does not hold up the others', () => {
  const { bench, endpoint } = talking();
  for (let i = 0; i < 100; i++) endpoint.reports.push({ errno: ECONNREFUSED, type: 3, code: 3, offender: ROUTER });
  endpoint.handler.onReady(HANGUP);
  bench.engine.pump();
  assert.equal(bench.relayed.length, 16);
  bench.round();
  assert.equal(bench.relayed.length, 100);
});

test('nobody asks for reports as long as the host says nothing of them', () => {
  const { bench, endpoint } = talking();
  let asked = 0;
  endpoint.nextReport = () => {
    asked++;
    return false;
  };
  for (let i = 0; i < 10; i++) {
    bench.send('1.1.1.1', 9, 'x');
    bench.answerWith(endpoint, 'y');
  }
  assert.equal(asked, 0);
});

test("a conversation whose socket lost the host's address or network ends, and the next datagram opens another", () => {
  for (const errno of [EINVAL, EADDRNOTAVAIL, ENETDOWN, ENETUNREACH]) {
    const { bench, endpoint } = talking();
    endpoint.script.push(-errno);
    bench.send('1.1.1.1', 9, 'lost');
    assert.equal(endpoint.closed, true, `${errno}`);
    assert.equal(bench.engine.counters.stale, 1);
    assert.equal(bench.engine.size, 0);
    assert.deepEqual(bench.unreachable, errno === ENETDOWN || errno === ENETUNREACH ? [0] : []);
    bench.send('1.1.1.1', 9, 'again');
    assert.deepEqual(bench.endpoints[1]!.sent.map(String), ['again']);
    bench.timers.advance(10_000);
    assert.equal(bench.engine.size, 0);
  }
});

test('a conversation that the host forbids, or has no room for, goes on', () => {
  for (const errno of [EPERM, ENOBUFS]) {
    const { bench, endpoint } = talking();
    endpoint.script.push(-errno);
    bench.send('1.1.1.1', 9, 'lost');
    bench.send('1.1.1.1', 9, 'next');
    assert.deepEqual([endpoint.closed, endpoint.sent.at(-1)!.toString()], [false, 'next']);
  }
});
