import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { interfaceLink, parseLinkUrl } from '../../src/config/link-url.ts';
import { ConfigError } from '../../src/config/subnet.ts';
import type { LinkSpec, SocketPlace } from '../../src/link/spec.ts';
import { IpAddress } from '../../src/packet/address.ts';
import { ROOT } from '../guest/process.ts';

const STREAM = { transport: 'stream', kind: 'qemu', connect: false, offload: false } as const;
const DESCRIPTOR = { transport: 'descriptor', offload: false, largeFrames: false } as const;
const place = (address: string, port: number): SocketPlace => ({ address: IpAddress.parse(address)!, port });

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
    ['vpnkit+vsock://:1024', { ...STREAM, kind: 'vpnkit', address: 'vsock://:1024' }],
    ['bess+unixpacket:///run/a%20b', { transport: 'unixpacket', kind: 'bess', path: '/run/a b' }],
    ['vfkit+unixgram:///run/v', { transport: 'unixgram', kind: 'vfkit', path: '/run/v', offload: false, largeFrames: false }],
    [
      'vfkit+unixgram:///run/v?large_frames=1&vnet_hdr=12&name=mac',
      { transport: 'unixgram', kind: 'vfkit', path: '/run/v', offload: true, largeFrames: true, name: 'mac' },
    ],
    ['dgram+unix:///run/ours?remote=/run/qemu', { transport: 'dgram-unix', kind: 'dgram', local: '/run/ours', remote: '/run/qemu' }],
    ['dgram+udp://[::1]:0?remote=[::1]:7', { transport: 'dgram-udp', kind: 'dgram', local: place('::1', 0), remote: place('::1', 7) }],
    ['dgram+mcast://230.0.0.1:1234', { transport: 'multicast', kind: 'dgram', group: place('230.0.0.1', 1234) }],
    [
      'dgram+mcast://230.0.0.1:1234?interface=127.0.0.1',
      { transport: 'multicast', kind: 'dgram', group: place('230.0.0.1', 1234), interface: IpAddress.parse('127.0.0.1')! },
    ],
    ['tap:tap0?vnet_hdr=12', { transport: 'tap', kind: 'tap', device: 'tap0', offload: true }],
    ['bess+fd:3', { ...DESCRIPTOR, kind: 'bess', descriptor: 3 }],
    ['dgram+fd:3?large_frames=1', { ...DESCRIPTOR, kind: 'dgram', descriptor: 3, largeFrames: true }],
    ['systemd:', { ...DESCRIPTOR, kind: 'fd', descriptor: '' }],
    ['systemd:vms', { ...DESCRIPTOR, kind: 'fd', descriptor: 'vms' }],
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
    ['bess+unixpacket://run/x', /: want bess\+unixpacket:\/\/\/PATH$/],
    ['bess+unixpacket:///run/%zz', /: invalid URL escape in \/run\/%zz$/],
    ['dgram+unix:///run/x', /: want dgram\+unix:\/\/\/PATH\?remote=\/PATH: remote is the path of QEMU's socket$/],
    ['dgram+unix:///run/x?remote=y', /: remote is the path of QEMU's socket$/],
    ['dgram+unix:///run/x?remote=/run/x', /: remote is QEMU's socket: another than ours$/],
    ['dgram+udp://127.0.0.1:1', /: want dgram\+udp:\/\/ADDRESS:PORT\?remote=ADDRESS:PORT: remote is QEMU's address and port$/],
    ['dgram+udp://127.0.0.1:1?remote=', /: remote: want an IP address and a port, not ""$/],
    ['dgram+udp://127.0.0.1:1?remote=127.0.0.1:1', /: remote is QEMU's address and port: another than ours$/],
    ['dgram+udp://127.0.0.1:1?remote=127.0.0.1:0', /: remote: 0 is nobody's port$/],
    ['dgram+udp://127.0.0.1:1?remote=[::1]:2', /: remote: want an address of the same family, IPv4 or IPv6$/],
    ['dgram+udp://localhost:1?remote=127.0.0.1:2', /: want an IP address and a port, not "localhost:1"$/],
    ['dgram+udp://127.0.0.1:65536?remote=127.0.0.1:2', /: want an IP address and a port, not "127.0.0.1:65536"$/],
    ['dgram+mcast://127.0.0.1:1', /: want a multicast group from 224\.0\.0\.0 to 239\.255\.255\.255$/],
    ['dgram+mcast://230.0.0.1:1?interface=eth0', /: interface is the IPv4 address of one of this host's interfaces$/],
    ['tap:', /: want tap:NAME, the name of an interface, of 1 to 15 characters$/],
    ['tap://a', /: want tap:NAME, the name of an interface/],
    ['stdio:accept', /: nothing stands behind stdio:$/],
  ];
  for (const [url, message] of cases) assert.throws(() => parseLinkUrl(url), { name: 'ConfigError', message }, url);
  assert.throws(() => parseLinkUrl(undefined as unknown as string), ConfigError);
});

test("§5.1: the query of a URL of gvproxy's own flags means nothing", () => {
  assert.deepEqual(interfaceLink('qemu', 'unix:///run/x?connect=1'), { ...STREAM, address: 'unix:///run/x?connect=1' });
  assert.deepEqual(interfaceLink('qemu', 'fd:3'), parseLinkUrl('qemu+fd:3'));
  assert.deepEqual(interfaceLink('qemu', 'systemd:vms'), parseLinkUrl('systemd:vms'));
  assert.throws(() => interfaceLink('qemu', 'fd:1'), /descriptors 0 to 2 are the standard streams/);
  assert.throws(() => interfaceLink('vpnkit', 'fd:3'), ConfigError);
  assert.deepEqual(interfaceLink('stdio', 'accept'), parseLinkUrl('stdio:'));
  assert.deepEqual(interfaceLink('bess', 'unixpacket://host/run/x%20y?a#b'), parseLinkUrl('bess+unixpacket:///run/x%20y'));
  assert.deepEqual(interfaceLink('vfkit', 'unixgram:///run/x?vnet_hdr=12'), parseLinkUrl('vfkit+unixgram:///run/x'));
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
  for (const key of ['name', 'vnet_hdr', 'connect', 'large_frames', 'remote', 'interface'])
    assert.match(page, new RegExp(`^\\| \`${key}=`, 'm'));
});
