import assert from 'node:assert/strict';
import { test } from 'node:test';
import { commandLineNetwork } from '../../src/config/defaults.ts';
import { resolveOptions } from '../../src/config/resolve.ts';
import { ConfigError, planAddresses } from '../../src/config/subnet.ts';
import type { NetworkOptions } from '../../src/network-options.ts';

test("fills in gvproxy's defaults", () => {
  const records = [
    { name: 'gateway', ip: '192.168.127.1' },
    { name: 'host', ip: '192.168.127.254' },
  ];
  assert.deepEqual(resolveOptions(), {
    subnet: '192.168.127.0/24',
    gatewayIP: '192.168.127.1',
    deviceIP: '192.168.127.2',
    hostIP: '192.168.127.254',
    mtu: 1500,
    gatewayMacAddress: '5a:94:ef:e4:0c:dd',
    nat: { '192.168.127.254': '127.0.0.1' },
    gatewayVirtualIPs: ['192.168.127.254'],
    dns: [
      { name: 'containers.internal.', records },
      { name: 'docker.internal.', records },
    ],
    dnsSearchDomains: [],
    dhcpStaticLeases: { '192.168.127.2': '5a:94:ef:e4:0c:ee' },
    vpnKitUUIDMacAddresses: { 'c3d68012-0208-11ea-9fd7-f2189899ab08': '5a:94:ef:e4:0c:ee' },
    forwards: {},
    preserveClientAddress: true,
    ec2MetadataAccess: false,
    isolation: false,
    guard: 'mac',
  });
});

test("the command line's network is the same with an SSH forward", () => {
  assert.deepEqual(resolveOptions(commandLineNetwork()), { ...resolveOptions(), forwards: { '127.0.0.1:2222': '192.168.127.2:22' } });
  assert.deepEqual(resolveOptions(commandLineNetwork({ sshPort: -1, mtu: 0, captureFile: '' })), resolveOptions());
  const addresses = planAddresses('10.0.0.0/24');
  const { deviceIP, mtu, captureFile } = commandLineNetwork({ addresses, mtu: 65_520, captureFile: '/tmp/capture' });
  assert.deepEqual({ deviceIP, mtu, captureFile }, { deviceIP: '10.0.0.2', mtu: 65_520, captureFile: '/tmp/capture' });
});

test("the command line's network refuses in gvproxy's words", () => {
  for (const mtu of [-1, 67, 65_536, 1500.5, NaN, '1500' as unknown as number]) {
    assert.throws(() => commandLineNetwork({ mtu }), new ConfigError('mtu is out of range'), String(mtu));
  }
  for (const sshPort of [0, 80, 99_999, 22.5, 2222.5, NaN, '2222' as unknown as number]) {
    const error = new ConfigError('ssh-port value must be between 1024 and 65535');
    assert.throws(() => commandLineNetwork({ sshPort }), error, String(sshPort));
  }
});

test('what is given is kept, empty tables too', () => {
  const given = {
    mtu: 68,
    subnet: '10.0.0.0/29',
    gatewayIP: '10.0.0.3',
    gatewayMacAddress: '02:00:00:00:00:01',
    deviceIP: '10.0.0.4',
    hostIP: '10.0.0.5',
    nat: {},
    gatewayVirtualIPs: [],
    dns: [{ name: 'example.', records: [{ name: '', pattern: /^a/, ip: '10.0.0.4' }], defaultIP: '1.2.3.4' }],
    dnsSearchDomains: ['example'],
    dhcpStaticLeases: {},
    vpnKitUUIDMacAddresses: {},
    forwards: { ':0': '10.0.0.4:22', 'udp:0.0.0.0:53': '10.0.0.4:53', 'box.example:80': '10.0.0.4:80' },
    preserveClientAddress: false,
    ec2MetadataAccess: true,
    isolation: true,
    guard: 'lease' as const,
    tcpMaxInFlight: 1,
    tcpConnectTimeout: 3_600_000,
    captureFile: '/tmp/capture',
  };
  assert.deepEqual(resolveOptions(given), given);
});

test('names the option that makes no sense, what it was and what is wanted', () => {
  const cases: [Record<string, unknown>, RegExp][] = [
    [{ mtu: NaN }, /^mtu can't be NaN: want a whole number from 68 to 65535$/],
    [{ mtu: '1500' }, /^mtu can't be "1500": want a whole number from 68 to 65535$/],
    [{ mtu: 67 }, /^mtu can't be 67: /],
    [{ mtu: 65_536 }, /^mtu can't be 65536: /],
    [{ gatewayIp: '10.0.0.1' }, /^there is no option gatewayIp; there are mtu, subnet, gatewayIP, /],
    [{ gatewayMacAddress: 'nonsense' }, /^gatewayMacAddress can't be "nonsense": want the MAC address of one station/],
    [{ gatewayMacAddress: 'ff:ff:ff:ff:ff:ff' }, /^gatewayMacAddress can't be "ff:/],
    [{ nat: { nonsense: '127.0.0.1' } }, /^a key of nat can't be "nonsense": want an IPv4 address/],
    [{ nat: { '192.168.127.254': 5 } }, /^nat\["192.168.127.254"\] can't be 5: want an IPv4 address/],
    [{ nat: 5 }, /^nat can't be 5: want an object$/],
    [{ gatewayVirtualIPs: '192.168.127.254' }, /^gatewayVirtualIPs can't be "192.168.127.254": want an array$/],
    [{ gatewayVirtualIPs: ['::1'] }, /^gatewayVirtualIPs can't be "::1": want an IPv4 address/],
    [{ dns: [{ name: 'example', records: [] }] }, /^the name of a zone in dns can't be "example": want a name with its final dot$/],
    [{ dns: [{ name: 'example.' }] }, /^records of example. in dns can't be undefined: want an array$/],
    [{ dns: [{ name: 'example.', records: [{ name: 'a', ip: '::1' }] }] }, /^a in example. can't be "::1": want an IPv4 address/],
    [{ dnsSearchDomains: [5] }, /^dnsSearchDomains can't be 5: want domain names$/],
    [
      { dhcpStaticLeases: { '10.0.0.1': '5a:94:ef:e4:0c:ee' } },
      /^a key of dhcpStaticLeases can't be "10.0.0.1": want an address of a guest/,
    ],
    [{ dhcpStaticLeases: { '192.168.127.9': '5a' } }, /^dhcpStaticLeases\["192.168.127.9"\] can't be "5a": want the MAC address/],
    [{ forwards: { 'udp:127.0.0.1': '192.168.127.2:53' } }, /^cannot forward from "udp:127.0.0.1": it is not an address and a port/],
    [{ preserveClientAddress: 1 as unknown as boolean }, /^preserveClientAddress can't be 1: want true or false/],
    [{ vpnKitUUIDMacAddresses: { nonsense: '5a:94:ef:e4:0c:ee' } }, /^a key of vpnKitUUIDMacAddresses can't be "nonsense": want a UUID/],
    [
      { vpnKitUUIDMacAddresses: { 'c3d68012-0208-11ea-9fd7-f2189899ab08': 'x' } },
      /^vpnKitUUIDMacAddresses\["c3d68012-0208-11ea-9fd7-f2189899ab08"\] can't be "x": want the MAC address/,
    ],
    [{ tcpMaxInFlight: 0 }, /^tcpMaxInFlight can't be 0: want a whole number from 1 to 65536$/],
    [{ tcpMaxInFlight: 65_537 }, /^tcpMaxInFlight can't be 65537: /],
    [{ tcpConnectTimeout: 0.5 }, /^tcpConnectTimeout can't be 0.5: want a whole number from 1 to 3600000$/],
    [{ tcpConnectTimeout: '30s' }, /^tcpConnectTimeout can't be "30s": /],
    [{ forwards: { ':80': '10.0.0.1:80' } }, /^cannot forward to "10.0.0.1:80": 10.0.0.1 is not in the virtual network/],
    [{ isolation: 1 as never }, /^isolation can't be 1: want true or false$/],
    [{ guard: 'MAC' as never }, /^guard can't be "MAC": want off, mac, lease$/],
    [{ ec2MetadataAccess: 'yes' }, /^ec2MetadataAccess can't be "yes": want true or false$/],
    [{ captureFile: '' }, /^captureFile can't be "": want the path of a file$/],
  ];
  for (const [options, message] of cases) {
    assert.throws(() => resolveOptions(options as NetworkOptions), { name: 'ConfigError', message }, JSON.stringify(options));
  }
  assert.throws(() => resolveOptions(1500 as unknown as NetworkOptions), /^ConfigError: the options of a network are an object, not 1500$/);
  assert.throws(() => resolveOptions(null as unknown as NetworkOptions), ConfigError);
});
