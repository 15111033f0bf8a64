import assert from 'node:assert/strict';
import { test } from 'node:test';
import { codeOf, createWorld } from './world.ts';

const WEB = { protocol: 'tcp', local: '127.0.0.1:8080', remote: '192.168.127.2:80' };

test('a forward is made, shown, listed and removed', async (t) => {
  const { ask } = await createWorld(t);
  const made = await ask('POST', '/v1/forwards', WEB);
  assert.equal(made.status, 201);
  assert.equal(made.headers.get('content-type'), 'application/json');
  assert.deepEqual(made.body, { forwards: [{ ...WEB, boundPort: 8080 }] });
  const place = made.headers.get('location')!;
  assert.equal(place, '/v1/forwards/tcp/127.0.0.1%3A8080');
  const shown = await ask('GET', place);
  assert.deepEqual([shown.status, shown.body], [200, { ...WEB, boundPort: 8080 }]);
  assert.deepEqual((await ask('GET', '/v1/forwards')).body, { forwards: [{ ...WEB, boundPort: 8080 }] });
  const gone = await ask('DELETE', place);
  assert.deepEqual([gone.status, gone.text], [204, '']);
  assert.equal(codeOf(await ask('GET', place)), 'no-such-forward');
  assert.equal((await ask('DELETE', place)).status, 404);
  assert.deepEqual((await ask('GET', '/v1/forwards')).body, { forwards: [] });
});

test('the protocol is tcp when it is left out, and port 0 is reported back as bound', async (t) => {
  const { ask } = await createWorld(t);
  const made = await ask('POST', '/v1/forwards', { local: '127.0.0.1:0', remote: '192.168.127.2:80' });
  assert.deepEqual(made.body, { forwards: [{ protocol: 'tcp', local: '127.0.0.1:0', remote: '192.168.127.2:80', boundPort: 40_000 }] });
});

test('a range is as many forwards as it has ports, on both sides', async (t) => {
  const { ask, registry } = await createWorld(t);
  const made = await ask('POST', '/v1/forwards', { protocol: 'udp', local: '[::1]:8000-8010', remote: '192.168.127.2:9000-9010' });
  assert.equal(made.status, 201);
  const { forwards } = made.body as { forwards: { local: string; remote: string }[] };
  assert.equal(forwards.length, 11);
  assert.deepEqual(
    [forwards[0], forwards[10]].map((forward) => [forward!.local, forward!.remote]),
    [
      ['[::1]:8000', '192.168.127.2:9000'],
      ['[::1]:8010', '192.168.127.2:9010'],
    ],
  );
  assert.equal((await ask('DELETE', '/v1/forwards', [{ protocol: 'udp', local: '[::1]:8000-8009' }])).status, 204);
  assert.deepEqual([...registry.forwards.keys()], ['udp:[::1]:8010']);
});

test('ranges that make no sense are refused with the reason', async (t) => {
  const { ask, registry } = await createWorld(t);
  for (const [local, remote, message] of [
    ['127.0.0.1:10-20', '192.168.127.2:10', 'only one of 127.0.0.1:10-20 and 192.168.127.2:10 is a range'],
    ['127.0.0.1:10-20', '192.168.127.2:10-21', '127.0.0.1:10-20 and 192.168.127.2:10-21 have different numbers of ports'],
    ['127.0.0.1:20-10', '192.168.127.2:20-10', '127.0.0.1:20-10: the last port is before the first'],
    ['127.0.0.1:0-10', '192.168.127.2:0-10', '127.0.0.1:0-10: ports of a range are from 1 to 65535'],
    ['127.0.0.1:65530-65536', '192.168.127.2:1-7', '127.0.0.1:65530-65536: ports of a range are from 1 to 65535'],
    ['127.0.0.1:1-1025', '192.168.127.2:1-1025', '127.0.0.1:1-1025: one request may be about 1024 forwards at most'],
  ]) {
    const answer = await ask('POST', '/v1/forwards', { local, remote });
    assert.deepEqual([answer.status, codeOf(answer)], [400, 'invalid-range'], local);
    assert.equal((answer.body as { error: { message: string } }).error.message, message);
  }
  const many = Array.from({ length: 3 }, (_, i) => ({ local: `127.0.0.${i}:1-500`, remote: '192.168.127.2:1-500' }));
  assert.equal(codeOf(await ask('POST', '/v1/forwards', many)), 'invalid-range');
  assert.equal(registry.forwards.size, 0);
});

test("a unix socket's path is no range and comes percent-encoded", async (t) => {
  const { ask } = await createWorld(t);
  const local = '/run/a b:1-2/ü%2F?#.sock';
  const made = await ask('POST', '/v1/forwards', { protocol: 'unix', local, remote: 'tcp://192.168.127.2:80' });
  assert.deepEqual(made.body, { forwards: [{ protocol: 'unix', local, remote: 'tcp://192.168.127.2:80' }] });
  const place = made.headers.get('location')!;
  assert.equal(place, `/v1/forwards/unix/${encodeURIComponent(local)}`);
  assert.equal(((await ask('GET', place)).body as { local: string }).local, local);
  assert.equal((await ask('DELETE', place)).status, 204);
});

test('several are made all or none, and removed all or none', async (t) => {
  const { ask, registry } = await createWorld(t);
  const second = { protocol: 'tcp', local: '127.0.0.1:8081', remote: '192.168.127.2:81' };
  registry.taken.add('127.0.0.1:8081');
  const failed = await ask('POST', '/v1/forwards', [WEB, second]);
  assert.deepEqual([failed.status, codeOf(failed)], [422, 'bind-failed']);
  assert.match(failed.text, /listen tcp 127\.0\.0\.1:8081: bind: address already in use/);
  assert.equal(registry.forwards.size, 0);
  registry.taken.clear();
  const made = await ask('POST', '/v1/forwards', [WEB, second]);
  assert.equal(made.status, 201);
  assert.equal(made.headers.get('location'), null);
  const missing = await ask('DELETE', '/v1/forwards', [{ local: WEB.local }, { local: '127.0.0.1:1' }]);
  assert.deepEqual([missing.status, codeOf(missing)], [404, 'no-such-forward']);
  assert.equal(registry.forwards.size, 2);
  assert.equal((await ask('DELETE', '/v1/forwards', [{ local: WEB.local }, { local: second.local }, { local: WEB.local }])).status, 204);
  assert.equal(registry.forwards.size, 0);
});

test('of racing requests for one forward exactly one wins, the others conflict', async (t) => {
  const { ask, registry } = await createWorld(t);
  const answers = await Promise.all(Array.from({ length: 50 }, () => ask('POST', '/v1/forwards', WEB)));
  assert.equal(answers.filter(({ status }) => status === 201).length, 1);
  assert.equal(answers.filter((answer) => answer.status === 409 && codeOf(answer) === 'forward-exists').length, 49);
  assert.match(answers.find(({ status }) => status === 409)!.text, /proxy already running for tcp on 127\.0\.0\.1:8080/);
  assert.equal(registry.forwards.size, 1);
  assert.equal(
    (
      await ask('POST', '/v1/forwards', [
        { ...WEB, local: '127.0.0.1:1' },
        { ...WEB, local: '127.0.0.1:1' },
      ])
    ).status,
    409,
  );
  assert.equal(registry.forwards.size, 1);
});

test('what the registry refuses keeps its text; what it does not say is not told', async (t) => {
  const { ask, registry, failures } = await createWorld(t);
  const refused = await ask('POST', '/v1/forwards', { ...WEB, remote: '8.8.8.8:53' });
  assert.deepEqual([refused.status, codeOf(refused)], [400, 'invalid-address']);
  registry.exposeAll = () => Promise.reject(Object.assign(new Error('the secret of the host'), { code: 'EIO' }));
  const failed = await ask('POST', '/v1/forwards', WEB);
  assert.deepEqual([failed.status, codeOf(failed)], [500, 'internal']);
  assert.doesNotMatch(failed.text, /secret/);
  assert.match(failures.join(), /the secret of the host/);
});

test('requests that are malformed are told what is wrong, and change nothing', async (t) => {
  const { ask, registry } = await createWorld(t);
  for (const [body, code, text] of [
    ['', 'bad-json', 'the body is empty'],
    ['{"local":', 'bad-json', 'the body is no JSON'],
    ['{} {}', 'bad-json', 'the body is no JSON'],
    ['null', 'invalid-request', 'the body: Invalid input: expected object, received null'],
    ['[]', 'invalid-request', 'Too small'],
    ['"tcp"', 'invalid-request', 'expected object, received string'],
    ['{}', 'invalid-request', 'local: Invalid input: expected string, received undefined'],
    ['{"local":1,"remote":"x:1"}', 'invalid-request', 'local: Invalid input: expected string, received number'],
    ['{"local":"a:1","remote":"b:1","protocol":"sctp"}', 'invalid-request', 'protocol: Invalid option'],
    ['{"local":"a:1","remote":"b:1","extra":1}', 'invalid-request', 'Unrecognized key: \\"extra\\"'],
    ['{"local":"","remote":"b:1"}', 'invalid-request', 'local: Too small'],
    [
      '[{"local":"a:1","remote":"192.168.127.2:1"},{"local":2}]',
      'invalid-request',
      '1.local: Invalid input: expected string, received number',
    ],
    [`[${'['.repeat(100_000)}`, 'bad-json', 'the body is no JSON'],
    [`${'['.repeat(100_000)}${']'.repeat(100_000)}`, 'invalid-request', 'the body: '],
  ] as const) {
    const answer = await ask('POST', '/v1/forwards', body);
    assert.deepEqual([answer.status, codeOf(answer)], [400, code], body.slice(0, 60));
    assert.ok(answer.text.includes(text), `${body.slice(0, 60)}: ${answer.text}`);
    assert.ok(answer.text.length < 2000, `${answer.text.length} characters`);
  }
  assert.equal(registry.forwards.size, 0);
});

test('a body full of nonsense is refused in no time', async (t) => {
  const { ask } = await createWorld(t);
  await ask('POST', '/v1/forwards', '[1]');
  const times: number[] = [];
  for (let i = 0; i < 3; i++) {
    const started = performance.now();
    const answer = await ask('POST', '/v1/forwards', `[${'1,'.repeat(131_000)}1]`);
    times.push(performance.now() - started);
    assert.equal(codeOf(answer), 'invalid-request');
    assert.ok(answer.text.length < 2000);
  }
  assert.ok(Math.min(...times) < 500, `${times.join(', ')} ms`);
});

test('a body that is too large or no JSON by its type is refused', async (t) => {
  const { ask, registry } = await createWorld(t);
  const large = await ask('POST', '/v1/forwards', JSON.stringify({ ...WEB, local: 'x'.repeat(262_144) }));
  assert.deepEqual([large.status, codeOf(large)], [413, 'body-too-large']);
  for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/jsonp', '']) {
    const answer = await ask('POST', '/v1/forwards', JSON.stringify(WEB), { 'content-type': type });
    assert.deepEqual([answer.status, codeOf(answer)], [415, 'unsupported-media-type'], type);
  }
  assert.equal(registry.forwards.size, 0);
  const plus = await ask('POST', '/v1/forwards', JSON.stringify(WEB), { 'content-type': 'Application/JSON; charset=utf-8' });
  assert.equal(plus.status, 201);
});
