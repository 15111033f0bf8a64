import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';
import { knownHostKeys, keyType } from '../../src/ssh/known-hosts.ts';

const HOST = '192.168.127.2';

/** A key in wire format that only has the right type. */
function key(content: string, type = 'ssh-ed25519'): Buffer {
  const text = Buffer.from(type + content);
  return Buffer.concat([Buffer.from([0, 0, 0, type.length]), text]);
}

function line(names: string, content: string, type = 'ssh-ed25519'): string {
  return `${names} ${type} ${key(content, type).toString('base64')}`;
}

function accepted(file: string, host = HOST, port = 22): string[] {
  return knownHostKeys(file, host, port).accepted.map((found) => found.toString('latin1', 4 + keyType(found).length));
}

function hashed(name: string): string {
  const salt = Buffer.from('a salt of twenty 20b');
  return `|1|${salt.toString('base64')}|${createHmac('sha1', salt).update(name).digest('base64')}`;
}

test('a host has the keys of all lines that name it, in their order', () => {
  const file = [line(HOST, 'one'), line('other', 'two'), line(`other,${HOST}`, 'three', 'ssh-rsa'), '', `# ${line(HOST, 'four')}`].join(
    '\n',
  );
  assert.deepEqual(accepted(file), ['one', 'three']);
});

test('hashed names are found', () => {
  assert.deepEqual(accepted(`${line(hashed(HOST), 'one')} comment\r\n${line(hashed('10.0.0.1'), 'two')}\n|1|broken ssh-rsa AAAA`), ['one']);
});

test('a host on another port has entries of its own', () => {
  const file = [line(HOST, 'plain'), line(`[${HOST}]:2022`, 'with port'), line(hashed(`[${HOST}]:2022`), 'hashed')].join('\n');
  assert.deepEqual(accepted(file, HOST, 2022), ['with port', 'hashed']);
  assert.deepEqual(accepted(file, HOST, 22), ['plain']);
});

test('wildcards match and exclamation marks exclude', () => {
  assert.deepEqual(accepted(line('192.168.*', 'one')), ['one']);
  assert.deepEqual(accepted(line('192.168.12?.2', 'one')), ['one']);
  assert.deepEqual(accepted(line('192.168.*,!*.2', 'one')), []);
  assert.deepEqual(accepted(line('*.3', 'one')), []);
  assert.deepEqual(accepted(line('192*7.?', 'one')), ['one']);
  assert.deepEqual(accepted(line('192.168.127.2?', 'one')), []);
  assert.deepEqual(accepted(line('GUEST', 'one'), 'guest'), ['one']);
});

test('a pattern of many stars is judged in no time', () => {
  const started = process.cpuUsage().user;
  assert.deepEqual(accepted(line(`${'*a'.repeat(200)}b`, 'one'), 'a'.repeat(10_000)), []);
  assert.ok(process.cpuUsage().user - started < 2_000_000);
});

test('revoked keys are told apart, and authorities are passed over', () => {
  const file = [`@revoked ${line('*', 'bad')}`, `@cert-authority ${line('*', 'authority')}`, line(HOST, 'good')].join('\n');
  assert.deepEqual(accepted(file), ['good']);
  assert.deepEqual(knownHostKeys(file, HOST, 22).revoked, [key('bad')]);
});

test('lines that make no sense are passed over', () => {
  const other = key('x', 'ssh-rsa').toString('base64');
  assert.deepEqual(
    accepted([HOST, `${HOST} ssh-ed25519`, `${HOST} ssh-ed25519 ***`, `${HOST} ssh-ed25519 ${other}`, '\0', '@'].join('\n')),
    [],
  );
});
