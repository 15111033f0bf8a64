import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { interfaceLink, parseLinkUrl } from '../../src/config/link-url.ts';
import { ConfigError } from '../../src/config/subnet.ts';
import type { LinkSpec } from '../../src/link/spec.ts';
import { ROOT } from '../guest/process.ts';

const STREAM = { transport: 'stream', kind: 'qemu', connect: false, offload: false } as const;
const DESCRIPTOR = { transport: 'descriptor', offload: false } as const;

test('each form of a link comes to what it says', () => {
  const cases: [string, LinkSpec][] = [
    ['qemu+unix:///run/vm.sock', { ...STREAM, address: 'unix:///run/vm.sock' }],
    ['QEMU+UNIX:///run/a%20b?name=web', { ...STREAM, address: 'unix:///run/a%20b', name: 'web' }],
    ['qemu+tcp://127.0.0.1:4000?vnet_hdr=12&connect=0', { ...STREAM, address: 'tcp://127.0.0.1:4000', offload: true }],
    ['qemu+tcp://[::1]:4000?connect=1', { ...STREAM, address: 'tcp://[::1]:4000', connect: true }],
    ['vpnkit+unix:///run/hk.sock', { ...STREAM, kind: 'vpnkit', address: 'unix:///run/hk.sock' }],
    ['vpnkit+tcp://:0', { ...STREAM, kind: 'vpnkit', address: 'tcp://:0' }],
    ['qemu+fd:3?vnet_hdr=12', { ...DESCRIPTOR, kind: 'qemu', descriptor: 3, offload: true }],
    ['vpnkit+fd:10', { ...DESCRIPTOR, kind: 'vpnkit', descriptor: 10 }],
    ['fd:4?name=a%26b', { ...DESCRIPTOR, kind: 'fd', descriptor: 4, name: 'a&b' }],
    ['stdio:', { transport: 'stdio', kind: 'stdio' }],
  ];
  for (const [url, spec] of cases) assert.deepEqual(parseLinkUrl(url), spec, url);
});

test('what is no link is refused with what there is', () => {
  const cases: [string, RegExp][] = [
    ['unix:///run/vm.sock', /^cannot attach "unix:.*": there is no link unix; there are qemu\+unix:\/\/\/PATH, qemu\+tcp:\/\/HOST:PORT, /],
    ['/run/vm.sock', /: not a URL; there are qemu\+unix:/],
    ['', /: not a URL; there are/],
    ['constructor:', /: there is no link constructor; there are/],
    ['qemu+unix:///run/x?mtu=1', /: qemu\+unix:\/\/\/PATH takes no "mtu"; it takes connect, name, vnet_hdr$/],
    ['vpnkit+unix:///run/x?connect=1', /takes no "connect"; it takes name$/],
    ['qemu+unix:///run/x?name=a&name=b', /: name is there twice$/],
    ['qemu+unix:///run/x?name=', /: name is empty$/],
    ['qemu+unix:///run/x?vnet_hdr=10', /: vnet_hdr can't be "10": want 12 or 0$/],
    ['qemu+unix:///run/x?connect=yes', /: connect can't be "yes": want 1 or 0$/],
    ['qemu+unix://run/x', /: want qemu\+unix:\/\/\/PATH$/],
    ['qemu+unix:/run/x', /: want qemu\+unix:\/\/\/PATH$/],
    ['qemu+unix:///run/x#y', /: a # in a path is written %23$/],
    ['qemu+tcp:127.0.0.1:1', /: want qemu\+tcp:\/\/HOST:PORT$/],
    ['qemu+fd:x', /: want the number of a descriptor behind fd:$/],
    ['fd:1', /: descriptors 0 to 2 are the standard streams: stdio: takes them$/],
    ['stdio:accept', /: nothing stands behind stdio:$/],
  ];
  for (const [url, message] of cases) assert.throws(() => parseLinkUrl(url), { name: 'ConfigError', message }, url);
  assert.throws(() => parseLinkUrl(undefined as unknown as string), ConfigError);
});

test("§5.1: the query of a URL of gvproxy's own flags means nothing", () => {
  assert.deepEqual(interfaceLink('qemu', 'unix:///run/x?connect=1'), { ...STREAM, address: 'unix:///run/x?connect=1' });
  assert.deepEqual(interfaceLink('stdio', 'accept'), parseLinkUrl('stdio:'));
});

test('the page on links has each of them', () => {
  const page = readFileSync(join(ROOT, 'docs/links.md'), 'utf8');
  let listed = '';
  try {
    parseLinkUrl('nothing:');
  } catch (error) {
    listed = (error as Error).message.replace(/.*; there are /, '');
  }
  const usages = listed.split(', ');
  assert.ok(usages.length >= 8, listed);
  for (const usage of usages) assert.ok(page.includes(`\`${usage}`), `docs/links.md has no ${usage}`);
  for (const key of ['name', 'vnet_hdr', 'connect']) assert.match(page, new RegExp(`^\\| \`${key}=`, 'm'));
});
