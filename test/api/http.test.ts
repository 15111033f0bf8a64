/** What holds for every request (contract §13.2), and where the API listens (§5.1). */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { readBody } from '../../src/api/request-body.ts';
import { serveApi } from '../../src/api/serve.ts';
import { listenErrorText } from '../../src/cli/go-errors.ts';
import { temporaryFolder } from '../guest/process.ts';
import { bench, collect, dialUrl, FakeForwards, parseAnswer, requestText } from './fixture.ts';

const NOT_FOUND = '404 page not found\n';

test('§13.2: an answer is labelled, measured and worded as in Go', async (t) => {
  const { ask } = await bench(t);
  const zones = await ask('GET', '/services/dns/all');
  assert.equal(zones.headers['content-type'], 'text/plain; charset=utf-8');
  assert.equal(zones.headers['content-length'], String(zones.body.length));
  assert.ok(zones.body.endsWith(']\n'));
  const nothing = await ask('GET', '/nothing');
  assert.deepEqual([nothing.status, nothing.body], [404, NOT_FOUND]);
  assert.equal(nothing.headers['content-type'], 'text/plain; charset=utf-8');
  assert.equal(nothing.headers['x-content-type-options'], 'nosniff');
  assert.deepEqual((await ask('GET', '/')).body, NOT_FOUND);
  assert.equal((await ask('GET', '/stats/')).status, 404);
  assert.equal((await ask('GET', '/__proto__')).status, 404);
});

test('§13.2: what is long comes in chunks, and HTTP/1.0 gets it as it is', async (t) => {
  const { ask, exchange } = await bench(t);
  const stats = await ask('GET', '/stats');
  assert.equal(stats.headers['transfer-encoding'], 'chunked');
  assert.equal(stats.headers['content-length'], undefined);
  const old = parseAnswer(await exchange('GET /stats HTTP/1.0\r\n\r\n'));
  assert.equal(old.headers['transfer-encoding'], undefined);
  assert.deepEqual(Object.keys(JSON.parse(old.body) as object), Object.keys(JSON.parse(stats.body) as object));
});

test('§13.2: reading takes any method, changing wants POST', async (t) => {
  const { ask } = await bench(t);
  for (const method of ['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']) {
    const answer = await ask(method, '/leases');
    assert.equal(answer.status, 200, method);
    assert.match(answer.body, /192\.168\.127\.2/);
  }
  const head = await ask('HEAD', '/leases');
  assert.deepEqual([head.status, head.body], [200, '']);
  for (const path of ['/services/forwarder/expose', '/services/forwarder/unexpose', '/services/dns/add']) {
    const answer = await ask('GET', path);
    assert.deepEqual([answer.status, answer.body], [400, 'post only\n'], path);
  }
});

test('§13.2: a path that is not clean is redirected to the one that is', async (t) => {
  const { ask } = await bench(t);
  const get = await ask('GET', '//services/./x/../dns//all?a=1&b=<2>');
  assert.deepEqual([get.status, get.headers['location']], [301, '/services/dns/all?a=1&b=<2>']);
  assert.equal(get.headers['content-type'], 'text/html; charset=utf-8');
  assert.equal(get.body, '<a href="/services/dns/all?a=1&amp;b=&lt;2&gt;">Moved Permanently</a>.\n\n');
  const post = await ask('POST', '/services/../../stats', '{}');
  assert.deepEqual([post.status, post.headers['location'], post.body], [301, '/stats', '']);
  assert.equal((await ask('GET', '/nothing/..')).headers['location'], '/');
  const absolute = await ask('GET', 'http://unix/services/dns/all');
  assert.equal(absolute.status, 200);
  assert.equal((await ask('GET', '/%73tats')).status, 200);
});

test('§13.2: a Host may be empty but not missing, except in HTTP/1.0', async (t) => {
  const { exchange } = await bench(t);
  const status = async (head: string): Promise<string> =>
    (await exchange(`${head}\r\n\r\n`, /\r\n\r\n.+/s)).replace(/\r\n.*\r\n\r\n/s, ' ');
  assert.match(await status('GET /leases HTTP/1.1\r\nHost: '), /^HTTP\/1\.1 200 OK \{/);
  assert.match(await status('GET /leases HTTP/1.1\r\nHost: unix'), /^HTTP\/1\.1 200 OK \{/);
  assert.match(await status('GET /leases HTTP/1.0'), /^HTTP\/1\.1 200 OK \{/);
  assert.equal(await status('GET /leases HTTP/1.1\r\nX: y'), 'HTTP/1.1 400 Bad Request 400 Bad Request: missing required Host header');
  assert.equal(
    await status('GET /leases HTTP/1.1\r\nHost: a\r\nHost: b'),
    'HTTP/1.1 400 Bad Request 400 Bad Request: too many Host headers',
  );
});

test('§13.2: a connection serves one request after the other, and those sent ahead', async (t) => {
  const { dial, exchange } = await bench(t);
  const request = 'GET /nothing HTTP/1.1\r\nHost: \r\n\r\n';
  const both = await exchange(request + request, new RegExp(`${NOT_FOUND}[^]*${NOT_FOUND}`));
  assert.doesNotMatch(both, /connection:/i);
  const socket = await dial();
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
  for (let i = 1; i <= 3; i++) {
    socket.write(request);
    while (text.split(NOT_FOUND).length <= i) await once(socket, 'data');
  }
  socket.destroy();
});

test('requests that are sent ahead are answered one at a time, and others get their turn between them', async (t) => {
  const forwards = new FakeForwards();
  const { exchange } = await bench(t, { forwards });
  const asked: number[] = [];
  let turns = 0;
  forwards.list = () => {
    asked.push(turns);
    return [];
  };
  let next = setImmediate(function turn() {
    turns++;
    next = setImmediate(turn);
  });
  t.after(() => clearImmediate(next));
  const count = 32;
  const path = '/services/forwarder/all';
  const ahead = `GET ${path} HTTP/1.1\r\nHost: \r\n\r\n`.repeat(count - 1);
  const answers = await exchange(ahead + requestText('GET', path, '', { Host: '' }));
  assert.equal(answers.split('[]\n').length - 1, count);
  assert.ok(new Set(asked).size > count / 4, asked.join(' '));
});

test('a client that sends more than 32 requests ahead is cut off', async (t) => {
  const forwards = new FakeForwards();
  const { exchange, ask } = await bench(t, { forwards });
  let asked = 0;
  forwards.list = () => {
    asked++;
    return [];
  };
  await exchange('GET /services/forwarder/all HTTP/1.1\r\nHost: \r\n\r\n'.repeat(1000)).catch(() => {});
  assert.ok(asked <= 32, String(asked));
  assert.equal((await ask('GET', '/services/forwarder/all')).status, 200);
});

test('what is no HTTP is answered and ended', async (t) => {
  const { exchange } = await bench(t);
  assert.match(await exchange('\0\0\0\0\n\r\n\r\n'), /^HTTP\/1\.1 400 Bad Request\r\n[^]*\r\n\r\n400 Bad Request$/);
  assert.match(await exchange('GET /stats HTTP/1.1\r\nHost x\r\n\r\n'), /^HTTP\/1\.1 400 /);
  assert.match(await exchange('GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n'), /^HTTP\/1\.1 400 /);
  assert.match(await exchange('CONNECT example.org:80 HTTP/1.1\r\nHost: x\r\n\r\n'), /^HTTP\/1\.1 404 /);
  const long = `GET /stats HTTP/1.1\r\nHost: x\r\nX: ${'a'.repeat(9000)}\r\n\r\n`;
  assert.match(await exchange(long), /^HTTP\/1\.1 431 Request Header Fields Too Large\r\n/);
  assert.match(await exchange(`GET /connect HTTP/1.1\r\nHost: x\r\nX: ${'a'.repeat(9000)}\r\n\r\n`), /^HTTP\/1\.1 431 /);
  assert.match(await exchange('a'.repeat(20_000)), /^HTTP\/1\.1 4(?:00|31) /);
});

test('a body of more than 1 MiB is refused, whether it says so or not', async (t) => {
  const { ask, exchange } = await bench(t);
  const announced = parseAnswer(
    await exchange(`POST /services/dns/add HTTP/1.1\r\nHost: \r\nContent-Length: ${(1 << 20) + 1}\r\n\r\n`, /\n\r?\n.*\n$/s),
  );
  assert.deepEqual([announced.status, announced.body], [413, 'request body too large: the limit is 1048576 bytes\n']);
  const chunk = `10000\r\n${' '.repeat(65_536)}\r\n`;
  const chunked = await exchange(
    `POST /services/dns/add HTTP/1.1\r\nHost: \r\nTransfer-Encoding: chunked\r\n\r\n${chunk.repeat(17)}`,
    /limit is/,
  );
  assert.match(chunked, /^HTTP\/1\.1 413 /);
  const whole = await ask('POST', '/services/dns/add', ' '.repeat(1 << 20));
  assert.deepEqual([whole.status, whole.body], [400, 'EOF\n']);
  for (const path of ['/services/forwarder/expose', '/services/forwarder/unexpose']) {
    const forward = await ask('POST', path, ' '.repeat(4097));
    assert.deepEqual([forward.status, forward.body], [413, 'request body too large: the limit is 4096 bytes\n'], path);
  }
});

test('a body that comes byte by byte takes the memory of its bytes', async () => {
  setFlagsFromString('--expose-gc');
  const collectGarbage = runInNewContext('gc') as () => void;
  const size = 300_000;
  collectGarbage();
  const before = process.memoryUsage().heapUsed;
  let grown = 0;
  async function* bytes(): AsyncGenerator<Buffer> {
    for (let i = 0; i < size; i++) yield Buffer.from('x');
    collectGarbage();
    grown = process.memoryUsage().heapUsed - before;
  }
  const request = { headers: {}, iterator: () => bytes() } as unknown as IncomingMessage;
  assert.equal((await readBody(request, size)).length, size);
  assert.ok(grown < 8 << 20, `${grown} bytes`);
});

test('§13.2: clients that are slow or silent are cut off, at every stage', async (t) => {
  const { dial, ask } = await bench(t, { timeout: 150 });
  const gone = async (...pieces: string[]): Promise<string> => {
    const socket = await dial();
    const text = collect(socket).catch(() => '');
    // Often enough that an idle timer would never run out.
    const drip = setInterval(() => {
      const piece = pieces.shift();
      if (piece !== undefined && !socket.destroyed) socket.write(piece);
    }, 20);
    const answer = await text;
    clearInterval(drip);
    return answer;
  };
  const slow = 'GET /stats HTTP/1.1\r\nHost: x'.padEnd(200, 'x').split('');
  assert.equal(await gone(), '');
  assert.equal(await gone(...slow), '');
  assert.equal(await gone(...'POST /tunnel?ip=1.1.1.1&port=1 HTTP/1.1\r\nHost: x'.padEnd(200, 'x').split('')), '');
  assert.equal(await gone('POST /services/dns/add HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n', ...' '.repeat(200).split('')), '');
  assert.match(await gone('GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n'), /404 page not found\n$/);
  assert.equal((await ask('GET', '/leases')).status, 200);
});

test('the 513th connection is refused, and there is room again when others end', async (t) => {
  const { dial, ask } = await bench(t);
  const sockets = await Promise.all(Array.from({ length: 512 }, () => dial()));
  assert.match(await collect(await dial()).catch(() => ''), /^(?:HTTP\/1\.1 503 |$)/);
  for (const socket of sockets) socket.destroy();
  for (let tries = 0; tries < 100; tries++) {
    const { status } = await ask('GET', '/leases').catch(() => ({ status: 0 }));
    if (status === 200) return;
  }
  assert.fail('no room');
});

/** What is said about a URL. */
async function refused(t: TestContext, url: string): Promise<string> {
  const network = undefined as never;
  try {
    const api = await serveApi({ url, network, forwards: new FakeForwards() });
    t.after(() => api.close());
    return 'listens';
  } catch (error) {
    return listenErrorText(error);
  }
}

test('§5.1: a URL that can not be listened on is refused in the words of Go', async (t) => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'stale'), '');
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const { port } = server.address() as { port: number };
  assert.equal(await refused(t, `unix://${folder}/stale`), `listen unix ${folder}/stale: bind: address already in use`);
  assert.ok(existsSync(join(folder, 'stale')));
  assert.equal(await refused(t, `unix://${folder}/none/x`), `listen unix ${folder}/none/x: bind: no such file or directory`);
  assert.match(await refused(t, `unix:///${'x'.repeat(200)}`), /bind: invalid argument/);
  assert.equal(await refused(t, `tcp://127.0.0.1:${port}`), `listen tcp 127.0.0.1:${port}: bind: address already in use`);
  assert.equal(await refused(t, 'tcp://192.0.2.1:0'), 'listen tcp 192.0.2.1:0: bind: cannot assign requested address');
  assert.equal(await refused(t, 'tcp://localhost'), 'listen tcp: address localhost: missing port in address');
  assert.equal(await refused(t, 'tcp://localhost:99999'), 'listen tcp: address 99999: invalid port');
  assert.match(await refused(t, 'http://localhost:1'), /^unexpected scheme "http"/);
});

test('§5.1: a listener on TCP names its port, one on a unix socket takes its file away', async (t) => {
  const { network } = await bench(t);
  const forwards = new FakeForwards();
  for (const url of ['tcp://127.0.0.1:0', 'tcp://[::1]:0', 'tcp://localhost:0', 'tcp://:0']) {
    const api = await serveApi({ url, network, forwards });
    const [, port] = /:(\d+)$/.exec(api.address)!;
    const socket = await dialUrl(`tcp://${url.includes('::1') ? '[::1]' : '127.0.0.1'}:${port}`);
    socket.write(requestText('GET', '/leases', '', { Host: '' }));
    assert.match(await collect(socket), /^HTTP\/1\.1 200 /, url);
    await api.close();
    await assert.rejects(dialUrl(api.address.replace('[::]', '127.0.0.1')), { code: 'ECONNREFUSED' });
  }
  const path = join(temporaryFolder(), 'a b.sock');
  const api = await serveApi({ url: `unix://${path.replace(' ', '%20')}`, network, forwards });
  assert.ok(existsSync(path));
  await api.close();
  assert.ok(!existsSync(path));
});

test('a unix socket is its owner’s alone from its first moment, and one that has taken its place stays', async (t) => {
  const { network } = await bench(t);
  const mask = process.umask(0);
  t.after(() => process.umask(mask));
  const path = join(temporaryFolder(), 'api.sock');
  const options = { url: `unix://${path}`, network, forwards: new FakeForwards() };
  const api = await serveApi(options);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  unlinkSync(path);
  const other = await serveApi(options);
  await api.close();
  assert.ok(existsSync(path));
  await other.close();
  assert.ok(!existsSync(path));
});
