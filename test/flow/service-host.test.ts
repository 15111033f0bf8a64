import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GatewayServices } from '../../src/flow/service-host.ts';
import { UdpEngine } from '../../src/flow/udp/engine.ts';
import { ACK, Bench, RST, SYN } from './tcp/bench.ts';

const GATEWAY = '192.168.127.1';

/** A service on port 7 that counts whom it has met. */
function serve(): { bench: Bench; met: () => number } {
  const bench = new Bench();
  let met = 0;
  const services = new GatewayServices(bench.arena, bench.engine, undefined as unknown as UdpEngine, () => {});
  services.listenStream(7, (connection) => {
    met++;
    connection.on('error', () => {});
  });
  bench.guest({ flags: SYN, port: 7, to: GATEWAY });
  bench.ack = (bench.next().seq + 1) | 0;
  return { bench, met: () => met };
}

test('a guest that resets before its handshake is complete troubles nobody', async () => {
  const { bench, met } = serve();
  bench.guest({ flags: RST, port: 7, to: GATEWAY });
  // An error event without a listener would end the process from a tick of its own.
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(bench.engine.size, 0);
  assert.equal(met(), 0);
});

test('a guest that goes, or falls silent, before its handshake is complete troubles nobody', async () => {
  for (const leave of [(bench: Bench) => bench.later(300_000), gone]) {
    const { bench, met } = serve();
    leave(bench);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(bench.engine.size, 0);
    assert.equal(met(), 0);
  }
});

test('a service meets a guest once the handshake is complete', () => {
  const { bench, met } = serve();
  assert.equal(met(), 0);
  bench.guest({ flags: ACK, port: 7, to: GATEWAY });
  assert.equal(met(), 1);
});

function gone(bench: Bench): void {
  bench.neighbour.port = null;
  bench.engine.detached();
}
