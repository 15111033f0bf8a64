import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseStreamUrl } from '../../src/guest/stream-url.ts';

test('§5.2: each scheme leads where the original goes, and begins with its request', () => {
  assert.deepEqual(parseStreamUrl('vsock://2:1024/connect'), { kind: 'vsock', cid: 2, port: 1024, path: '/connect' });
  assert.deepEqual(parseStreamUrl('vsock://4294967295:65536'), { kind: 'vsock', cid: 4294967295, port: 65536, path: '' });
  assert.deepEqual(parseStreamUrl('vsock://2:1/network/connect'), { kind: 'vsock', cid: 2, port: 1, path: '/network/connect' });
  assert.deepEqual(parseStreamUrl('unix:///run/gv%20proxy.sock'), { kind: 'unix', file: '/run/gv proxy.sock', path: '/connect' });
  assert.deepEqual(parseStreamUrl('unix:///run/a?b#c'), { kind: 'unix', file: '/run/a', path: '/connect' });
});

test('§5.2: a program gets a flag for each pair of the query', () => {
  assert.deepEqual(parseStreamUrl('stdio:/mnt/c/gvproxy.exe?listen-stdio=accept'), {
    kind: 'stdio',
    program: '/mnt/c/gvproxy.exe',
    args: ['-listen-stdio=accept'],
  });
  assert.deepEqual(parseStreamUrl('stdio:/a%20b/p?x=1&x=2&debug=&s=a%26b'), {
    kind: 'stdio',
    program: '/a b/p',
    args: ['-x=1', '-x=2', '-debug=', '-s=a&b'],
  });
});

test('what leads nowhere is refused with what is wanted', () => {
  for (const [url, text] of [
    ['tcp://127.0.0.1:1', /^unexpected scheme .*want vsock:/],
    ['/run/x.sock', /^unexpected scheme/],
    ['', /^unexpected scheme/],
    ['unix://', /has no path/],
    ['stdio:', /has no path/],
    ['unix:///%zz', /^invalid URL escape/],
    ['vsock://:1024/connect', /names no machine/],
    ['vsock://2/connect', /ParseUint/],
    ['vsock://x:1024/connect', /names no machine/],
    ['vsock://2:4294967296/', /value out of range/],
  ] as const) {
    assert.throws(() => parseStreamUrl(url), { name: 'TypeError', message: text }, url);
  }
});
