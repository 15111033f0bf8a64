import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseHosts, parseNameservers, parseSearchDomains } from '../../../src/service/dns/host-files.ts';
import { type FileSystem, WatchedFile } from '../../../src/service/dns/watched-file.ts';

test('reads names, aliases, comments and both families from a hosts file', () => {
  const { addresses, pointers } = parseHosts(
    [
      '# comment',
      '127.0.0.1\tlocalhost Loop.',
      '::1 localhost # home',
      '10.0.0.7   NAS nas.lan',
      'fe80::1%eth0 no',
      'nonsense',
      '10.0.0.8',
    ].join('\r\n'),
  );
  assert.deepEqual([...addresses.keys()], ['localhost', 'loop', 'nas', 'nas.lan']);
  assert.deepEqual(
    addresses.get('localhost')!.map((bytes) => [...bytes].join('.')),
    ['127.0.0.1', `${'0.'.repeat(15)}1`],
  );
  assert.deepEqual([...pointers.keys()], ['1.0.0.127.in-addr.arpa', `1.${'0.'.repeat(31)}ip6.arpa`, '7.0.0.10.in-addr.arpa']);
  assert.equal(Buffer.from(pointers.get('7.0.0.10.in-addr.arpa')![0]!).toString('latin1'), '\x03NAS\0');
});

test('takes the first three nameservers that are addresses', () => {
  const text =
    '# nameserver 9.9.9.9\nnameserver 127.0.0.53\nnameserver\t::1\n nameserver 1.1.1.1\nnameserver dns.example\nnameserver fe80::1%2\nnameserver 8.8.8.8\nnameserver 8.8.4.4\n';
  assert.deepEqual(parseNameservers(text), ['127.0.0.53', '::1', '8.8.8.8']);
  assert.deepEqual(parseNameservers(''), []);
});

test('takes the first line that begins with "search " and splits it at single spaces', () => {
  assert.deepEqual(parseSearchDomains('nameserver 1.1.1.1\nsearch a.example  b.example\nsearch c.example\n'), [
    'a.example',
    '',
    'b.example',
  ]);
  assert.deepEqual(parseSearchDomains('search\ta.example\n search b.example\n'), []);
});

test('never throws, whatever the text', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
      parseHosts(`${text}\n1.2.3.4 ${text}`);
      parseNameservers(`nameserver ${text}`);
      parseSearchDomains(`search ${text}`);
    }),
  );
});

function watched(): {
  files: FileSystem & { text: string | undefined; looks: number; reads: number };
  file: WatchedFile<string>;
  pass: (ms: number) => void;
} {
  let now = 5;
  const files = {
    text: undefined as string | undefined,
    looks: 0,
    reads: 0,
    version(): string | undefined {
      this.looks++;
      return this.text;
    },
    read(): string {
      this.reads++;
      return this.text ?? '';
    },
  };
  return {
    files,
    file: new WatchedFile(
      '/etc/hosts',
      files,
      () => now,
      (text) => text,
    ),
    pass: (ms) => void (now += ms),
  };
}

test('looks at a file once a second at most and reads it only when it has changed', () => {
  const { files, file, pass } = watched();
  files.text = 'one';
  for (let i = 0; i < 10; i++) assert.equal(file.value, 'one');
  assert.deepEqual([files.looks, files.reads], [1, 1]);
  files.text = 'two';
  pass(999);
  assert.equal(file.value, 'one');
  pass(1);
  assert.equal(file.value, 'two');
  pass(1000);
  assert.equal(file.value, 'two');
  assert.deepEqual([files.looks, files.reads], [3, 2]);
});

test('takes a file that is missing as empty, and sees it come and go', () => {
  const { files, file, pass } = watched();
  assert.equal(file.value, '');
  files.text = 'one';
  pass(1000);
  assert.equal(file.value, 'one');
  files.text = undefined;
  pass(1000);
  assert.equal(file.value, '');
});
