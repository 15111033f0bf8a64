import assert from 'node:assert/strict';
import { Duplex, PassThrough, Writable } from 'node:stream';
import { test } from 'node:test';
import { SendGate, type GateWire } from '../../src/ssh/send-gate.ts';
import { Wire } from '../../src/ssh/wire.ts';

interface FakeWire extends GateWire {
  taken: number;
  writableNeedDrain: boolean;
}

/** Gives what it is given to the wire at once, as ssh2's channels do; or to nobody, while keys are exchanged. */
class FakeChannel extends Writable {
  readonly #wire: FakeWire;
  exchangesKeys = false;
  taken = 0;

  constructor(wire: FakeWire) {
    super();
    this.#wire = wire;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.taken += chunk.length;
    if (!this.exchangesKeys) this.#wire.taken += chunk.length;
    done();
  }
}

function setting() {
  const wire: FakeWire = { taken: 0, writableNeedDrain: false };
  return { wire, gate: new SendGate(wire), channel: new FakeChannel(wire) };
}

const CHUNK = Buffer.alloc(100);

test('what is sent goes at once while the wire is clear', () => {
  const { gate, channel } = setting();
  for (let n = 0; n < 5; n++) gate.send(channel, CHUNK, () => {});
  assert.equal(channel.taken, 500);
});

test('a wire that is full is given nothing until it drains, and then only until it is full again', () => {
  const { wire, gate, channel } = setting();
  wire.writableNeedDrain = true;
  for (let n = 0; n < 5; n++) gate.send(channel, CHUNK, () => {});
  assert.equal(channel.taken, 0);
  gate.release();
  assert.equal(channel.taken, 0);
  wire.writableNeedDrain = false;
  const other = new FakeChannel(wire);
  gate.send(other, CHUNK, () => {});
  assert.equal(other.taken, 0, 'who comes later waits behind the others');
  gate.release();
  assert.equal(channel.taken, 500);
  assert.equal(other.taken, 100);
});

test('a key exchange that never ends takes one chunk each time that something is sent', () => {
  const { gate, channel } = setting();
  channel.exchangesKeys = true;
  for (let n = 0; n < 50; n++) gate.send(channel, CHUNK, () => {});
  assert.equal(channel.taken, 100);
  gate.release();
  assert.equal(channel.taken, 200);
  channel.exchangesKeys = false;
  gate.release();
  assert.equal(channel.taken, 5000);
});

test('a channel that waits for its window holds up nobody else', () => {
  const { gate, channel } = setting();
  const blocked = new Writable({ write: () => {} });
  let done = false;
  gate.send(blocked, CHUNK, () => (done = true));
  gate.send(channel, CHUNK, () => {});
  assert.equal(channel.taken, 100);
  assert.equal(done, false);
});

test('what waited is forgotten when the connection is gone', () => {
  const { wire, gate, channel } = setting();
  wire.writableNeedDrain = true;
  gate.send(channel, CHUNK, () => {});
  gate.clear();
  wire.writableNeedDrain = false;
  gate.release();
  assert.equal(channel.taken, 0);
});

/** A stream that takes nothing until it is told to. */
function slowStream() {
  const waiting: (() => void)[] = [];
  const taken: Buffer[] = [];
  const stream = new Duplex({
    read: () => {},
    write(chunk: Buffer, _encoding, done) {
      taken.push(chunk);
      waiting.push(() => done());
    },
  });
  return { stream, waiting, taken };
}

test('the wire counts what it was given, whether it has left or not', () => {
  const { stream, waiting } = slowStream();
  let writes = 0;
  const wire = new Wire(stream, () => writes++);
  wire.write(CHUNK);
  wire.write(CHUNK);
  assert.equal(wire.taken, 200);
  assert.equal(writes, 1);
  waiting.shift()!();
  assert.equal(wire.taken, 200);
});

test('the wire passes bytes and ends both ways, and keeps back-pressure', async () => {
  const inner = new PassThrough();
  const wire = new Wire(inner, () => {});
  let sent = 0;
  while (wire.write(Buffer.alloc(10_000, sent & 0xff))) sent++;
  assert.ok(sent < 100, `${sent} chunks without a reader`);
  wire.end();
  let received = 0;
  for await (const chunk of wire) received += (chunk as Buffer).length;
  assert.equal(received, (sent + 1) * 10_000);
});

test('the end of one stream is the end of the other', async () => {
  const { stream } = slowStream();
  const wire = new Wire(stream, () => {});
  wire.destroy();
  assert.equal(stream.destroyed, true);
  const other = slowStream();
  const second = new Wire(other.stream, () => {});
  const failed = new Promise((resolve) => second.on('error', resolve));
  const reason = new Error('reset');
  other.stream.destroy(reason);
  assert.equal(await failed, reason);
});
