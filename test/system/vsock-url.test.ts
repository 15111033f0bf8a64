import assert from 'node:assert/strict';
import { test } from 'node:test';
import { directorySocket, isVsockUrl, parseVsockUrl } from '../../src/system/vsock-url.ts';

const GUID = '00000400-FACB-11E6-BD58-64006A7986D3';

test("§5.1: without a host the CID is this machine's; both numbers have 32 bits, in decimals", () => {
  assert.deepEqual(parseVsockUrl('vsock://:1024'), { kind: 'vsock', cid: undefined, port: 1024, path: '' });
  assert.deepEqual(parseVsockUrl('vsock://2:0'), { kind: 'vsock', cid: 2, port: 0, path: '' });
  assert.deepEqual(parseVsockUrl('VSOCK://4294967295:4294967295'), { kind: 'vsock', cid: 0xffffffff, port: 0xffffffff, path: '' });
});

test('§5.2: what stands behind the port is the path to ask for, decoded; a query is not part of it', () => {
  assert.deepEqual(parseVsockUrl('vsock://2:1024/connect'), { kind: 'vsock', cid: 2, port: 1024, path: '/connect' });
  assert.deepEqual(parseVsockUrl('vsock://2:1024/a%20b?c#d'), { kind: 'vsock', cid: 2, port: 1024, path: '/a b' });
});

test('§5.1: what is no number is refused with the words of Go', () => {
  const refused = (url: string): string => {
    try {
      parseVsockUrl(url);
    } catch (error) {
      assert.ok(error instanceof TypeError);
      return error.message.replace(/ \(in .*/, '');
    }
    return 'taken';
  };
  assert.equal(refused('vsock://2'), 'strconv.ParseUint: parsing "": invalid syntax');
  assert.equal(refused('vsock:'), 'strconv.ParseUint: parsing "": invalid syntax');
  assert.equal(refused('vsock://:-1'), 'strconv.ParseUint: parsing "-1": invalid syntax');
  assert.equal(refused('vsock://:0x400'), 'strconv.ParseUint: parsing "0x400": invalid syntax');
  assert.equal(refused('vsock://:4294967296'), 'strconv.ParseUint: parsing "4294967296": value out of range');
  assert.equal(refused('vsock://4294967296:1'), 'strconv.ParseUint: parsing "4294967296": value out of range');
  assert.equal(refused('vsock://null:1024'), 'strconv.ParseUint: parsing "null": invalid syntax');
  assert.equal(refused('vsock://null:1024/'), 'strconv.ParseUint: parsing "null": invalid syntax');
  assert.equal(refused('vsock://null:x/folder'), 'strconv.ParseUint: parsing "x": invalid syntax');
  assert.equal(refused('vsock://2:1/%zz'), 'invalid URL escape in vsock://2:1/%zz');
  assert.match(refused(`vsock://${GUID}:1024`), /^the GUID in .* says the port: want vsock:/);
});

test('§5.1: a word and a folder are the socket of the port there, in eight hexadecimal digits', () => {
  const file = '/vm_directory/00000002.00000400';
  assert.deepEqual(parseVsockUrl('vsock://null:1024/vm_directory'), { kind: 'directory', file });
  assert.deepEqual(parseVsockUrl('vsock://any:1024/vm_directory/'), { kind: 'directory', file });
  assert.equal(directorySocket('a', 0xffffffff), 'a/00000002.ffffffff');
});

test("§5.1: a GUID is a service of Hyper-V's", () => {
  assert.deepEqual(parseVsockUrl(`vsock://${GUID}`), { kind: 'hyperv', service: GUID, path: '' });
  assert.deepEqual(parseVsockUrl(`vsock://${GUID}/connect`), { kind: 'hyperv', service: GUID, path: '/connect' });
});

test('other schemes are not vsock', () => {
  assert.deepEqual(
    ['vsock://:1', 'VSOCK:', 'unix:///vsock:', 'vsocks://:1'].map((url) => isVsockUrl(url)),
    [true, true, false, false],
  );
});
