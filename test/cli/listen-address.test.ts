import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseListenAddress, strayHost } from '../../src/cli/listen-address.ts';

test('URLs that Go can parse pass, also those that nothing can listen on', () => {
  for (const url of ['tcp://:4555', 'tcp://127.0.0.1:99999', 'tcp://127.0.0.1', 'tcp://localhost:0', 'tcp://[::1]:4555', 'tcp://', 'foo']) {
    assert.deepEqual(parseListenAddress(url), { scheme: url === 'foo' ? '' : 'tcp', path: '' }, url);
  }
});

test('the path of a unix socket is what Go makes of it', () => {
  assert.equal(parseListenAddress('unix:///tmp/vm.sock').path, '/tmp/vm.sock');
  assert.deepEqual(parseListenAddress('UNIX:///tmp/a%20b?x#y'), { scheme: 'unix', path: '/tmp/a b' });
  assert.equal(parseListenAddress('unix://tmp/vm.sock').path, '/vm.sock', 'tmp is a host to Go');
});

test('a host in front of the path of a unix socket is told of', () => {
  const said = 'the path in unix://tmp/vm.sock?x is /vm.sock: "tmp" is no part of it, for a path follows three slashes';
  assert.equal(strayHost('unix://tmp/vm.sock?x'), said);
  assert.match(strayHost('unixgram://./vm.sock')!, /is \/vm\.sock: "\." is no part/);
  for (const url of ['unix:///tmp/vm.sock', 'unix:/tmp/a', 'unix://', 'tcp://host/x', 'vsock://null:1/x', ''])
    assert.equal(strayHost(url), undefined, url);
});

test("what Go can't parse is refused with its words (taken from gvproxy 0.8.1)", () => {
  const cases: [string, string][] = [
    [':foo', 'missing protocol scheme'],
    ['127.0.0.1:4555', 'first path segment in URL cannot contain colon'],
    ['tcp://127.0.0.1:x', 'invalid port ":x" after host'],
    ['tcp://a:b:c', 'invalid port ":c" after host'],
    ['tcp://[::1]x', 'invalid port "x" after host'],
    ['tcp://[::1', "missing ']' in host"],
    ['unix:///tmp/%zz', 'invalid URL escape "%zz"'],
    ['unix:///tmp/%2', 'invalid URL escape "%2"'],
  ];
  for (const [url, reason] of cases) assert.throws(() => parseListenAddress(url), { message: `parse "${url}": ${reason}` });
});
