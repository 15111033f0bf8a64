/** What waits for a gate: how many, how long, and what becomes of it. On a manual clock, without sockets. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Decision, FlowGate, Opening } from '../../src/flow/gate.ts';
import { UNDECIDED_LIMIT } from '../../src/flow/udp/undecided.ts';
import * as icmp from '../../src/packet/icmpv4.ts';
import { IpAddress } from '../../src/packet/address.ts';
import { ACK, Bench, RST, SYN } from './tcp/bench.ts';
import { Bench as UdpBench } from './udp/bench.ts';

const ELSEWHERE: Decision = { kind: 'redirect', address: IpAddress.parse('10.9.8.7')!, port: 99 };

/** Keeps everybody waiting. */
class SlowGate implements FlowGate {
  readonly asked: Opening[] = [];
  readonly decide: ((decision: Decision) => void)[] = [];

  ask(opening: Opening, decide: (decision: Decision) => void): null {
    this.asked.push(opening);
    this.decide.push(decide);
    return null;
  }
}

function at(now: Decision): FlowGate {
  return { ask: () => now };
}

test('a SYN waits for the decision unanswered, and is asked about once', () => {
  const bench = new Bench();
  const gate = new SlowGate();
  bench.policy.gate = gate;
  bench.guest({ flags: SYN, seq: 1000, to: '8.8.8.8' });
  bench.later(1000);
  bench.guest({ flags: SYN, seq: 1000, to: '8.8.8.8' });
  bench.silence();
  assert.deepEqual([gate.asked.length, bench.host.streams.length], [1, 0]);
  const { protocol, guestPort, remote, remotePort } = gate.asked[0]!;
  assert.deepEqual([protocol, guestPort, remote.toString(), remotePort], ['tcp', 40000, '8.8.8.8', 80]);
  gate.decide[0]!(ELSEWHERE);
  bench.round();
  bench.expect({ flags: SYN | ACK, ack: 1001 });
  // The guest goes on talking to the address that it has asked for.
  assert.equal(bench.engine.flows.size, 1);
  gate.decide[0]!({ kind: 'deny' });
  bench.silence();
});

test('who is not decided about in time is reset, and a decision that comes later changes nothing', () => {
  const bench = new Bench({ limits: { connectTimeout: 5000 } });
  const gate = new SlowGate();
  bench.policy.gate = gate;
  bench.guest({ flags: SYN, seq: 1000, to: '8.8.8.8' });
  bench.later(4900);
  bench.silence();
  bench.later(200);
  bench.expect({ flags: RST | ACK, ack: 1001 });
  assert.deepEqual([bench.engine.size, bench.counters.timedOut], [0, 1]);
  gate.decide[0]!(ELSEWHERE);
  bench.later(1000);
  bench.silence();
  assert.equal(bench.host.streams.length, 0);
});

test('SYNs that wait count among the connects under way; a reset takes one back', () => {
  const bench = new Bench({ limits: { connecting: 2 } });
  const gate = new SlowGate();
  bench.policy.gate = gate;
  for (const guestPort of [1, 2, 3]) bench.guest({ flags: SYN, seq: 1000, guestPort, to: '8.8.8.8' });
  assert.deepEqual([gate.asked.length, bench.counters.connectingFull], [2, 1]);
  bench.guest({ flags: RST, seq: 1001, guestPort: 1, to: '8.8.8.8' });
  bench.guest({ flags: SYN, seq: 1000, guestPort: 3, to: '8.8.8.8' });
  assert.equal(gate.asked.length, 3);
  gate.decide[0]!(ELSEWHERE);
  gate.decide[1]!({ kind: 'deny' });
  bench.round();
  assert.equal(bench.next().toPort, 2);
  bench.guest({ flags: SYN, seq: 1000, guestPort: 4, to: '8.8.8.8' });
  assert.equal(gate.asked.length, 4);
});

test('a gate leads to where the host may go, and allows no more than there was', () => {
  const bench = new Bench();
  bench.policy.gate = at({ kind: 'allow' });
  for (const to of ['127.0.0.1', '169.254.1.1', '192.168.127.1']) {
    bench.guest({ flags: SYN, seq: 1000, to });
    bench.expect({ flags: RST | ACK, ack: 1001 });
  }
  assert.deepEqual([bench.counters.blocked, bench.counters.refused, bench.engine.size], [2, 1, 0]);
  bench.policy.gate = at({ kind: 'datagrams', open: () => assert.fail('for TCP') });
  bench.guest({ flags: SYN, seq: 1000, to: '8.8.8.8' });
  bench.expect({ flags: RST | ACK });
});

test('first datagrams wait, some of each conversation, and leave in order where the decision leads', () => {
  const bench = new UdpBench();
  const gate = new SlowGate();
  bench.policy.gate = gate;
  for (let i = 0; i < 12; i++) bench.input('8.8.8.8', 53, String(i));
  bench.round();
  assert.deepEqual([gate.asked.length, bench.targets, bench.engine.counters.dropFlood], [1, [], 4]);
  gate.decide[0]!(ELSEWHERE);
  assert.deepEqual(bench.targets, ['10.9.8.7:99 from 5000']);
  assert.deepEqual(bench.endpoints[0]!.sent.map(String), ['0', '1', '2', '3', '4', '5', '6', '7']);
  bench.send('8.8.8.8', 53, 'more');
  assert.deepEqual([gate.asked.length, bench.endpoints[0]!.sent.length], [1, 9]);
  gate.decide[0]!(ELSEWHERE);
  assert.equal(bench.endpoints[0]!.sent.length, 9);
});

test('a refused conversation is told so once for each datagram, and asked about anew', () => {
  const bench = new UdpBench();
  const gate = new SlowGate();
  bench.policy.gate = gate;
  for (let i = 0; i < 2; i++) bench.send('8.8.8.8', 53, 'x');
  gate.decide[0]!({ kind: 'deny' });
  assert.deepEqual(bench.unreachable, [icmp.CODE_PROHIBITED, icmp.CODE_PROHIBITED]);
  bench.send('8.8.8.8', 53, 'x');
  assert.equal(gate.asked.length, 2);
  gate.decide[1]!({ kind: 'allow' });
  assert.deepEqual(bench.targets, ['8.8.8.8:53 from 5000']);
});

test('conversations that wait are limited, one VM has its share, and time ends them', () => {
  const bench = new UdpBench();
  const gate = new SlowGate();
  bench.policy.gate = gate;
  const share = UNDECIDED_LIMIT / 2;
  for (let from = 1; from <= share + 10; from++) bench.send('8.8.8.8', 53, 'x', { from });
  assert.deepEqual([gate.asked.length, bench.engine.counters.dropFlood], [share, 10]);
  bench.timers.advance(9000);
  bench.send('8.8.8.8', 53, 'x', { from: 60_000 });
  assert.equal(gate.asked.length, share);
  bench.timers.advance(10_100);
  bench.send('8.8.8.8', 53, 'x', { from: 60_000 });
  assert.equal(gate.asked.length, share + 1);
  gate.decide[0]!(ELSEWHERE);
  assert.deepEqual(bench.targets, []);
  bench.neighbour.port = null;
  bench.engine.detached();
  gate.decide[share]!(ELSEWHERE);
  assert.deepEqual(bench.targets, []);
  bench.engine.close();
});
