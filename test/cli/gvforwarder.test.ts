/** What gvforwarder says and does before it opens anything (contract §15.1). */
import assert from 'node:assert/strict';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { GVFORWARDER_FLAGS } from '../../src/cli/gvforwarder-flags.ts';
import { execute, type Finished, ROOT, Running, temporaryFolder, until } from '../guest/process.ts';

const FORWARDER = join(ROOT, 'bin/gvforwarder');

function call(...argv: string[]): Promise<Finished> {
  return execute(FORWARDER, argv);
}

function records(log: string): string[] {
  return [...log.matchAll(/ level=(\w+) msg="(.*)"$/gm)].map(([, level, text]) => `${level}: ${text}`);
}

test("§15.1: the original's flags have its defaults", () => {
  const defaults = Object.fromEntries(
    Object.entries(GVFORWARDER_FLAGS).map(([name, flag]) => [name, 'default' in flag ? flag.default : undefined]),
  );
  assert.deepEqual(defaults, {
    url: 'vsock://2:1024/connect',
    iface: 'tap0',
    'stop-if-exist': 'eth0,ens3,enp0s1',
    mac: '5a:94:ef:e4:0c:ee',
    mtu: 4000,
    preexisting: undefined,
    debug: undefined,
    version: undefined,
    offload: 'auto',
    dhcp: 'auto',
    'resolv-conf': '/etc/resolv.conf',
  });
});

test('§2.1: version, help and mistakes are as with every program of the original', async () => {
  const version = await call('-version');
  assert.equal(version.status, 0);
  assert.match(version.stdout, /^gvforwarder version v\d+\.\d+\.\d+\n$/);
  const help = await call('-help');
  assert.deepEqual([help.status, help.stdout], [0, '']);
  assert.match(help.stderr, /^Usage of gvforwarder:\n {2}-debug\n/);
  const wrong = await call('-sideways');
  assert.equal(wrong.status, 2);
  assert.match(wrong.stderr, /^flag provided but not defined: -sideways\nUsage of gvforwarder:/);
  assert.match((await call('-mtu', 'x')).stderr, /^invalid value "x" for flag -mtu: parse error\n/);
});

test('§15.1: an interface that is there prevents it to run', async () => {
  const [name] = Object.keys(networkInterfaces());
  const { status, stderr } = await call('-stop-if-exist', `nobody0,${name}`, '-url', 'nonsense');
  assert.deepEqual(
    [status, records(stderr)],
    [0, [`info: interface ${name} prevented this program to run (-stop-if-exist= runs it all the same)`]],
  );
});

test('values that make no sense are refused before anything is opened', async () => {
  for (const [argv, text] of [
    [['-url', 'tcp://127.0.0.1:1'], /^fatal: unexpected scheme/],
    [['-iface', 'a name of 16 or'], /^fatal: flag -iface: .* is no name of an interface: want 1 to 15 bytes, without \/ and :$/],
    [['-iface', ''], /^fatal: flag -iface: .* is no name/],
    [['-mac', 'x'], /^fatal: flag -mac: .*is no MAC address/],
    [['-mac', '01:00:5e:00:00:01'], /^fatal: flag -mac: .*is no MAC address/],
    [['-offload', 'maybe'], /^fatal: flag -offload can't be .*: want auto, on, off$/],
    [['-dhcp', 'dhcpcd'], /^fatal: flag -dhcp can't be .*: want auto, udhcpc, dhclient, own, off$/],
  ] as const) {
    const { status, stderr } = await call('-stop-if-exist', '', ...argv);
    assert.deepEqual([status, records(stderr).length], [1, 1], stderr);
    assert.match(records(stderr)[0]!, text);
  }
});

test('§15.1: it tries again every second, with the reason, and a signal ends it at once with 0', async () => {
  const url = `unix://${join(temporaryFolder(), 'nobody.sock')}`;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    const running = new Running(FORWARDER, ['-stop-if-exist', '', '-url', url]);
    await until(() => records(running.output).length >= (signal === 'SIGINT' ? 2 : 1), 'two attempts');
    const asked = performance.now();
    assert.equal(await running.kill(signal), 0, running.output);
    assert.ok(performance.now() - asked < 900, 'it does not wait for the next attempt');
    const lines = records(running.output);
    assert.match(lines[0]!, /^error: cannot connect to host: connect ENOENT .*nobody\.sock: no such file or directory/);
    assert.equal(lines.at(-1), 'info: signal caught');
  }
});

test('-offload on does without no server that can', async () => {
  const url = `unix://${join(temporaryFolder(), 'nobody.sock')}`;
  const running = new Running(FORWARDER, ['-stop-if-exist', '', '-url', url, '-offload', 'on']);
  await until(() => records(running.output).length > 0, 'an attempt');
  await running.kill();
  assert.equal(records(running.output)[0], 'error: cannot connect to host: no server that takes virtio-net headers answers (-offload on)');
});
