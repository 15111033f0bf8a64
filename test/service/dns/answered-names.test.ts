import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Answer, encode } from 'dns-packet';
import { ADDRESS_LIMIT, AnsweredNames } from '../../../src/service/dns/answered-names.ts';
import type { Vm } from '../../../src/flow/listener.ts';

const [one, other] = [{}, {}] as [Vm, Vm];

function answer(name: string, answers: Answer[]): Uint8Array {
  return encode({ type: 'response', questions: [{ type: 'A', name }], answers });
}

function a(name: string, data: string, ttl = 0): Answer {
  return { type: 'A', name, data, ttl };
}

test('names lead to the addresses that they were answered with, through aliases, for that VM alone', () => {
  const names = new AnsweredNames(() => 0);
  names.learn(answer('WWW.example', [{ type: 'CNAME', name: 'www.example', data: 'cdn.example' }, a('cdn.example', '10.0.0.1')]), one);
  names.learn(answer('six.example', [{ type: 'AAAA', name: 'six.example', data: '2001:db8::1' }]), one);
  assert.deepEqual(names.of(one, '10.0.0.1'), ['www.example', 'cdn.example']);
  assert.deepEqual(names.of(one, '2001:db8::1'), ['six.example']);
  assert.deepEqual([names.of(other, '10.0.0.1'), names.of(one, '10.0.0.2')], [[], []]);
});

test('a name is forgotten when its answer is too old, a minute at the soonest and a day at the latest', () => {
  let now = 0;
  const names = new AnsweredNames(() => now);
  for (const [name, ttl] of Object.entries({ short: 1, hour: 3600, forever: 2 ** 31 - 1 }))
    names.learn(answer(name, [a(name, '10.0.0.1', ttl)]), one);
  const at = (seconds: number): string[] => {
    now = seconds * 1000;
    return names.of(one, '10.0.0.1');
  };
  assert.deepEqual(at(59), ['forever', 'hour', 'short']);
  assert.deepEqual(at(61), ['forever', 'hour']);
  assert.deepEqual(at(3601), ['forever']);
  assert.deepEqual(at(86_401), []);
});

test('a VM fills no more than its own limits, and the oldest go', () => {
  const names = new AnsweredNames(() => 0);
  for (let i = 0; i < ADDRESS_LIMIT + 1; i++) names.learn(answer('many', [a('many', `10.0.${i >> 8}.${i & 255}`)]), one);
  for (let i = 0; i < 9; i++) names.learn(answer(`n${i}`, [a(`n${i}`, '10.1.0.0')]), one);
  assert.deepEqual([names.of(one, '10.0.0.0'), names.of(one, '10.0.0.1'), names.of(one, '10.0.4.0')], [[], [], ['many']]);
  assert.deepEqual(names.of(one, '10.1.0.0'), ['n8', 'n7', 'n6', 'n5', 'n4', 'n3', 'n2', 'n1']);
});

test('an answer that cannot be read tells nothing', () => {
  const names = new AnsweredNames(() => 0);
  const whole = answer('x', [a('x', '10.0.0.1')]);
  for (let length = 0; length < whole.length; length++) names.learn(whole.subarray(0, length), one);
  assert.deepEqual(names.of(one, '10.0.0.1'), []);
});
