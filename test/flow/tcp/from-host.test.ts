/** Connections that a host opens to a guest: what the host does before the guest has answered is not forgotten. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ACK, addressOf, Bench, FIN, PSH, RST, SYN } from './bench.ts';
import { ECONNRESET } from '../../../src/system/errno.ts';
import { FakeStream } from './fake-host.ts';

const PORTS = { guestPort: 22, port: 20_000, to: '192.168.127.1' };

/** Opens a connection for a host side to which `before` has happened. */
function open(bench: Bench, before: (stream: FakeStream) => void = () => {}): FakeStream {
  const stream = new FakeStream(bench.arena);
  before(stream);
  assert.ok(bench.engine.connect(bench.neighbour, PORTS.guestPort, addressOf(PORTS.to), PORTS.port, stream) !== null);
  bench.round();
  bench.expect({ flags: SYN });
  return stream;
}

/** The guest completes the handshake. */
function answer(bench: Bench): void {
  bench.guest({ ...PORTS, flags: SYN | ACK, seq: 5000, ack: bench.ack });
}

test('a host that has sent and ended while the guest was being asked is heard to the end', () => {
  const bench = new Bench();
  const stream = open(bench);
  stream.put('hello');
  stream.end();
  bench.round();
  bench.silence();
  answer(bench);
  bench.expect({ flags: ACK | PSH | FIN, data: 'hello', ack: 5001 });
});

test('so is one that did so before there was a connection to hear of it', () => {
  const bench = new Bench();
  open(bench, (stream) => {
    stream.put('hello');
    stream.end();
  });
  answer(bench);
  bench.expect({ flags: ACK | PSH | FIN, data: 'hello', ack: 5001 });
});

test('bytes without an end are passed on, and the end follows when it comes', () => {
  const bench = new Bench();
  const stream = open(bench, (early) => early.put('hello'));
  answer(bench);
  bench.expect({ flags: ACK | PSH, data: 'hello' });
  stream.end();
  bench.round();
  bench.expect({ flags: ACK | FIN, data: '' });
});

test('a host that reset the connection before the guest has answered resets the guest', () => {
  const bench = new Bench();
  const stream = open(bench);
  stream.fail(ECONNRESET);
  bench.round();
  assert.equal(bench.engine.size, 0);
  bench.expect({ flags: RST });
});
