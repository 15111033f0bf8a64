import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseIpv4 } from '../../src/packet/address.ts';
import type { DhcpLease } from '../../src/packet/dhcpv4-client.ts';
import { ResolverFile } from '../../src/guest/resolver-file.ts';
import { temporaryFolder } from '../guest/process.ts';

function lease(nameservers: readonly string[], search: readonly string[] = []): DhcpLease {
  const address = parseIpv4('192.168.127.2')!;
  const words = nameservers.map((text) => parseIpv4(text)!);
  return { address, mask: -256, router: 0, nameservers: words, search, server: 0, mtu: 0, time: 1, renewal: 1, rebinding: 1 };
}

const TEXT = '# by gvforwarder, from DHCP\nsearch one.test two.test\nnameserver 192.168.127.1\nnameserver 10.0.0.1\n';
const LEASE = lease(['192.168.127.1', '10.0.0.1'], ['one.test', 'two.test']);

test('names servers and search domains, and puts back what was there', () => {
  const path = join(temporaryFolder(), 'resolv.conf');
  writeFileSync(path, 'nameserver 9.9.9.9\n');
  const file = new ResolverFile(path);
  assert.equal(file.write(LEASE), undefined);
  assert.equal(readFileSync(path, 'utf8'), TEXT);
  assert.equal(statSync(path).mode & 0o777, 0o644);
  assert.equal(file.write(lease(['10.0.0.2'])), undefined);
  assert.equal(readFileSync(path, 'utf8'), '# by gvforwarder, from DHCP\nnameserver 10.0.0.2\n');
  file.restore();
  assert.equal(readFileSync(path, 'utf8'), 'nameserver 9.9.9.9\n');
});

test('where there was no file there is none afterwards', () => {
  const folder = temporaryFolder();
  const file = new ResolverFile(join(folder, 'resolv.conf'));
  file.write(LEASE);
  assert.deepEqual(readdirSync(folder), ['resolv.conf']);
  file.restore();
  assert.deepEqual(readdirSync(folder), []);
});

test('a file that another program has written since, and one behind a link, are not ours to change', () => {
  const folder = temporaryFolder();
  const path = join(folder, 'resolv.conf');
  const file = new ResolverFile(path);
  file.write(LEASE);
  writeFileSync(path, 'nameserver 8.8.8.8\n');
  file.restore();
  assert.equal(readFileSync(path, 'utf8'), 'nameserver 8.8.8.8\n');

  const link = join(folder, 'link');
  symlinkSync(path, link);
  assert.match(new ResolverFile(link).write(LEASE)!, /is a link/);
  assert.equal(readFileSync(path, 'utf8'), 'nameserver 8.8.8.8\n');
  const dangling = join(folder, 'dangling');
  symlinkSync(join(folder, 'nowhere'), dangling);
  assert.match(new ResolverFile(dangling).write(LEASE)!, /is a link/);
  assert.ok(!existsSync(join(folder, 'nowhere')));
});

test('a lease without a resolver leaves the file alone', () => {
  const path = join(temporaryFolder(), 'resolv.conf');
  assert.match(new ResolverFile(path).write(lease([]))!, /names no resolver/);
  assert.ok(!existsSync(path));
});

test('a folder that is not there is an error, not half a file; restoring never throws', () => {
  const folder = join(temporaryFolder(), 'etc');
  const file = new ResolverFile(join(folder, 'resolv.conf'));
  assert.throws(() => file.write(LEASE), { code: 'ENOENT' });
  mkdirSync(folder);
  file.write(LEASE);
  chmodSync(folder, 0o500);
  file.restore();
});
