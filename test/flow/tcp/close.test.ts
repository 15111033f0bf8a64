import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ECONNRESET } from '../../../src/system/errno.ts';
import { ACK, Bench, FIN, PSH, RST, SYN } from './bench.ts';

test('the guest closes first: half-close is carried across, the host may go on, and nothing is left', () => {
  const bench = new Bench();
  const stream = bench.connected();
  bench.guest({ flags: FIN | ACK, data: 'bye' });
  bench.expect({ flags: ACK, ack: bench.seq });
  assert.equal(stream.written.toString(), 'bye');
  assert.equal(stream.shut, true);
  stream.put('still here');
  bench.round();
  bench.expect({ data: 'still here' });
  bench.guest({});
  stream.end();
  bench.round();
  bench.expect({ flags: FIN | ACK });
  bench.guest({});
  bench.silence();
  assert.equal(stream.closed && !stream.wasReset, true);
  assert.equal(bench.engine.size, 0);
});

test('the host closes first: FIN to the guest, the guest may go on, TIME-WAIT at the end', () => {
  const bench = new Bench();
  const stream = bench.connected();
  stream.put('last words');
  stream.end();
  bench.round();
  bench.expect({ flags: FIN | PSH | ACK, data: 'last words' });
  bench.guest({ data: 'more' });
  bench.expect({ flags: ACK });
  assert.equal(stream.written.toString(), 'more');
  bench.guest({ flags: FIN | ACK });
  bench.expect({ flags: ACK, ack: bench.seq });
  assert.equal(stream.shut && stream.closed, true);
  assert.equal(bench.engine.size, 1, 'TIME-WAIT');
  bench.guest({ flags: FIN | ACK, seq: bench.seq - 1 });
  bench.expect({ flags: ACK, ack: bench.seq });
  bench.later(11_000);
  assert.equal(bench.engine.size, 0);
});

test('both close at once (CLOSING)', () => {
  const bench = new Bench();
  const stream = bench.connected();
  stream.end();
  bench.round();
  const fin = bench.next();
  assert.equal(fin.flags, FIN | ACK);
  bench.guest({ flags: FIN | ACK, ack: fin.seq });
  bench.expect({ flags: ACK, ack: bench.seq });
  bench.guest({ ack: fin.seq + 1 });
  bench.silence();
  assert.equal(stream.closed, true);
  assert.equal(bench.engine.size, 1);
  bench.later(11_000);
  assert.equal(bench.engine.size, 0);
});

test('a lost FIN is sent again, also when it is the only thing in flight', () => {
  const bench = new Bench();
  const stream = bench.connected({ sack: false });
  stream.end();
  bench.round();
  const { seq } = bench.expect({ flags: FIN | ACK });
  bench.later(190);
  bench.silence();
  bench.later(40);
  bench.expect({ flags: FIN | ACK, seq });
  bench.guest({});
  bench.later(5000);
  bench.silence();
});

test('the end of the host stream is sent once, however often the endpoint reports it', () => {
  const bench = new Bench();
  const stream = bench.connected();
  stream.end();
  bench.round();
  const { seq } = bench.expect({ flags: FIN | ACK });
  stream.end();
  bench.round();
  bench.silence();
  bench.guest({ ack: seq });
  stream.end();
  bench.round();
  bench.silence();
  bench.guest({});
  bench.later(5000);
  bench.silence();
});

test('a FIN that went alone is retransmitted with the data in front of it when both were lost', () => {
  const bench = new Bench();
  const stream = bench.connected();
  stream.put('data');
  bench.round();
  const data = bench.expect({ flags: PSH | ACK, data: 'data' });
  stream.end();
  bench.round();
  bench.expect({ flags: FIN | ACK, seq: data.seq + 4 });
  bench.later(1100);
  bench.expect({ seq: data.seq, data: 'data', flags: FIN | PSH | ACK });
  bench.guest({ ack: data.seq + 5 });
  bench.guest({ flags: FIN | ACK });
  assert.equal(stream.closed && !stream.wasReset, true);
});

test('a host that fails behind its last bytes is not taken for ended', () => {
  const bench = new Bench();
  const stream = bench.connected();
  stream.put('data');
  stream.failBehindData(ECONNRESET);
  bench.round();
  const sent = bench.drain();
  assert.equal(
    sent.some(({ flags }) => (flags & FIN) !== 0),
    false,
  );
  assert.equal(sent.at(-1)!.flags & RST, RST);
});

test('duplicate ACKs below the FIN trigger its fast retransmit', () => {
  const bench = new Bench();
  const stream = bench.connected({ sack: false });
  stream.end();
  bench.round();
  const { seq } = bench.expect({ flags: FIN | ACK });
  for (let i = 0; i < 3; i++) bench.guest({ ack: seq });
  bench.expect({ flags: FIN | ACK, seq });
});

test('a new connection may reuse the ports in TIME-WAIT with a higher sequence number', () => {
  const bench = new Bench();
  const stream = bench.connected();
  stream.end();
  bench.round();
  bench.expect({ flags: FIN | ACK });
  bench.guest({ flags: FIN | ACK });
  bench.drain();
  bench.guest({ flags: SYN, seq: bench.seq - 100 });
  bench.expect({ flags: ACK });
  bench.guest({ flags: SYN, seq: bench.seq + 100 });
  bench.expect({ flags: SYN | ACK });
  assert.equal(bench.host.streams.length, 2);
});

test('flows in TIME-WAIT are bounded: the oldest go', () => {
  const bench = new Bench({ limits: { timeWait: 5 } });
  for (let guestPort = 1; guestPort <= 20; guestPort++) {
    bench.seq = 1000;
    bench.guest({ flags: SYN, guestPort });
    bench.expect({});
    bench.guest({ guestPort });
    bench.stream.end();
    bench.round();
    bench.expect({ flags: FIN | ACK });
    bench.guest({ flags: FIN | ACK, guestPort });
    bench.drain();
  }
  assert.equal(bench.engine.size, 5);
});

test("the guest's reset resets the host side; only an exact sequence number does (RFC 5961)", () => {
  const bench = new Bench();
  const stream = bench.connected();
  bench.guest({ flags: RST, seq: bench.seq + 100 });
  bench.expect({ flags: ACK, ack: bench.seq });
  bench.guest({ flags: RST, seq: bench.seq - 1 });
  bench.guest({ flags: RST, seq: bench.seq + 10_000_000 });
  bench.silence();
  assert.equal(stream.closed, false);
  bench.guest({ flags: RST });
  bench.silence();
  assert.equal(stream.wasReset, true);
  assert.equal(bench.engine.size, 0);
});

test('challenge ACKs are rationed', () => {
  const bench = new Bench();
  bench.connected();
  for (let i = 0; i < 1000; i++) bench.guest({ flags: RST, seq: bench.seq + 50 });
  assert.equal(bench.drain().length, 100);
});

test('a reset of the host is a reset to the guest, also while nothing can be sent', () => {
  for (const window of [65535, 0]) {
    const bench = new Bench();
    const stream = bench.connected({ window });
    stream.fail(ECONNRESET);
    bench.round();
    bench.expect({ flags: RST | ACK });
    assert.equal(bench.engine.size, 0);
  }
});

test('a host that fails while data waits for it resets the guest', () => {
  const bench = new Bench();
  const stream = bench.connected();
  stream.room = 1;
  bench.guest({ data: 'hello' });
  bench.drain();
  stream.fail(ECONNRESET);
  bench.round();
  bench.expect({ flags: RST | ACK });
});

test('segments of an unknown flow are answered with a reset, a reset with silence', () => {
  const bench = new Bench();
  bench.guest({ seq: 500, ack: 900, data: 'x' });
  bench.expect({ flags: RST, seq: 900 });
  bench.guest({ flags: FIN, seq: 500, data: 'abc' });
  bench.expect({ flags: RST | ACK, ack: 504 });
  bench.guest({ flags: RST, seq: 1 });
  bench.silence();
});

test('data after the FIN of the guest is ignored', () => {
  const bench = new Bench();
  const stream = bench.connected();
  bench.guest({ flags: FIN | ACK });
  bench.guest({ data: 'zombie' });
  assert.equal(stream.written.length, 0);
});

test('a silent guest is asked whether it is there, and given up when it is not', () => {
  const bench = new Bench();
  const stream = bench.connected();
  bench.later(121_000);
  const probe = bench.expect({ flags: ACK, length: 0 });
  assert.equal(probe.seq, (bench.ack - 1) | 0);
  bench.guest({});
  bench.later(100_000);
  bench.silence();
  bench.later(600_000);
  assert.equal(bench.engine.size, 0);
  assert.equal(stream.wasReset, true);
});

test('a clock that jumps hours ahead (suspend) does not kill a flow whose guest answers', () => {
  const bench = new Bench();
  const stream = bench.connected();
  bench.timers.advance(6 * 3_600_000);
  bench.round();
  bench.drain();
  bench.guest({ data: 'awake' });
  assert.equal(stream.written.toString(), 'awake');
  assert.equal(bench.engine.size, 1);
});

test('when the port goes every flow of its guests is reset on the host', () => {
  const bench = new Bench();
  const stream = bench.connected();
  bench.neighbour.port = null;
  bench.engine.detached();
  assert.equal(stream.wasReset, true);
  assert.equal(bench.engine.size, 0);
});

test('close resets both sides of everything', () => {
  const bench = new Bench();
  const stream = bench.connected();
  bench.engine.close();
  bench.expect({ flags: RST | ACK });
  assert.equal(stream.wasReset, true);
});
