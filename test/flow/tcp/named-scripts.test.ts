/** Exchanges that have a name in the literature, each as a script of its own; see also states/, wrap.test.ts and endings.test.ts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ACK, Bench, defaultMss, FIN, PSH, RST, SYN, URG } from './bench.ts';

test('simultaneous open: both SYNs cross, both are answered, and data flows both ways (RFC 9293 §3.5, figure 7)', () => {
  const bench = new Bench();
  const stream = bench.fromHost();
  const { seq: iss } = bench.expect({ flags: SYN });
  bench.guest({ flags: SYN, seq: 5000 });
  bench.expect({ flags: SYN | ACK, seq: iss, ack: 5001 });
  bench.guest({ flags: SYN | ACK, seq: 5000, ack: iss + 1 });
  bench.expect({ flags: ACK, seq: iss + 1, ack: 5001 });
  bench.seq = 5001;
  bench.guest({ ack: iss + 1, data: 'guest' });
  bench.expect({ flags: ACK, ack: 5006 });
  assert.equal(stream.written.toString(), 'guest');
  stream.put('host');
  bench.round();
  bench.expect({ flags: PSH | ACK, seq: iss + 1, data: 'host' });
  bench.silence();
});

test('simultaneous open agrees on scale, SACK and segment size by the SYNs that crossed', () => {
  for (const options of [{ mss: 1000, scale: 3, sack: true }, false] as const) {
    const bench = new Bench();
    const stream = bench.fromHost();
    const { options: offered, seq } = bench.expect({ flags: SYN });
    assert.deepEqual([offered.mss, offered.windowScale >= 0, offered.sackPermitted], [1460, true, true]);
    bench.guest({ flags: SYN, seq: 5000, options });
    const { options: agreed } = bench.expect({ flags: SYN | ACK });
    assert.deepEqual([agreed.windowScale >= 0, agreed.sackPermitted], [options !== false, options !== false]);
    bench.guest({ seq: 5001, ack: seq + 1, window: 500 });
    stream.put(Buffer.alloc(5000));
    bench.round();
    const sent = bench.drain();
    assert.equal(
      sent.reduce((sum, { data }) => sum + data.length, 0),
      options === false ? 500 : 4000,
    );
    assert.equal(sent[0]!.data.length, options === false ? 500 : 1000);
  }
});

test('simultaneous close: the FINs cross, each is acknowledged, TIME-WAIT on our side (RFC 9293 §3.6, figure 13)', () => {
  const bench = new Bench();
  const stream = bench.connected();
  stream.end();
  bench.round();
  const { seq } = bench.next();
  bench.guest({ flags: FIN | ACK, ack: seq });
  bench.expect({ flags: ACK, seq: seq + 1, ack: bench.seq });
  assert.equal(stream.closed, false);
  bench.guest({ ack: seq + 1 });
  bench.silence();
  assert.equal(stream.closed && !stream.wasReset, true);
  bench.later(9000);
  assert.equal(bench.engine.size, 1);
  bench.later(1100);
  assert.equal(bench.engine.size, 0);
});

test("data, and the end, in the guest's SYN-ACK are taken", () => {
  const bench = new Bench();
  const stream = bench.fromHost();
  const { seq } = bench.expect({ flags: SYN });
  bench.guest({ flags: SYN | ACK | FIN, seq: 5000, ack: seq + 1, data: 'banner' });
  bench.expect({ flags: ACK, ack: 5008 });
  assert.equal(stream.written.toString(), 'banner');
  assert.equal(stream.shut, true);
});

test("a guest's SYN-ACK without options means 536 bytes (1220 with IPv6), no SACK, no scale either way", () => {
  const bench = new Bench();
  const stream = bench.fromHost();
  const { seq } = bench.expect({ flags: SYN });
  bench.guest({ flags: SYN | ACK, seq: 5000, ack: seq + 1, options: false, window: defaultMss() + 164 });
  bench.expect({ flags: ACK, window: 65_535 });
  bench.seq = 5001;
  stream.put(Buffer.alloc(2000));
  bench.round();
  assert.deepEqual(
    bench.drain().map(({ data }) => data.length),
    [defaultMss()],
  );
  bench.guest({ ack: seq + 1, seq: 5050, data: 'x' });
  assert.equal(bench.drain().at(-1)!.options.sackCount, 0);
});

test('without a scale our window is what its field says, to the byte', () => {
  const bench = new Bench();
  bench.guest({ flags: SYN, options: { scale: -1 } });
  bench.expect({ flags: SYN | ACK, window: 65_535 });
  bench.guest({});
  bench.stream.room = 0;
  bench.guest({ data: Buffer.alloc(1001) });
  bench.expect({ flags: ACK, window: 65_535 - 1001 });
  bench.guest({ data: Buffer.alloc(64_534) });
  bench.expect({ flags: ACK, window: 0 });
  bench.guest({ data: 'x' });
  bench.expect({ flags: ACK, ack: bench.seq - 1, window: 0 });
});

test('challenge ACKs are a hundred a second for all connections together, RST and SYN alike, and then there are more (RFC 5961 §7)', () => {
  const bench = new Bench();
  for (const guestPort of [1, 2]) {
    bench.guest({ flags: SYN, seq: 1000, guestPort });
    bench.expect({ flags: SYN | ACK });
    bench.guest({ seq: 1001, guestPort });
  }
  const challenge = (): number => {
    for (let i = 0; i < 100; i++) {
      bench.guest({ flags: RST, seq: 1100, guestPort: 1 });
      bench.guest({ flags: SYN, seq: 1100, guestPort: 2 });
    }
    return bench.drain().length;
  };
  assert.equal(challenge(), 100);
  bench.later(1000);
  assert.equal(challenge(), 100);
  assert.equal(bench.engine.size, 2);
});

test('our reopened window is told again to a guest whose probe shows that the update was lost (RFC 9293 §3.8.6.1)', () => {
  const bench = new Bench({ limits: { receiveWindow: 4096 } });
  const stream = bench.connected();
  stream.room = 0;
  bench.guest({ data: Buffer.alloc(4096) });
  bench.expect({ flags: ACK, window: 0 });
  stream.open(Infinity);
  bench.round();
  bench.expect({ flags: ACK, window: 4096 >> 7 });
  // That one was lost. A guest like Linux asks below its next byte, one like the RFC's with it.
  bench.guest({ seq: bench.seq - 1 });
  bench.expect({ flags: ACK, ack: bench.seq, window: 4096 >> 7 });
  bench.guest({ data: 'y' });
  bench.expect({ flags: ACK, ack: bench.seq });
  assert.equal(stream.written.length, 4097);
});

test("the guest's reopened window is learnt by our probe when its update was lost, and a window of one byte is used", () => {
  const bench = new Bench();
  const stream = bench.connected({ window: 0 });
  stream.put('hello');
  bench.later(250);
  bench.expect({ flags: ACK, seq: bench.ack - 1 });
  // The answer to the probe is lost, too.
  bench.later(450);
  bench.expect({ flags: ACK, seq: bench.ack - 1 });
  bench.guest({ window: 1 });
  bench.expect({ data: 'h' });
  bench.guest({ window: 4 });
  bench.expect({ data: 'ello' });
});

test('SACK reneging: what was reported and then dropped is sent again after the timeout, at once and completely (RFC 2018 §8)', () => {
  const bench = new Bench();
  const stream = bench.connected({ mss: 100 });
  const start = bench.ack;
  const text = 'abcdefghij'.repeat(50);
  stream.put(text);
  bench.round();
  assert.equal(bench.drain().length, 5);
  bench.guest({ ack: start, sack: [[start + 100, start + 500]] });
  assert.equal(bench.drain()[0]!.seq, start);
  // The guest runs out of memory and drops all that it has not acknowledged; it takes in order what it is sent from now on.
  let got = '';
  for (let i = 0; i < 20 && got.length < text.length; i++) {
    bench.later(250);
    for (let sent = bench.drain(); sent.length > 0; sent = bench.drain()) {
      for (const { seq, data } of sent) if (seq === ((start + got.length) | 0)) got += data.toString();
      bench.guest({ ack: start + got.length });
    }
  }
  assert.equal(got, text);
  assert.equal(stream.queued, 0);
  assert.equal(bench.counters.timeouts, 1);
});

test('urgent data passes in order with the rest, whatever the pointer says, also across segments and out of order', () => {
  const bench = new Bench();
  const stream = bench.connected();
  const start = bench.seq;
  bench.guest({ seq: start + 3, flags: ACK | URG, urgent: 1, data: 'def' });
  bench.guest({ seq: start, flags: ACK | URG, urgent: 65_535, data: 'abc' });
  bench.guest({ seq: start + 6, flags: ACK | URG | PSH, urgent: 0, data: 'ghi' });
  assert.equal(stream.written.toString(), 'abcdefghi');
  // A pointer to what does not exist holds nothing up.
  bench.guest({ seq: start + 9, flags: ACK | URG, urgent: 40_000 });
  bench.guest({ seq: start + 9, data: 'jkl' });
  assert.equal(stream.written.toString(), 'abcdefghijkl');
});

test('keep-alive probes of the guest, with a byte and without, are answered with what we have, and deliver nothing (RFC 9293 §3.8.4)', () => {
  const bench = new Bench();
  const stream = bench.connected();
  bench.guest({ data: 'abc' });
  bench.drain();
  for (const data of ['', 'c', '\0']) {
    bench.later(60_000);
    bench.guest({ seq: bench.seq - 1, data });
    bench.expect({ flags: ACK, ack: bench.seq, seq: bench.ack });
    bench.silence();
  }
  assert.equal(stream.written.toString(), 'abc');
  // A guest that asks is there: it is not asked.
  assert.equal(bench.counters.keepAliveProbes, 0);
});

test('an answer to our keep-alive of any form shows that the guest is there', () => {
  for (const answer of [{}, { data: 'x' }, { seq: 999 }]) {
    const bench = new Bench();
    bench.connected();
    for (let i = 0; i < 20; i++) {
      bench.later(136_000);
      for (const { seq } of bench.drain()) assert.ok(((seq - bench.ack) | 0) <= 0);
      bench.guest(answer);
      bench.drain();
    }
    assert.equal(bench.engine.size, 1);
  }
});
