/** What each endpoint says and does (contract §13.5 to §13.8, §14.1, §14.2). */
import assert from 'node:assert/strict';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { test } from 'node:test';
import { serveApi } from '../../src/api/serve.ts';
import { type Answer, bench, collect, dialUrl, FakeForwards, parseAnswer, requestText } from './fixture.ts';

const EXPOSE = '/services/forwarder/expose';
const UNEXPOSE = '/services/forwarder/unexpose';
const ADD = '/services/dns/add';

function brief({ status, body }: Answer): [number, string] {
  return [status, body];
}

test('§13.5: /cam tells the port of every MAC, /leases the MAC of every address, sorted as text', async (t) => {
  const { ask } = await bench(t, {}, { dhcpStaticLeases: { '192.168.127.2': '5a:94:ef:e4:0c:ee', '192.168.127.10': '5a:94:ef:00:00:0a' } });
  assert.deepEqual(brief(await ask('GET', '/cam')), [200, '{"5a:94:ef:e4:0c:ee":0}\n']);
  const leases = '{"192.168.127.1":"5a:94:ef:e4:0c:dd","192.168.127.10":"5a:94:ef:00:00:0a","192.168.127.2":"5a:94:ef:e4:0c:ee"}\n';
  assert.deepEqual(brief(await ask('GET', '/leases')), [200, leases]);
  assert.deepEqual(brief(await ask('GET', '/services/dhcp/leases')), [200, leases]);
});

test('§13.5: forwards are listed by local and protocol, in the order of bytes, as they were given', async (t) => {
  const { ask } = await bench(t);
  assert.deepEqual(brief(await ask('GET', '/services/forwarder/all')), [200, '[]\n']);
  const add = async (local: string, protocol: string, remote = '192.168.127.2:22'): Promise<void> => {
    assert.deepEqual(brief(await ask('POST', EXPOSE, JSON.stringify({ local, remote, protocol }))), [200, '']);
  };
  await add(':53', 'udp');
  await add(':53', 'tcp');
  await add('127.0.0.1:2222', 'tcp');
  await add('/tmp/a&b.sock', 'unix', 'ssh-tunnel://root@192.168.127.2/run/x.sock?key=/k');
  const listed = [
    '{"local":"/tmp/a\\u0026b.sock","remote":"ssh-tunnel://root@192.168.127.2/run/x.sock?key=/k","protocol":"unix"}',
    '{"local":"127.0.0.1:2222","remote":"192.168.127.2:22","protocol":"tcp"}',
    '{"local":":53","remote":"192.168.127.2:22","protocol":"tcp"}',
    '{"local":":53","remote":"192.168.127.2:22","protocol":"udp"}',
  ];
  assert.equal((await ask('GET', '/services/forwarder/all')).body, `[${listed.join(',')}]\n`);
});

test('§13.7: expose answers with nothing, and takes tcp where no protocol is named', async (t) => {
  const { ask, forwards } = await bench(t);
  const answer = await ask('POST', EXPOSE, '{"LOCAL":":9090","Remote":"192.168.127.2:8080","more":1} and more');
  assert.deepEqual(brief(answer), [200, '']);
  assert.equal(answer.headers['content-length'], '0');
  assert.equal(answer.headers['content-type'], undefined);
  assert.deepEqual(forwards.specs, [{ protocol: 'tcp', local: ':9090', remote: '192.168.127.2:8080' }]);
});

test('§13.7: a second expose says "proxy already running", an unknown protocol so, an unexpose of nothing "proxy not found"', async (t) => {
  const { ask } = await bench(t);
  const body = JSON.stringify({ local: '127.0.0.1:9090', remote: '192.168.127.2:8080' });
  assert.equal((await ask('POST', EXPOSE, body)).status, 200);
  assert.deepEqual(brief(await ask('POST', EXPOSE, body)), [500, 'proxy already running for tcp on 127.0.0.1:9090\n']);
  assert.deepEqual(brief(await ask('POST', EXPOSE, '{"protocol":"TCP","remote":"a:1"}')), [500, 'unknown protocol TCP\n']);
  assert.deepEqual(brief(await ask('POST', UNEXPOSE, '{"local":":9090"}')), [500, 'proxy not found\n']);
  assert.deepEqual(brief(await ask('POST', UNEXPOSE, '{"local":"127.0.0.1:9090","protocol":"udp"}')), [500, 'proxy not found\n']);
  assert.deepEqual(brief(await ask('POST', UNEXPOSE, '{"local":"127.0.0.1:9090","remote":"ignored"}')), [200, '']);
  assert.deepEqual(brief(await ask('POST', UNEXPOSE, body)), [500, 'proxy not found\n']);
});

test('§13.7: what is wrong with the JSON or with the form of the remote is the request’s fault', async (t) => {
  const { ask, forwards } = await bench(t);
  const fault = async (path: string, body: string, text: string): Promise<void> =>
    assert.deepEqual(brief(await ask('POST', path, body)), [400, `${text}\n`], body);
  await fault(EXPOSE, '', 'EOF');
  await fault(EXPOSE, '{"local":', 'unexpected EOF');
  await fault(UNEXPOSE, 'local', "invalid character 'l' looking for beginning of value");
  await fault(EXPOSE, '{"local":80}', 'json: cannot unmarshal number into Go struct field ExposeRequest.local of type string');
  await fault(UNEXPOSE, '[]', 'json: cannot unmarshal array into Go value of type types.UnexposeRequest');
  await fault(EXPOSE, '{"local":":1","remote":"192.168.127.2"}', 'address 192.168.127.2: missing port in address');
  await fault(EXPOSE, '{"local":":1","protocol":"udp"}', 'address : missing port in address');
  await fault(EXPOSE, '{"local":":1","remote":"nobody:1"}', 'address nobody:1: "nobody" is no IPv4 address of a guest');
  assert.deepEqual(forwards.specs, []);
});

test('§14.1: a remote without a host is the client’s own, which over a unix socket has no address', async (t) => {
  const { ask, network } = await bench(t);
  const body = JSON.stringify({ local: ':9090', remote: ':8080' });
  assert.deepEqual(brief(await ask('POST', EXPOSE, body)), [400, 'address @: missing port in address\n']);
  const forwards = new FakeForwards();
  for (const [host, remote] of [
    ['127.0.0.1', '127.0.0.1:8080'],
    ['[::1]', '[::1]:8080'],
  ] as const) {
    const api = await serveApi({ url: `tcp://${host}:0`, network, forwards });
    const socket = await dialUrl(api.address);
    socket.write(requestText('POST', EXPOSE, body, { Host: '' }));
    assert.equal(parseAnswer(await collect(socket)).status, 200);
    assert.equal(forwards.specs.pop()!.remote, remote);
    await api.close();
  }
});

test('racing exposes of one address: one is made, the others are told', async (t) => {
  const { ask, forwards } = await bench(t);
  const body = JSON.stringify({ local: ':9090', remote: '192.168.127.2:8080' });
  const answers = await Promise.all(Array.from({ length: 50 }, () => ask('POST', EXPOSE, body)));
  assert.equal(answers.filter(({ status }) => status === 200).length, 1);
  assert.equal(answers.filter(({ status, body: text }) => status === 500 && text.startsWith('proxy already running')).length, 49);
  assert.equal(forwards.specs.length, 1);
});

test('§13.5: zones are listed with the names of Go’s fields, and null where there are none', async (t) => {
  const { ask } = await bench(t);
  const records = '[{"Name":"gateway","IP":"192.168.127.1"},{"Name":"host","IP":"192.168.127.254"}]';
  const zone = (name: string): string => `{"Name":"${name}.internal.","Records":${records},"DefaultIP":""}`;
  assert.equal((await ask('GET', '/services/dns/all')).body, `[${zone('containers')},${zone('docker')}]\n`);
  const empty = await bench(t, {}, { dns: [] });
  assert.equal((await empty.ask('GET', '/services/dns/all')).body, 'null\n');
});

test('§13.6: a zone that is added answers at once, newest record first, and its default address goes with the next', async (t) => {
  const { ask, guest } = await bench(t, {}, { dns: [] });
  const add = async (zone: unknown): Promise<void> => assert.deepEqual(brief(await ask('POST', ADD, JSON.stringify(zone))), [200, '']);
  await add({ Name: 'dynamic.test.', DefaultIP: '192.168.127.9' });
  assert.deepEqual(await guest.resolve('any.dynamic.test'), ['192.168.127.9']);
  const bare = '[{"Name":"dynamic.test.","Records":null,"DefaultIP":"192.168.127.9"}]\n';
  assert.equal((await ask('GET', '/services/dns/all')).body, bare);
  await add({ name: 'test.', records: [{ name: 'a', ip: '192.168.127.3' }] });
  await add({
    name: 'Dynamic.test.',
    records: [
      { name: 'b', ip: '::ffff:192.168.127.4' },
      { regexp: '^c(/|[0-9]+)$', ip: '192.168.127.5' },
    ],
  });
  await add({ name: 'dynamic.test.', records: [{ name: 'b', ip: '192.168.127.6' }] });
  assert.deepEqual(await guest.resolve('b.dynamic.test'), ['192.168.127.6']);
  assert.deepEqual(await guest.resolve('c17.dynamic.test'), ['192.168.127.5']);
  assert.deepEqual(await guest.resolve('any.dynamic.test'), []);
  const records =
    '[{"Name":"b","IP":"192.168.127.6"},{"Name":"b","IP":"192.168.127.4"},{"Name":"","IP":"192.168.127.5","Regexp":"^c(/|[0-9]+)$"}]';
  const zones = `[{"Name":"dynamic.test.","Records":${records},"DefaultIP":""},{"Name":"test.","Records":[{"Name":"a","IP":"192.168.127.3"}],"DefaultIP":""}]\n`;
  assert.equal((await ask('GET', '/services/dns/all')).body, zones);
});

test('§13.6: where guests have IPv6 a zone that is added may have addresses of both versions, listed as Go writes them', async (t) => {
  const { ask, network } = await bench(t, {}, { dns: [], ipv6: true });
  const records = [
    { Name: 'a', IP: '10.0.0.1' },
    { Name: 'a', IP: 'FD01:0::0:1' },
  ];
  assert.deepEqual(brief(await ask('POST', ADD, JSON.stringify({ Name: 'test.', Records: records, DefaultIP: 'fd01::2' }))), [200, '']);
  const listed = '[{"Name":"a","IP":"10.0.0.1"},{"Name":"a","IP":"fd01::1"}]';
  assert.equal((await ask('GET', '/services/dns/all')).body, `[{"Name":"test.","Records":${listed},"DefaultIP":"fd01::2"}]\n`);
  const found = network.zones.answer('a.test', 28, () => false);
  assert.deepEqual(found, [new Uint8Array(Buffer.from('fd010000000000000000000000000001', 'hex'))]);
  const wrong = await ask('POST', ADD, '{"Name":"b.","DefaultIP":"fd01::x"}');
  assert.deepEqual(brief(wrong), [400, 'invalid IP address: fd01::x\n']);
});

test('§13.6, §19 #684: a zone without sense is refused, and those that guests rely on stay as they are', async (t) => {
  const { ask } = await bench(t);
  const before = (await ask('GET', '/services/dns/all')).body;
  const fault = async (body: string, text: string | RegExp): Promise<void> => {
    const answer = await ask('POST', ADD, body);
    assert.equal(answer.status, 400, body);
    if (typeof text === 'string') assert.equal(answer.body, `${text}\n`);
    else assert.match(answer.body, text);
  };
  await fault('', 'EOF');
  await fault('{"Name":"a.","DefaultIP":"1.2.3"}', 'invalid IP address: 1.2.3');
  await fault('{"Name":"a.","Records":[{"Name":"b","IP":"x"}]}', 'invalid IP address: x');
  await fault('{"Name":"a.","DefaultIP":"fe80::1"}', 'invalid IP address: fe80::1 (only IPv4 addresses can be answered with)');
  await fault('{"Name":"a.","DefaultIP":7}', 'json: cannot unmarshal number into Go struct field Zone.DefaultIP of type net.IP');
  await fault('{"Name":"a.","Records":[{"Regexp":"(","IP":"1.2.3.4"}]}', /^error parsing regexp: /);
  const long = `{"Name":"a.","Records":[{"Regexp":"${'a'.repeat(1025)}","IP":"1.2.3.4"}]}`;
  await fault(long, /^error parsing regexp: expression too long: the limit is 1024 characters\n$/);
  await fault('{"DefaultIP":"1.2.3.4"}', 'zone name is missing');
  await fault('{"Name":".","DefaultIP":"1.2.3.4"}', 'the root zone is not allowed');
  await fault('{"Name":"a.b","DefaultIP":"1.2.3.4"}', /fully qualified/);
  await fault('{"Name":"a b.","DefaultIP":"1.2.3.4"}', /no domain name/);
  await fault('{"Name":"a..","DefaultIP":"1.2.3.4"}', /no domain name/);
  await fault(`{"Name":"${'a'.repeat(64)}.","DefaultIP":"1.2.3.4"}`, /no domain name/);
  await fault('{"Name":"a."}', /needs a record or a default IP/);
  await fault('{"Name":"a.","Records":[{"Name":"b"}]}', /needs an IP/);
  await fault('{"Name":"a.","Records":[{"IP":"1.2.3.4"}]}', /needs a name or a regexp/);
  await fault('{"Name":"Containers.internal.","Records":[{"Name":"host","IP":"1.2.3.4"}]}', /is protected and can't be changed/);
  await fault('{"Name":"docker.internal.","DefaultIP":"1.2.3.4"}', /is protected/);
  assert.equal((await ask('GET', '/services/dns/all')).body, before);
});

test('§13.1: profiles are there at level debug only, and not on -services', async (t) => {
  const plain = await bench(t);
  const services = await bench(t, { debug: true, services: true });
  for (const path of ['', 'cmdline', 'profile', 'symbol']) {
    assert.equal((await plain.ask('GET', `/debug/pprof/${path}`)).status, 404);
    assert.equal((await services.ask('GET', `/debug/pprof/${path}`)).status, 404);
  }
  const { ask } = await bench(t, { debug: true });
  assert.equal((await ask('GET', '/debug/pprof')).headers['location'], '/debug/pprof/');
  assert.deepEqual(brief(await ask('GET', '/debug/pprof/cmdline')), [200, process.argv.join('\0')]);
  assert.equal((await ask('GET', '/debug/pprof/symbol')).status, 501);
  assert.match((await ask('GET', '/debug/pprof/profile')).body, /^profile duration exceeds server's WriteTimeout/);
  const profiles = await Promise.all([ask('GET', '/debug/pprof/profile?seconds=0.1'), ask('GET', '/debug/pprof/profile?seconds=0.1')]);
  assert.deepEqual(
    profiles.map(({ status }) => status).toSorted((a, b) => a - b),
    [200, 500],
  );
  const { body } = profiles.find(({ status }) => status === 200)!;
  assert.ok((JSON.parse(body) as { nodes: unknown[] }).nodes.length > 0);
});

test('what is below /v1/ goes to its own handler, after the checks, and may last', async (t) => {
  const seen: string[] = [];
  const v1 = {
    handle(request: IncomingMessage, response: ServerResponse, lift: () => void): void {
      seen.push(request.url!);
      lift();
      response.write('first ');
      setTimeout(() => response.end('last'), 150);
    },
  };
  const { ask, exchange } = await bench(t, { v1, timeout: 50 });
  assert.equal((await ask('GET', '/v1/flows?limit=1')).body, 'first last');
  assert.equal((await ask('GET', '/v1')).status, 200);
  assert.equal((await ask('GET', '/v12')).status, 404);
  assert.match(await exchange('GET /v1/ HTTP/1.1\r\n\r\n'), /^HTTP\/1\.1 400 /);
  assert.deepEqual(seen, ['/v1/flows?limit=1', '/v1']);
});
