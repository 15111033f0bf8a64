import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IpAddress } from '../../../src/packet/address.ts';
import { attachGuest } from '../../../src/testing/index.ts';
import { type Answer, codeOf, createWorld } from './world.ts';

const ZONE = '/v1/dns/zones/example.internal.';
const WWW = { name: 'www', ip: '192.168.127.9' };

test('a zone is made, answers guests, is replaced and removed', async (t) => {
  const { ask, network } = await createWorld(t);
  const { guest } = attachGuest(network, '5a:94:ef:e4:0c:ee');
  await guest.dhcp();
  const made = await ask('PUT', ZONE, { records: [WWW], defaultIp: '192.168.127.10' });
  assert.deepEqual([made.status, made.body], [201, { name: 'example.internal.', records: [WWW], defaultIp: '192.168.127.10' }]);
  assert.deepEqual(await guest.resolve('www.example.internal'), ['192.168.127.9']);
  assert.deepEqual(await guest.resolve('other.example.internal'), ['192.168.127.10']);
  const replaced = await ask('PUT', '/v1/dns/zones/EXAMPLE.internal', { records: [{ regexp: '^db[0-9]/?$', ip: '192.168.127.11' }] });
  assert.deepEqual(
    [replaced.status, replaced.body],
    [200, { name: 'EXAMPLE.internal.', records: [{ regexp: '^db[0-9]/?$', ip: '192.168.127.11' }] }],
  );
  assert.deepEqual(await guest.resolve('db7.example.internal'), ['192.168.127.11']);
  assert.deepEqual(await guest.resolve('www.example.internal').catch(() => []), []);
  assert.equal((await ask('DELETE', ZONE)).status, 204);
  assert.equal(codeOf(await ask('GET', ZONE)), 'no-such-zone');
  assert.equal((await ask('DELETE', ZONE)).status, 404);
});

test('zones are listed in the order in which they are searched, and replacing keeps the place', async (t) => {
  const { ask } = await createWorld(t);
  const names = async (): Promise<string[]> =>
    ((await ask('GET', '/v1/dns/zones')).body as { zones: { name: string }[] }).zones.map(({ name }) => name);
  assert.deepEqual(await names(), ['containers.internal.', 'docker.internal.']);
  for (const name of ['b.test', 'a.test.', 'b.test']) await ask('PUT', `/v1/dns/zones/${name}`, { records: [WWW] });
  assert.deepEqual(await names(), ['containers.internal.', 'docker.internal.', 'b.test.', 'a.test.']);
});

test('records are made in front, changed in place, shown and removed', async (t) => {
  const { ask } = await createWorld(t);
  await ask('PUT', ZONE, { records: [WWW] });
  const made = await ask('PUT', `${ZONE}/records/db.one`, { ip: '192.168.127.3' });
  assert.deepEqual([made.status, made.body], [201, { name: 'db.one', ip: '192.168.127.3' }]);
  const changed = await ask('PUT', `${ZONE}/records/WWW`, { ip: '192.168.127.4' });
  assert.deepEqual([changed.status, changed.body], [200, { name: 'www', ip: '192.168.127.4' }]);
  const pattern = `${ZONE}/records/${encodeURIComponent('~^x/y%2F?$')}`;
  assert.equal((await ask('PUT', pattern, { ip: '192.168.127.5' })).status, 201);
  assert.deepEqual((await ask('GET', pattern)).body, { regexp: '^x/y%2F?$', ip: '192.168.127.5' });
  assert.deepEqual((await ask('GET', `${ZONE}/records`)).body, {
    records: [
      { regexp: '^x/y%2F?$', ip: '192.168.127.5' },
      { name: 'db.one', ip: '192.168.127.3' },
      { name: 'www', ip: '192.168.127.4' },
    ],
  });
  assert.equal((await ask('DELETE', pattern)).status, 204);
  assert.equal((await ask('DELETE', `${ZONE}/records/www`)).status, 204);
  assert.equal(codeOf(await ask('DELETE', `${ZONE}/records/www`)), 'no-such-record');
  assert.deepEqual((await ask('GET', ZONE)).body, { name: 'example.internal.', records: [{ name: 'db.one', ip: '192.168.127.3' }] });
  const last = await ask('DELETE', `${ZONE}/records/db.one`);
  assert.deepEqual([last.status, codeOf(last)], [409, 'zone-would-be-empty']);
  await ask('PUT', ZONE, { records: [WWW], defaultIp: '192.168.127.6' });
  assert.equal((await ask('DELETE', `${ZONE}/records/www`)).status, 204);
  assert.deepEqual((await ask('GET', ZONE)).body, { name: 'example.internal.', records: [], defaultIp: '192.168.127.6' });
});

test('names, addresses and patterns that make no sense are refused, and change nothing', async (t) => {
  const { ask, network } = await createWorld(t);
  const before = network.zones.list();
  for (const name of [
    '.',
    'a..b',
    '-a.test',
    `${'a'.repeat(64)}.test`,
    'a%20b.test',
    `${'a.'.repeat(127)}test`,
    'b%C3%BCro.test',
    'a%2Fb',
  ]) {
    const answer = await ask('PUT', `/v1/dns/zones/${name === '.' ? '%2E%2F' : name}`, { records: [WWW] });
    assert.deepEqual([answer.status, codeOf(answer)], [400, 'invalid-request'], name);
  }
  for (const [content, text] of [
    [{ records: [{ ip: '1.2.3.4' }] }, 'a record needs a name or a regexp'],
    [{ records: [{ name: 'a' }] }, 'records.0.ip'],
    [{ records: [{ name: 'a', ip: '1.2.3.256' }] }, 'records.0.ip: Invalid IPv4 address'],
    [{ records: [{ name: 'a', ip: '::1' }] }, 'records.0.ip'],
    [{ records: [{ regexp: '(', ip: '1.2.3.4' }] }, 'records.0: error parsing regexp'],
    [{ records: {} }, 'records: Invalid input: expected array'],
    [{ defaultIp: 5 }, 'defaultIp'],
    [{ name: 'x' }, 'Unrecognized key'],
    [{}, 'a zone needs a record or a default address'],
    [[], 'expected object'],
  ] as const) {
    const answer = await ask('PUT', ZONE, content);
    assert.deepEqual([answer.status, codeOf(answer)], [400, 'invalid-request'], JSON.stringify(content));
    assert.ok(answer.text.includes(text), answer.text);
  }
  assert.equal(codeOf(await ask('PUT', `${ZONE}/records/a`, { ip: '1.2.3.4' })), 'no-such-zone');
  assert.equal(network.zones.list(), before);
});

test('zones that programs in guests trust are not changed', async (t) => {
  const { ask, network } = await createWorld(t);
  const before = network.zones.list();
  for (const answer of [
    await ask('PUT', '/v1/dns/zones/Containers.Internal', { records: [WWW] }),
    await ask('PUT', '/v1/dns/zones/containers.internal./records/host', { ip: '1.2.3.4' }),
    await ask('DELETE', '/v1/dns/zones/containers.internal./records/host'),
    await ask('DELETE', '/v1/dns/zones/docker.internal.'),
  ]) {
    assert.deepEqual([answer.status, codeOf(answer)], [403, 'zone-refused']);
    assert.match(answer.text, /is protected/);
  }
  assert.equal(network.zones.list(), before);
});

test('where guests have IPv6 a name has an address of each version, set one by one and removed together', async (t) => {
  const { ask, network } = await createWorld(t, { ipv6: true });
  const answers = (name: string): string[] =>
    [1, 28].map((type) => {
      const found = network.zones.answer(name, type, () => false);
      if (!Array.isArray(found)) return String(found);
      const hex = found.map((bytes: Uint8Array) =>
        Buffer.from(bytes)
          .toString('hex')
          .replaceAll(/(.{4})(?=.)/g, '$1:'),
      );
      return hex.map((text) => (type === 28 ? IpAddress.parse(text)!.toString() : text)).join();
    });
  const made = await ask('PUT', ZONE, { records: [WWW], defaultIp: 'FD01:0:0::00ff' });
  assert.deepEqual([made.status, made.body], [201, { name: 'example.internal.', records: [WWW], defaultIp: 'fd01::ff' }]);
  assert.deepEqual(answers('www.example.internal'), ['c0a8:7f09', '']);
  const put = (ip: string): Promise<Answer> => ask('PUT', `${ZONE}/records/www`, { ip });
  const [six, again, four] = [await put('fd01::1'), await put('fd01::2'), await put('192.168.127.4')];
  assert.deepEqual([six.status, again.status, four.status], [201, 200, 200]);
  assert.deepEqual(answers('www.example.internal'), ['c0a8:7f04', 'fd01::2']);
  assert.deepEqual(answers('other.example.internal'), ['', 'fd01::ff']);
  const both = [
    { name: 'www', ip: 'fd01::2' },
    { name: 'www', ip: '192.168.127.4' },
  ];
  assert.deepEqual((await ask('GET', `${ZONE}/records`)).body, { records: both });
  assert.equal((await ask('DELETE', `${ZONE}/records/www`)).status, 204);
  assert.deepEqual(answers('www.example.internal'), ['', 'fd01::ff']);
  assert.equal((await ask('DELETE', ZONE)).status, 204);
  assert.deepEqual(answers('www.example.internal'), ['undefined', 'undefined']);
  for (const ip of ['fd01::g', 'fe80::1%eth0', '1::2::3']) {
    const refused = await ask('PUT', ZONE, { defaultIp: ip });
    assert.ok(refused.status === 400 && refused.text.includes('defaultIp: Invalid IPv6 address'), refused.text);
  }
});

test('where guests have none, an address of IPv6 is refused with the reason', async (t) => {
  const { ask } = await createWorld(t);
  await ask('PUT', ZONE, { records: [WWW] });
  for (const [path, body, where] of [
    [ZONE, { records: [{ name: 'a', ip: 'fd01::1' }] }, 'records.0.ip'],
    [ZONE, { defaultIp: 'fd01::1' }, 'defaultIp'],
    [`${ZONE}/records/www`, { ip: 'fd01::1' }, 'ip'],
  ] as const) {
    const answer = await ask('PUT', path, body);
    assert.deepEqual([answer.status, codeOf(answer)], [400, 'invalid-request']);
    assert.ok(answer.text.includes(`"${where}: fd01::1 is of IPv6, which guests of this network don't have"`), answer.text);
  }
});
