/** The original's catalogue of configurations (contract §18.1): command line and file in, the whole effective file out. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parse } from 'yaml';
import { parseFlags } from '../../src/cli/go-flags.ts';
import { GVPROXY_FLAGS, type GvproxyValues } from '../../src/cli/gvproxy-flags.ts';
import { validate } from '../../src/cli/validation.ts';
import { effectiveConfig } from '../../src/config/effective-config.ts';
import { readConfigFile } from '../../src/config/file-reader.ts';
import { type GvproxyConfig, resolveGvproxyConfig } from '../../src/config/gvproxy-config.ts';
import { compileRe2 } from '../../src/config/re2.ts';
import { ConfigError, planAddresses } from '../../src/config/subnet.ts';

const SEARCH_DOMAINS = ['example.com', 'example.org'];

function flagsOf(argv: string): GvproxyValues {
  return parseFlags(GVPROXY_FLAGS, argv === '' ? [] : argv.split(' ')).values;
}

/** `yaml` undefined: without a configuration file. */
function resolved(argv: string, yaml?: string): GvproxyConfig {
  const flags = flagsOf(yaml === undefined ? argv : `-config gvproxy.yaml ${argv}`.trim());
  const file = yaml === undefined ? undefined : readConfigFile(yaml, 'gvproxy.yaml').file;
  return resolveGvproxyConfig(flags, { file, compile: compileRe2, searchDomains: SEARCH_DOMAINS });
}

type Tree = Record<string, unknown>;

/** Also: what is printed leads to itself when it is read. */
function effective(argv: string, yaml?: string): Tree {
  const config = resolved(argv, yaml);
  const printed = effectiveConfig(config);
  assert.deepEqual(parse(effectiveConfig(resolved('', printed))), parse(printed), 'read back');
  return parse(printed) as Tree;
}

/** What every network has, with a file too. */
const COMMON = parse(`
mtu: 1500
subnet: 192.168.127.0/24
gatewayIP: 192.168.127.1
deviceIP: 192.168.127.2
hostIP: 192.168.127.254
gatewayMacAddress: 5a:94:ef:e4:0c:dd
nat: { 192.168.127.254: 127.0.0.1 }
gatewayVirtualIPs: [192.168.127.254]
`) as Tree;

/** What a network has without a file. */
const STACK: Tree = {
  ...COMMON,
  ...(parse(`
dns:
- { name: containers.internal., records: [{ name: gateway, ip: 192.168.127.1 }, { name: host, ip: 192.168.127.254 }] }
- { name: docker.internal., records: [{ name: gateway, ip: 192.168.127.1 }, { name: host, ip: 192.168.127.254 }] }
dnsSearchDomains: [example.com, example.org]
forwards: { 127.0.0.1:2222: 192.168.127.2:22 }
dhcpStaticLeases: { 192.168.127.2: 5a:94:ef:e4:0c:ee }
vpnKitUUIDMacAddresses: { c3d68012-0208-11ea-9fd7-f2189899ab08: 5a:94:ef:e4:0c:ee }
`) as Tree),
};

const CASES: [what: string, argv: string, yaml: string | undefined, out: Tree][] = [
  ['1: no arguments', '', undefined, { 'log-level': 'info', stack: STACK }],
  [
    '2: no arguments, a file without the three addresses',
    '',
    'stack: { subnet: 192.168.127.0/24, mtu: 1500 }',
    { 'log-level': 'info', stack: COMMON },
  ],
  [
    '3: QEMU over tcp',
    '-listen unix:///tmp/network.sock -listen-qemu tcp://0.0.0.0:1234',
    undefined,
    { listen: ['unix:///tmp/network.sock'], 'log-level': 'info', interfaces: { qemu: 'tcp://0.0.0.0:1234' }, stack: STACK },
  ],
  [
    '4: QEMU over unix, with -debug',
    '-debug -listen unix:///tmp/network.sock -listen-qemu unix:///tmp/qemu.sock',
    undefined,
    {
      listen: ['unix:///tmp/network.sock'],
      'log-level': 'debug',
      interfaces: { qemu: 'unix:///tmp/qemu.sock' },
      stack: { ...STACK, debug: true },
    },
  ],
  [
    '5: User Mode Linux',
    '-listen unix:///tmp/network.sock -listen-bess unixpacket:///tmp/bess.sock',
    undefined,
    { listen: ['unix:///tmp/network.sock'], 'log-level': 'info', interfaces: { bess: 'unixpacket:///tmp/bess.sock' }, stack: STACK },
  ],
  [
    '6: vfkit, with two dashes',
    '--listen unix:///tmp/network.sock --listen-vfkit unixgram:///tmp/vfkit.sock',
    undefined,
    { listen: ['unix:///tmp/network.sock'], 'log-level': 'info', interfaces: { vfkit: 'unixgram:///tmp/vfkit.sock' }, stack: STACK },
  ],
  [
    '7: vsock',
    '-listen vsock://:1024 -listen unix:///tmp/network.sock',
    undefined,
    { listen: ['vsock://:1024', 'unix:///tmp/network.sock'], 'log-level': 'info', stack: STACK },
  ],
  ['8: an empty file', '', '', { 'log-level': 'info', stack: COMMON }],
  [
    '9: a file with listen, log-level and qemu',
    '',
    'listen: [unix:///tmp/network.sock]\nlog-level: debug\ninterfaces:\n  qemu: unix:///tmp/qemu.sock\n',
    {
      listen: ['unix:///tmp/network.sock'],
      'log-level': 'debug',
      interfaces: { qemu: 'unix:///tmp/qemu.sock' },
      stack: { ...COMMON, debug: true },
    },
  ],
  [
    '10: a file with another subnet, MTU and MAC derives the addresses',
    '',
    'stack: { subnet: 172.16.0.0/12, mtu: 9000, gatewayMacAddress: 5a:94:ef:e4:0c:01 }',
    {
      'log-level': 'info',
      stack: {
        mtu: 9000,
        subnet: '172.16.0.0/12',
        gatewayIP: '172.16.0.1',
        deviceIP: '172.16.0.2',
        hostIP: '172.31.255.254',
        gatewayMacAddress: '5a:94:ef:e4:0c:01',
        nat: { '172.31.255.254': '127.0.0.1' },
        gatewayVirtualIPs: ['172.31.255.254'],
      },
    },
  ],
  [
    "11: a file's static leases are the only ones",
    '',
    'stack: { dhcpStaticLeases: { 192.168.127.9: 5a:94:ef:e4:0c:01 } }',
    { 'log-level': 'info', stack: { ...COMMON, dhcpStaticLeases: { '192.168.127.9': '5a:94:ef:e4:0c:01' } } },
  ],
  [
    "12: a file's TCP forwards are the only ones",
    '',
    'stack: { forwards: { 127.0.0.1:8080: 192.168.127.2:80, "udp::53": 192.168.127.2:53 } }',
    {
      'log-level': 'info',
      stack: { ...COMMON, forwards: { '127.0.0.1:8080': '192.168.127.2:80', 'udp::53': '192.168.127.2:53' } },
    },
  ],
  [
    '13: the configuration is there although the identity of an SSH forward is missing',
    '-forward-sock /tmp/podman.sock -forward-dest /run/podman.sock -forward-user core -forward-identity /nonexistent/key',
    undefined,
    {
      'log-level': 'info',
      forwards: [{ socket: '/tmp/podman.sock', dest: '/run/podman.sock', user: 'core', identity: '/nonexistent/key' }],
      stack: STACK,
    },
  ],
  ['14: debug by log-level', '', 'log-level: debug', { 'log-level': 'debug', stack: { ...COMMON, debug: true } }],
  ['15: -debug overrides log-level: error', '-debug', 'log-level: error', { 'log-level': 'debug', stack: { ...COMMON, debug: true } }],
  [
    '16: -debug -pcap',
    '-debug -pcap /tmp/capture.pcap',
    undefined,
    { 'log-level': 'debug', stack: { ...STACK, debug: true, 'capture-file': '/tmp/capture.pcap' } },
  ],
  ['17: -listen-stdio', '-listen-stdio accept', undefined, { 'log-level': 'info', interfaces: { stdio: 'accept' }, stack: STACK }],
  ['18: stdio in a file', '', 'interfaces: { stdio: accept }', { 'log-level': 'info', interfaces: { stdio: 'accept' }, stack: COMMON }],
];

for (const [what, argv, yaml, out] of CASES) test(`§18.1 ${what}`, () => assert.deepEqual(effective(argv, yaml), out));

test('§18.1 13: an SSH forward without its identity file is refused', () => {
  const argv = '-forward-sock a -forward-dest b -forward-user c -forward-identity /nonexistent/key';
  const error = new ConfigError(`identity file "/nonexistent/key" can't be loaded: stat /nonexistent/key: no such file or directory`);
  assert.throws(() => validate(flagsOf(argv), resolved(argv)), error);
});

test('§18.1: first, second and last address of a subnet', () => {
  const addresses = (subnet: string, gateway?: string): string[] => {
    const { gatewayIP, deviceIP, hostIP } = planAddresses(subnet, gateway);
    return [gatewayIP, deviceIP, hostIP];
  };
  // The first address is the one that is written, and so can't be the gateway's (contract §2.3 row 5).
  assert.throws(() => addresses('192.168.127.1/24'), /IP must not be address of subnet: 192\.168\.127\.1$/);
  assert.deepEqual(addresses('192.168.127.1/24', '192.168.127.9'), ['192.168.127.9', '192.168.127.2', '192.168.127.254']);
  assert.deepEqual(addresses('10.10.0.0/16'), ['10.10.0.1', '10.10.0.2', '10.10.255.254']);
  assert.deepEqual(addresses('172.16.16.16/12'), ['172.16.0.1', '172.16.0.2', '172.31.255.254']);
  assert.throws(
    () => addresses('fc00::fff/64'),
    /^ConfigError: failed to parse subnet: fc00::fff\/64 is an IPv6 network; want one of IPv4 here, a prefix of IPv6 is subnet6$/,
  );
});

test('§3.3: the defaults without a file, written as a file, are the same network', () => {
  assert.deepEqual(effective('', effectiveConfig(resolved(''))), effective(''));
});

/** One value for everything that both can say. */
const FILE = `
listen: [tcp://file:1, tcp://file:2]
log-level: error
log-file: /file/log
pid-file: /file/pid
services: tcp://file:3
notification: /file/notification
interfaces: { vpnkit: tcp://file:4, qemu: tcp://file:5, bess: unixpacket:///file/6, stdio: file, vfkit: unixgram:///file/8 }
forwards: [{ socket: /file/socket, dest: /file/dest, user: file, identity: /file/identity }]
stack:
  mtu: 2000
  capture-file: /file/capture
  subnet: 10.0.0.0/24
  gatewayIP: 10.0.0.11
  deviceIP: 10.0.0.12
  hostIP: 10.0.0.13
`;
const FLAGS = [
  '-listen tcp://flag:1 -log-file /flag/log -pid-file /flag/pid -services tcp://flag:3 -notification unix:///flag/notification',
  '-listen-vpnkit tcp://flag:4 -listen-qemu tcp://flag:5 -listen-bess unixpacket:///flag/6 -listen-stdio flag -listen-vfkit unixgram:///flag/8',
  '-forward-sock /flag/socket -forward-dest /flag/dest -forward-user flag -forward-identity /flag/identity',
  '-mtu 3000 -pcap /flag/capture -subnet 10.1.0.0/24 -gatewayIP 10.1.0.1 -deviceIP 10.1.0.2 -hostIP 10.1.0.3 -ssh-port 5000',
].join(' ');

test('§3.4: the command line beats the file, but for the addresses, adds SSH forwards, and its -pcap and -ssh-port do not count', () => {
  const { stack, ...rest } = effective(FLAGS, FILE);
  assert.deepEqual(rest, {
    listen: ['tcp://flag:1'],
    'log-level': 'error',
    'log-file': '/flag/log',
    'pid-file': '/flag/pid',
    services: 'tcp://flag:3',
    notification: 'unix:///flag/notification',
    interfaces: { vpnkit: 'tcp://flag:4', qemu: 'tcp://flag:5', bess: 'unixpacket:///flag/6', stdio: 'flag', vfkit: 'unixgram:///flag/8' },
    forwards: [
      { socket: '/file/socket', dest: '/file/dest', user: 'file', identity: '/file/identity' },
      { socket: '/flag/socket', dest: '/flag/dest', user: 'flag', identity: '/flag/identity' },
    ],
  });
  assert.deepEqual(stack, {
    mtu: 3000,
    'capture-file': '/file/capture',
    subnet: '10.0.0.0/24',
    gatewayIP: '10.0.0.11',
    deviceIP: '10.0.0.12',
    hostIP: '10.0.0.13',
    gatewayMacAddress: '5a:94:ef:e4:0c:dd',
    nat: { '10.0.0.13': '127.0.0.1' },
    gatewayVirtualIPs: ['10.0.0.13'],
  });
});

test('§3.4: what the file leaves out comes from the command line, addresses too', () => {
  const { 'log-level': level, ...rest } = effective(FLAGS, '{}');
  const { stack, forwards, ...own } = rest as { stack: Tree; forwards: unknown };
  assert.equal(level, 'info');
  assert.deepEqual([(forwards as unknown[]).length, own], [1, effectiveFlags()]);
  assert.deepEqual([stack['mtu'], stack['subnet'], stack['gatewayIP'], stack['hostIP']], [3000, '10.1.0.0/24', '10.1.0.1', '10.1.0.3']);
  assert.equal(stack['forwards'] ?? stack['capture-file'], undefined);
});

function effectiveFlags(): Tree {
  const { 'log-level': _, stack: __, forwards: ___, ...own } = effective(FLAGS, FILE);
  return own;
}

test('§3.2: nat and gatewayVirtualIPs have their default whenever they are empty', () => {
  const { stack } = effective('', 'stack: { nat: {}, gatewayVirtualIPs: [] }');
  assert.deepEqual(stack, COMMON);
});

test('§16.1: each way of allowing the EC2 metadata service works', () => {
  const ways: [string, string | undefined][] = [
    ['-ec2-metadata-access', undefined],
    ['-ec2-metadata-access', ''],
    ['', 'ec2-metadata-access: true'],
    ['', 'stack: { ec2MetadataAccess: true }'],
  ];
  for (const [argv, yaml] of ways) assert.equal(resolved(argv, yaml).stack.ec2MetadataAccess, true, `${argv} ${yaml}`);
  assert.equal(resolved('', '').stack.ec2MetadataAccess, false);
});

test('VMs are kept apart, and guarded, by flag or file; the flag wins', () => {
  for (const [argv, yaml] of [['-isolation'], ['-isolation', ''], ['', 'stack: { isolation: true }']] as [string, string?][]) {
    assert.equal(resolved(argv, yaml).stack.isolation, true);
    assert.equal(resolved(argv, yaml).guestApi, 'read-only', 'else a guest would expose what is kept from it');
    assert.equal(resolved(`${argv} -guest-api full`.trim(), yaml).guestApi, 'full');
  }
  assert.equal(resolved('', '').stack.isolation, false);
  assert.equal(resolved('', 'stack: { guard: lease }').stack.guard, 'lease');
  assert.equal(resolved('-guard off', 'stack: { guard: lease }').stack.guard, 'off');
  assert.deepEqual((effective('-guard lease -isolation', undefined)['stack'] as Tree)['guard'], 'lease');
  assert.throws(() => resolved('-guard all'), { name: 'ConfigError', message: `guard can't be "all": want off, mac or lease` });
  assert.throws(() => resolved('', 'stack: { guard: all }'), /gvproxy.yaml:1:17: stack.guard: want off, mac or lease/);
});

test('§19: the limits of host connects, the time as Go writes it or in seconds', () => {
  const limits = (yaml: string): unknown[] => {
    const { tcpMaxInFlight, tcpConnectTimeout } = resolved('', `stack: { ${yaml} }`).stack;
    return [tcpMaxInFlight, tcpConnectTimeout];
  };
  assert.deepEqual(limits('tcpMaxInFlight: 128, tcpConnectTimeout: 30s'), [128, 30_000]);
  assert.deepEqual(limits('tcpConnectTimeout: 5'), [undefined, 5000]);
  assert.deepEqual(limits('tcpConnectTimeout: "1m1.5s"'), [undefined, 61_500]);
  assert.deepEqual(limits(''), [undefined, undefined]);
});

test('a zone whose name lacks the final dot gets it: gvproxy would never answer for it', () => {
  const yaml = 'stack: { dns: [{ name: crc.testing, defaultIP: 10.0.0.9, records: [{ regexp: "^a", ip: 10.0.0.8 }] }] }';
  const { stack } = effective('', yaml);
  assert.deepEqual((stack as Tree)['dns'], [{ name: 'crc.testing.', defaultIP: '10.0.0.9', records: [{ regexp: '^a', ip: '10.0.0.8' }] }]);
});

test('§3.1: log-level is known in any case, and warn is warning', () => {
  const cases = { PANIC: 'panic', Fatal: 'fatal', warn: 'warning', Warning: 'warning', TRACE: 'trace', nonsense: 'info', '': 'info' };
  for (const [written, level] of Object.entries(cases)) assert.equal(resolved('', `log-level: "${written}"`).logLevel, level, written);
});

test('§17: the command lines of known callers', () => {
  const forward = (name: string, user: string): string =>
    `-forward-sock /run/${name}.sock -forward-dest /run/${name}/podman.sock -forward-user ${user} -forward-identity /keys/machine`;
  const files = '-pid-file /run/gvproxy.pid -log-file /run/gvproxy.log';
  const machine = (link: string): Tree => {
    const out = effective(`-debug -mtu 1500 -ssh-port 40123 ${link} ${forward('user', 'core')} ${forward('root', 'root')} ${files}`);
    const { forwards, stack, ...rest } = out as { forwards: Tree[]; stack: Tree };
    assert.deepEqual(forwards, [
      { socket: '/run/user.sock', dest: '/run/user/podman.sock', user: 'core', identity: '/keys/machine' },
      { socket: '/run/root.sock', dest: '/run/root/podman.sock', user: 'root', identity: '/keys/machine' },
    ]);
    assert.deepEqual(stack, { ...STACK, debug: true, forwards: { '127.0.0.1:40123': '192.168.127.2:22' } });
    return rest;
  };
  const common = { 'log-level': 'debug', 'log-file': '/run/gvproxy.log', 'pid-file': '/run/gvproxy.pid' };
  assert.deepEqual(machine('-listen-qemu unix:///run/qemu.sock'), { ...common, interfaces: { qemu: 'unix:///run/qemu.sock' } });
  assert.deepEqual(machine('-listen-vfkit unixgram:///run/vfkit.sock'), { ...common, interfaces: { vfkit: 'unixgram:///run/vfkit.sock' } });
  const guid = 'vsock://00000400-FACB-11E6-BD58-64006A7986D3';
  assert.deepEqual(machine(`-listen ${guid}`), { ...common, listen: [guid] });
  // Windows' WSL: the program is started for its standard input and output.
  assert.deepEqual(effective('-listen-stdio=accept'), { 'log-level': 'info', interfaces: { stdio: 'accept' }, stack: STACK });
});
