import assert from 'node:assert/strict';
import { test } from 'node:test';
import { collapse } from '../../../src/flow/tcp/congestion.ts';
import type { TcpContext } from '../../../src/flow/tcp/context.ts';
import { TcpFlow } from '../../../src/flow/tcp/flow.ts';
import { GuestLinks } from '../../../src/flow/tcp/guest-link.ts';
import type { Neighbour } from '../../../src/gateway/neighbour.ts';
import type { Port } from '../../../src/link/port.ts';
import { IpAddress } from '../../../src/packet/address.ts';

const MSS = 1460;

function flowWith(inFlight: number): TcpFlow {
  const neighbour = { port: {} as Port, w0: 0, w1: 0, w2: 0xffff, w3: 1 } as Neighbour;
  const flow = new TcpFlow({ ready: () => {}, expired: () => {} }, neighbour, new GuestLinks(), 1000, IpAddress.v4(2), 80);
  flow.sack = true;
  flow.mss = MSS;
  flow.cwnd = 10 * MSS;
  flow.sndWnd = 65_535;
  flow.sndNxt = flow.sndMax = inFlight;
  return flow;
}

const context = { timers: { now: 1000 } } as TcpContext;

test('a timeout of one segment, or of a FIN, keeps no record of when things were sent', () => {
  for (const inFlight of [1, MSS]) {
    const flow = flowWith(inFlight);
    collapse(context, flow);
    assert.equal(flow.rack, null);
    assert.equal(flow.sndNxt, flow.sndUna);
    assert.equal(flow.cwnd, MSS);
  }
});

test('a timeout of more than a segment repairs from the first hole', () => {
  const flow = flowWith(2 * MSS);
  collapse(context, flow);
  assert.notEqual(flow.rack, null);
  assert.equal(flow.recovering, true);
  assert.equal(flow.lostEdge, 2 * MSS);
});
