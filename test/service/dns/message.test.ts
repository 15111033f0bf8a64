import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { emptyAnswer, matches, RCODE_FORMAT, RCODE_NOT_IMPLEMENTED, readQuery, truncate } from '../../../src/service/dns/message.ts';
import { query } from './bench.ts';

/** A query for the labels given as raw bytes, type A, class IN. */
function raw(question: readonly number[], flags = 0x0100, counts: readonly number[] = [1, 0, 0, 0]): Uint8Array {
  const header = [0x42, 0x42, flags >> 8, flags & 255, ...counts.flatMap((count) => [count >> 8, count & 255])];
  return Uint8Array.from([...header, ...question]);
}

const A_IN = [0, 1, 0, 1];

test('reads name, type and the size a client takes', () => {
  const plain = readQuery(query('WWW.Example.com', 'AAAA'));
  assert.ok(typeof plain === 'object');
  assert.deepEqual([plain.id, plain.name, plain.type, plain.limit, plain.questionEnd], [0x4242, 'WWW.Example.com', 28, 512, 33]);
  for (const [size, limit] of [
    [4096, 4096],
    [100, 512],
    [65_535, 65_535],
  ]) {
    const edns = readQuery(
      query('a.b', 'A', { additionals: [{ type: 'OPT', name: '.', udpPayloadSize: size!, flags: 0, options: [] } as never] }),
    );
    assert.ok(typeof edns === 'object');
    assert.equal(edns.limit, limit);
  }
});

test('does not answer responses and what is shorter than a header', () => {
  assert.equal(readQuery(raw([0, ...A_IN], 0x8100)), undefined);
  for (let length = 0; length < 12; length++) assert.equal(readQuery(query('a.b').subarray(0, length)), undefined);
});

test('finds every truncation of a query malformed', () => {
  const whole = query('gateway.containers.internal');
  for (let length = 12; length < whole.length; length++) assert.equal(readQuery(whole.subarray(0, length)), RCODE_FORMAT, `${length}`);
});

test('takes exactly one question and few records', () => {
  for (const counts of [
    [0, 0, 0, 0],
    [2, 0, 0, 0],
    [1, 2, 0, 0],
    [1, 0, 2, 0],
    [1, 0, 0, 3],
    [0xffff, 0xffff, 0xffff, 0xffff],
  ])
    assert.equal(readQuery(raw([0, ...A_IN], 0x0100, counts)), RCODE_FORMAT, counts.join());
  assert.ok(typeof readQuery(raw([0, ...A_IN], 0x0100, [1, 1, 1, 2])) === 'object');
});

test('knows QUERY and NOTIFY only', () => {
  for (let opcode = 0; opcode < 16; opcode++) {
    const read = readQuery(raw([0, ...A_IN], opcode << 11));
    if (opcode === 0 || opcode === 4) assert.ok(typeof read === 'object');
    else assert.equal(read, RCODE_NOT_IMPLEMENTED);
  }
});

test('takes no pointers in the question: a name that points to itself ends there', () => {
  for (const question of [
    [0xc0, 12, ...A_IN],
    [1, 97, 0xc0, 12, ...A_IN],
    [0x40, 0, ...A_IN],
    [0x80, 0, ...A_IN],
  ])
    assert.equal(readQuery(raw(question)), RCODE_FORMAT);
});

test('takes a name of 255 bytes and none of 256', () => {
  const labels = (last: number): number[] => [63, 63, 63, last].flatMap((length) => [length, ...Array<number>(length).fill(97)]);
  assert.ok(typeof readQuery(raw([...labels(61), 0, ...A_IN])) === 'object');
  assert.equal(readQuery(raw([...labels(62), 0, ...A_IN])), RCODE_FORMAT);
  assert.equal(readQuery(raw([...Array.from({ length: 200 }, () => [1, 97]).flat(), 0, ...A_IN])), RCODE_FORMAT);
});

test('an answer keeps id, opcode, RD and CD, sets QR and RA, and nothing else', () => {
  const bytes = raw([0, ...A_IN], 0x2000 | 0x0110 | 0x0600 | 0x0060);
  const answer = emptyAnswer(bytes, bytes.length, RCODE_NOT_IMPLEMENTED);
  assert.deepEqual([...answer], [0x42, 0x42, 0xa1, 0x94, 0, 1, 0, 0, 0, 0, 0, 0, 0, ...A_IN]);
  const malformed = emptyAnswer(bytes, 12, RCODE_FORMAT);
  assert.deepEqual([...malformed], [0x42, 0x42, 0x81, 0x91, 0, 0, 0, 0, 0, 0, 0, 0], 'FORMERR has opcode QUERY');
});

test('an answer is one only with id, QR and question', () => {
  const asked = readQuery(query('www.example.com'));
  assert.ok(typeof asked === 'object');
  const good = emptyAnswer(query('WWW.example.COM'), asked.questionEnd, 0);
  assert.ok(matches(good, asked, 0x4242));
  assert.ok(!matches(good, asked, 0x4243));
  assert.ok(!matches(query('www.example.com'), asked, 0x4242), 'a query');
  assert.ok(!matches(emptyAnswer(query('www.example.org'), asked.questionEnd, 0), asked, 0x4242));
  assert.ok(!matches(emptyAnswer(query('www.example.com', 'AAAA'), asked.questionEnd, 0), asked, 0x4242));
  for (let length = 0; length < good.length; length++) assert.ok(!matches(good.subarray(0, length), asked, 0x4242), `${length}`);
});

test('a truncated answer is header and question with TC', () => {
  const asked = readQuery(query('a.b'));
  assert.ok(typeof asked === 'object');
  const long = Uint8Array.from([...emptyAnswer(asked.bytes, asked.questionEnd, 0), ...new Uint8Array(600)]);
  long.set([0, 9, 0, 9, 0, 9], 6);
  const short = truncate(long, asked);
  assert.equal(short.length, asked.questionEnd);
  assert.deepEqual([...short.subarray(2, 12)], [0x83, 0x80, 0, 1, 0, 0, 0, 0, 0, 0]);
});

test('never throws, whatever the bytes', () => {
  const good = query('gateway.containers.internal', 'A', {
    additionals: [{ type: 'OPT', name: '.', udpPayloadSize: 1232, flags: 0, options: [] } as never],
  });
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(good.length), fc.boolean(), (bytes, at, inside) => {
      const input = inside ? Uint8Array.from([...good.subarray(0, at), ...bytes]) : bytes;
      const read = readQuery(input);
      if (typeof read !== 'object') return;
      assert.ok(read.questionEnd <= input.length && read.limit >= 512);
      matches(input, read, 1);
    }),
    { numRuns: 1000 },
  );
});
