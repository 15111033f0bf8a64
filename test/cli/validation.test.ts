/** Contract §2.3, row by row: what is refused before anything starts, and which of two mistakes is told of. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseFlags } from '../../src/cli/go-flags.ts';
import { GVPROXY_FLAGS } from '../../src/cli/gvproxy-flags.ts';
import { validate } from '../../src/cli/validation.ts';
import { type GvproxyConfig, resolveGvproxyConfig } from '../../src/config/gvproxy-config.ts';
import type { ConfigFile } from '../../src/config/file-schema.ts';
import { ConfigError } from '../../src/config/subnet.ts';
import { temporaryFolder } from '../guest/process.ts';

function checked(argv: readonly string[], file?: ConfigFile): GvproxyConfig {
  const flags = parseFlags(GVPROXY_FLAGS, file === undefined ? argv : ['-config', 'x', ...argv]).values;
  return validate(flags, resolveGvproxyConfig(flags, { file, searchDomains: [] }));
}

/** `text`: the message, or how it begins. */
function refused(argv: readonly string[], text: string, file?: ConfigFile): void {
  const rest = (error: Error): boolean => error instanceof ConfigError && error.message.startsWith(text);
  assert.throws(() => checked(argv, file), rest, `${argv.join(' ')}: ${text}`);
}

/** Each row's mistake, as flags; an earlier one is told of although later ones are there. */
const ROWS: [row: string, argv: string[], text: string][] = [
  ['3', ['-subnet', 'nonsense'], 'failed to parse subnet: invalid CIDR address: nonsense'],
  ['4', ['-subnet', '10.0.0.0/30'], 'failed to identify usable gateway IP address in subnet: subnet too small'],
  ['5', ['-hostIP', '10.0.0.1'], 'failed to validate configuration IPs: IP (10.0.0.1) not in subnet (192.168.127.0/24)'],
  ['6', ['-notification', 'tcp://x:1'], 'notification listen address must be unix:// address'],
  ['7', ['-listen-qemu', 'tcp://x:y'], 'invalid value for qemu listen address: parse "tcp://x:y": invalid port ":y" after host'],
  ['8', ['-listen-bess', 'unix:///x'], 'bess listen address must be unixpacket:// address'],
  ['9', ['-listen-vfkit', 'unix:///x'], 'vfkit listen address must be unixgram:// address'],
  ['10', ['-listen-qemu', 'tcp://:0', '-listen-vpnkit', 'x'], 'cannot use qemu and vpnkit protocol at the same time'],
  ['11', ['-ssh-port', '80'], 'ssh-port value must be between 1024 and 65535'],
  ['12', ['-forward-sock', 'x'], '--forward-sock, --forward-dest, --forward-user, and --forward-identity must all be specified together'],
];

test('§2.3: each mistake is refused, and of two the one of the earlier row', () => {
  for (const [index, [, argv, text]] of ROWS.entries()) {
    refused(argv, text);
    for (const [, other] of ROWS.slice(index + 1)) {
      // Of a flag that is given twice the last value counts.
      if (!other.includes(argv[0]!)) refused([...other, ...argv], text);
    }
  }
});

test('addresses of IPv6 beside -ipv6=false are a contradiction, and without it they turn IPv6 on', () => {
  refused(['-ipv6=false', '-subnet6', 'fd00::/64'], 'subnet6 is fd00::/64, but ipv6 is off');
  assert.equal(checked(['-subnet6', 'fd00::/64']).stack.ipv6, true);
  assert.equal(checked(['-ipv6']).stack.ipv6, true);
  assert.equal(checked(['-ipv6=false']).stack.ipv6, undefined);
});

test('§2.3 row 4: the address that can not be found is named; with all three given the subnet is to blame', () => {
  const small = (...argv: string[]): string[] => ['-subnet', '10.0.0.0/30', ...argv];
  refused(small('-gatewayIP', '10.0.0.1'), 'failed to identify usable device IP address in subnet: subnet too small');
  refused(
    small('-gatewayIP', '10.0.0.1', '-deviceIP', '10.0.0.2'),
    'failed to identify usable host IP address in subnet: subnet too small',
  );
  const all = small('-gatewayIP', '10.0.0.1', '-deviceIP', '10.0.0.2', '-hostIP', '10.0.0.3');
  refused(all, 'failed to validate configuration IPs: subnet too small');
});

test('§2.3 row 5: the reasons', () => {
  const cases: [string[], string][] = [
    [['-gatewayIP', 'x'], 'invalid IP address: x'],
    [['-deviceIP', '10.0.0.1'], 'IP (10.0.0.1) not in subnet (192.168.127.0/24)'],
    [['-subnet', '192.168.127.1/24'], 'IP must not be address of subnet: 192.168.127.1'],
    [['-hostIP', '192.168.127.255'], 'IP must not be broadcast address: 192.168.127.255'],
    [['-gatewayIP', '192.168.127.2'], 'IP addresses need to be distinct'],
  ];
  for (const [argv, why] of cases) refused(argv, `failed to validate configuration IPs: ${why}`);
});

test('§2.3 row 6: a notification flag is a unix URL and gives its path; the file has a path', () => {
  refused(['-notification', ':x'], 'invalid value for notification listen address: parse ":x": missing protocol scheme');
  refused(['-notification', '/run/x.sock'], 'notification listen address must be unix:// address');
  assert.equal(checked(['-notification', 'unix:///run/a%20b.sock']).notification, '/run/a b.sock');
  assert.equal(checked([], { notification: '/run/a%20b.sock' }).notification, '/run/a%20b.sock');
});

test('§2.3 rows 7 to 9: a path that exists is refused, for the scheme it belongs to, from flag and file alike', async () => {
  const path = join(temporaryFolder(), 'there');
  writeFileSync(path, '');
  const exists = `"${path}" already exists (it is not a socket: choose another path)`;
  refused(['-listen-qemu', `unix://${path}`], exists);
  refused(['-listen-bess', `unixpacket://${path}`], exists);
  refused(['-listen-vfkit', `unixgram://${path}`], exists);
  refused([], exists, { interfaces: { vfkit: `unixgram://${path}` } });
  const server = createServer().listen(`${path}.sock`);
  await once(server, 'listening');
  refused([], `"${path}.sock" already exists (a program listens on it`, { interfaces: { qemu: `unix://${path}.sock` } });
  server.close();
  refused(
    ['-listen-bess', 'unixpacket:///x:%zz'],
    'invalid value for bess listen address: parse "unixpacket:///x:%zz": invalid URL escape "%zz"',
  );
  refused(['-listen-vfkit', 'unixgram://[::1'], 'invalid value for vfkit listen address: parse "unixgram://[::1": missing \']\' in host');
});

test('§2.3 row 10: which links exclude each other; vfkit and stdio go with anything', () => {
  const [qemu, vpnkit, bess] = [
    ['-listen-qemu', 'tcp://:0'],
    ['-listen-vpnkit', 'unix:///x'],
    ['-listen-bess', 'unixpacket:///nonexistent/x'],
  ] as const;
  refused([...qemu, ...vpnkit, ...bess], 'cannot use qemu and vpnkit protocol at the same time');
  refused([...bess, ...vpnkit], 'cannot use bess and vpnkit protocol at the same time');
  refused([...bess, ...qemu], 'cannot use qemu and bess protocol at the same time');
  refused([...qemu], 'cannot use qemu and bess protocol at the same time', { interfaces: { bess: 'unixpacket:///nonexistent/x' } });
  const others = ['-listen-vfkit', 'unixgram:///nonexistent/y', '-listen-stdio', 'accept'];
  for (const link of [qemu, vpnkit, bess]) assert.doesNotThrow(() => checked([...link, ...others]));
});

test('§2.3: what is not checked before the start', () => {
  const argv = ['-listen', 'nonsense', '-services', ':x', '-listen-vpnkit', 'tcp://x:y', '-mtu', '-5'];
  const { listen, services, interfaces, stack } = checked(argv);
  assert.deepEqual([listen, services, interfaces.vpnkit, stack.mtu], [['nonsense'], ':x', 'tcp://x:y', -5]);
});

test('§2.3 row 11: the SSH port counts without a file only', () => {
  for (const port of ['1023', '65536', '0', '-2']) refused(['-ssh-port', port], 'ssh-port value must be between 1024 and 65535');
  for (const port of ['1024', '65535', '-1']) assert.doesNotThrow(() => checked(['-ssh-port', port]));
  assert.deepEqual(checked(['-ssh-port', '80'], {}).stack.forwards, {});
});

test("§2.3 rows 12 and 13: SSH forwards come in fours, and their keys exist, the file's as well", () => {
  const key = join(temporaryFolder(), 'key');
  const four = ['-forward-sock', 'a', '-forward-dest', 'b', '-forward-user', 'c', '-forward-identity', key];
  const missing = `identity file "${key}" can't be loaded: stat ${key}: no such file or directory`;
  refused(four, missing);
  refused([], missing, { forwards: [{ socket: 'a', dest: 'b', user: 'c', identity: key }] });
  writeFileSync(key, '');
  assert.deepEqual(
    checked([...four, ...four]).forwards,
    Array.from({ length: 2 }, () => ({ socket: 'a', dest: 'b', user: 'c', identity: key })),
  );
  const text =
    '--forward-sock, --forward-dest, --forward-user, and --forward-identity must all be specified together, the same number of times, or not at all';
  for (const flag of ['sock', 'dest', 'user', 'identity']) {
    assert.throws(() => checked([...four, `-forward-${flag}`, key]), new ConfigError(text));
  }
});
