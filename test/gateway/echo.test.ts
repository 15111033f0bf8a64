import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EchoForwarder } from '../../src/flow/echo.ts';
import { FlowPolicy } from '../../src/flow/policy.ts';
import type { EndpointHandler, HostNetwork, PingEndpoint } from '../../src/host/endpoint.ts';
import { IpAddress } from '../../src/packet/address.ts';
import { sum } from '../../src/packet/checksum.ts';
import * as ipv4 from '../../src/packet/ipv4.ts';
import { EACCES, EAGAIN, EMFILE, ENFILE } from '../../src/system/errno.ts';
import { FakePort } from '../fake-port.ts';
import { address, echoRequest, GatewayBench, ipFrame } from './bench.ts';

class FakePing implements PingEndpoint {
  handler: EndpointHandler;
  sequence = 0;
  readonly sent: number[] = [];
  readonly replies: { sequence: number; payload: Buffer }[] = [];
  closed = false;
  readonly bench: GatewayBench;

  constructor(bench: GatewayBench, handler: EndpointHandler) {
    this.bench = bench;
    this.handler = handler;
  }

  send(sequence: number, offset: number, length: number): number {
    this.sent.push(sequence);
    this.replies.push({ sequence, payload: Buffer.from(this.bench.arena.bytes.subarray(offset, offset + length)) });
    return 0;
  }

  receive(at: number): number {
    const reply = this.replies.shift();
    if (reply === undefined) return -EAGAIN;
    this.sequence = reply.sequence;
    this.bench.arena.bytes.set(reply.payload, at);
    return reply.payload.length;
  }

  close(): void {
    this.closed = true;
  }
}

function withEcho(answer = 0, script: number[] = []): { bench: GatewayBench; echo: EchoForwarder; pings: FakePing[]; targets: string[] } {
  const bench = new GatewayBench();
  const [pings, targets]: [FakePing[], string[]] = [[], []];
  const host = {
    openPing(target: { toString(): string }, handler: EndpointHandler): PingEndpoint | number {
      targets.push(target.toString());
      const status = script.shift() ?? answer;
      if (status < 0) return status;
      const ping = new FakePing(bench, handler);
      pings.push(ping);
      return ping;
    },
  } as unknown as HostNetwork;
  const policy = new FlowPolicy({ nat: [[IpAddress.parse('192.168.127.254')!, IpAddress.parse('127.0.0.1')!]], allowLinkLocal: false });
  const { arena, timers, gateway } = bench;
  const echo = new EchoForwarder(
    { arena, timers, gateway, host, policy, sum: (at, length, initial) => sum(arena.bytes, at, length, initial) },
    () => {},
  );
  gateway.icmpInput.echo = echo;
  gateway.onBatch(() => echo.endOfBatch());
  return { bench, echo, pings, targets };
}

test('a ping to another address is a real ping, answered from the address that was pinged', () => {
  for (const identifier of [9, 0]) {
    const { bench, echo, pings, targets } = withEcho();
    bench.input(ipFrame({ destination: '192.168.127.254', protocol: 1, payload: echoRequest(Buffer.from('abc'), identifier, 5) }));
    assert.deepEqual(targets, ['127.0.0.1']);
    assert.deepEqual(bench.port.take(), [], 'nothing before the host has answered');
    pings[0]!.handler.onReady(1);
    echo.pump();
    const [reply] = bench.port.take();
    assert.equal(ipv4.source(reply!, 14), address('192.168.127.254'));
    assert.deepEqual(
      [reply![34], reply!.readUInt16BE(38), reply!.readUInt16BE(40), reply!.subarray(42).toString()],
      [0, identifier, 5, 'abc'],
    );
    assert.equal(sum(reply!, 34, reply!.length - 34), 0xffff);
    bench.timers.advance(31_000);
    assert.equal(pings[0]!.closed, true);
    assert.equal(echo.size, 0);
  }
});

test('a host that forbids pings is told to the guest; blocked destinations are not tried', () => {
  const { bench, echo, targets } = withEcho(-EACCES);
  bench.input(ipFrame({ protocol: 1, payload: echoRequest(Buffer.alloc(8)) }));
  const [error] = bench.port.take();
  assert.deepEqual([error![34], error![35]], [3, 13]);
  bench.input(ipFrame({ destination: '169.254.169.254', protocol: 1, payload: echoRequest(Buffer.alloc(8)) }));
  assert.deepEqual(targets, ['10.0.0.1']);
  assert.deepEqual([echo.counters.notPermitted, echo.counters.blocked], [1, 1]);
});

test('ping flows are bounded: the one quiet longest makes room', () => {
  const { bench, echo, pings } = withEcho();
  for (let identifier = 0; identifier < 1000; identifier++) {
    bench.input(ipFrame({ protocol: 1, payload: echoRequest(Buffer.alloc(8), identifier) }));
  }
  // One VM, alone, has half.
  assert.equal(echo.size, 256);
  assert.equal(pings.filter(({ closed }) => closed).length, 744);
  const other = new FakePort(bench.arena, 1);
  bench.input(ipFrame({ source: '192.168.127.3', protocol: 1, payload: echoRequest(Buffer.alloc(8), 5) }), other);
  for (let identifier = 2000; identifier < 2500; identifier++) {
    bench.input(ipFrame({ protocol: 1, payload: echoRequest(Buffer.alloc(8), identifier) }));
  }
  assert.equal(pings.filter(({ closed }) => !closed).length, 1 + 256, "its own make room, not the other's");
  echo.detached(bench.port);
  assert.equal(echo.size, 1);
  assert.equal(pings.filter(({ closed }) => !closed).length, 1);
});

test('a host out of descriptors gets one back from the ping flow quiet longest; without one the ping is dropped', () => {
  for (const errno of [EMFILE, ENFILE]) {
    const { bench, echo, pings } = withEcho(0, [0, 0, -errno, 0]);
    const ping = (identifier: number): void => bench.input(ipFrame({ protocol: 1, payload: echoRequest(Buffer.alloc(8), identifier) }));
    ping(1);
    ping(2);
    ping(3);
    assert.deepEqual(
      pings.map(({ closed }) => closed),
      [true, false, false],
    );
    assert.deepEqual([echo.counters.hostExhausted, echo.counters.evicted, echo.counters.failed, echo.size], [1, 1, 0, 2]);
  }
  const { bench, echo, pings } = withEcho(0, [-EMFILE]);
  for (let i = 0; i < 2; i++) bench.input(ipFrame({ protocol: 1, payload: echoRequest(Buffer.alloc(8), 1) }));
  assert.deepEqual([echo.counters.hostExhausted, echo.counters.failed, pings.length], [1, 1, 1], 'the next one succeeds');
});

test('a batch of pings opens some flows only', () => {
  const { bench, echo } = withEcho();
  bench.inBatch = true;
  for (let identifier = 0; identifier < 100; identifier++) {
    bench.input(ipFrame({ protocol: 1, payload: echoRequest(Buffer.alloc(8), identifier) }));
  }
  assert.equal(echo.size, 32);
  assert.equal(echo.counters.dropFlood, 68);
  for (let sequence = 2; sequence < 200; sequence++) {
    bench.input(ipFrame({ protocol: 1, payload: echoRequest(Buffer.alloc(8), 1, sequence) }));
  }
  assert.equal(echo.counters.requests - echo.counters.dropFlood, 32 + 28, 'of 128 requests those of flows that were not opened count too');
  bench.inBatch = false;
  bench.input(ipFrame({ protocol: 1, payload: echoRequest(Buffer.alloc(8), 101) }));
  bench.input(ipFrame({ protocol: 1, payload: echoRequest(Buffer.alloc(8), 102) }));
  assert.equal(echo.size, 33);
});

/** An ARP announcement from `sender`. */
