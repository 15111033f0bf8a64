import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TcpEngine } from '../../src/flow/tcp/engine.ts';
import type { TcpFlow } from '../../src/flow/tcp/flow.ts';
import { ClientAddress } from '../../src/forward/client-address.ts';
import { ForwardCounters, GuestConnections } from '../../src/forward/guest-connections.ts';
import { Neighbour, type NeighbourTable } from '../../src/gateway/neighbour.ts';
import type { StreamEndpoint } from '../../src/host/endpoint.ts';
import { IpAddress } from '../../src/packet/address.ts';
import { TimerWheel } from '../../src/runtime/timer-wheel.ts';

const GATEWAY = IpAddress.parse('192.168.127.1')!;
const CLIENT = IpAddress.parse('203.0.113.7')!;
const LOOPBACK = IpAddress.parse('127.0.0.1')!;
const GUEST = IpAddress.parse('192.168.127.2')!;

/** Connections to a guest whose TCP is written down here. */
class Bench {
  readonly timers: TimerWheel = new TimerWheel(0);
  readonly counters: ForwardCounters = new ForwardCounters();
  /** Who the guest was connected to, as it saw them. */
  readonly asked: string[] = [];
  readonly flows: TcpFlow[] = [];
  readonly aborted: TcpFlow[] = [];
  resets = 0;
  /** What the engine has no room for. */
  taken: (address: string, port: number) => boolean = () => false;
  known = true;
  readonly connections: GuestConnections;

  constructor() {
    const tcp = {
      connect: (_to: Neighbour, _port: number, from: IpAddress, port: number): TcpFlow | null => {
        this.asked.push(`${from.toString()}:${port}`);
        if (this.taken(from.toString(), port)) return null;
        const flow = { onEstablished: null, onClosed: null } as unknown as TcpFlow;
        this.flows.push(flow);
        return flow;
      },
      reset: (flow: TcpFlow) => void this.aborted.push(flow),
    } as unknown as TcpEngine;
    const neighbours = {
      resolve: (_w0: number, _w1: number, _w2: number, _w3: number, done: (neighbour: Neighbour | null) => void) =>
        done(this.known ? new Neighbour(GUEST.w0, GUEST.w1, GUEST.w2, GUEST.w3) : null),
    } as unknown as NeighbourTable;
    const isOutside = ({ w3 }: IpAddress): boolean => w3 >>> 24 !== 127;
    const clients = new ClientAddress({ gatewayFor: () => GATEWAY, isOutside, taken: new Set(), preserve: true });
    const { timers, counters } = this;
    this.connections = new GuestConnections({ address: GUEST, port: 80 }, { neighbours, tcp, timers, clients, counters });
  }

  accept(client: IpAddress, port: number): void {
    const endpoint = { reset: () => void this.resets++ } as unknown as StreamEndpoint;
    this.connections.accept(endpoint, client, port);
  }
}

test('§19 #634: a client keeps its address and port, where they are taken its address', () => {
  const bench = new Bench();
  bench.accept(CLIENT, 4000);
  bench.taken = (_address, port) => port === 4000;
  bench.accept(CLIENT, 4000);
  assert.deepEqual(bench.asked, ['203.0.113.7:4000', '203.0.113.7:4000', '203.0.113.7:0']);
  assert.deepEqual([bench.resets, bench.counters.refused], [0, 0]);
});

test('§9.3: who is seen as the gateway comes from a port that the gateway picks', () => {
  const bench = new Bench();
  bench.accept(LOOPBACK, 4000);
  // A client of a unix socket.
  bench.accept(new IpAddress(0, 0, 0, 0), 0);
  assert.deepEqual(bench.asked, ['192.168.127.1:0', '192.168.127.1:0']);
});

test('§9.3: a guest has ten seconds to answer', () => {
  const bench = new Bench();
  bench.accept(CLIENT, 1);
  bench.accept(CLIENT, 2);
  bench.accept(CLIENT, 3);
  bench.timers.advance(9_000);
  bench.flows[0]!.onEstablished!();
  bench.flows[1]!.onClosed!();
  bench.timers.advance(9_900);
  assert.deepEqual(bench.aborted, []);
  bench.timers.advance(10_100);
  assert.deepEqual(bench.aborted, [bench.flows[2]]);
  assert.equal(bench.counters.timedOut, 1);
});

test('a client is reset when there is no guest, or no room for its connection', () => {
  const bench = new Bench();
  bench.known = false;
  bench.accept(CLIENT, 1);
  bench.known = true;
  bench.taken = () => true;
  bench.accept(CLIENT, 2);
  assert.deepEqual([bench.resets, bench.counters.refused, bench.flows.length], [2, 2, 0]);
});
