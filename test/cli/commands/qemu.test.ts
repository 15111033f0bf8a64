/** `guestwire qemu` with a program in QEMU's place, which says what it is told; the real one is in test/guest/qemu-command.test.ts. */
import assert from 'node:assert/strict';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { qemuArguments } from '../../../src/cli/commands/qemu-arguments.ts';
import { qemuVersion } from '../../../src/cli/commands/qemu-program.ts';
import { execute, type Finished, ROOT, Running, temporaryFolder, until } from '../../guest/process.ts';
import { call } from './world.ts';

const PROGRAM = join(ROOT, 'bin/guestwire');
const NETWORK = { socket: '/run/vm,1.sock', mac: '5a:94:ef:e4:0c:ee', mtu: 1500, device: 'virtio-net-pci', version: [7, 2] } as const;

/** A QEMU that does `body`, a shell's; `$*` are its arguments. */
function fakeQemu(version: string, body: string): string {
  const file = join(temporaryFolder(), 'qemu');
  writeFileSync(file, `#!/bin/sh\n[ "$1" = --version ] && { echo "QEMU emulator version ${version} (Debian)"; exit; }\n${body}\n`);
  chmodSync(file, 0o755);
  return file;
}

const guestwire = (...argv: string[]): Promise<Finished> => execute(PROGRAM, ['qemu', ...argv]);

test('QEMU gets a network card in front of its arguments: over a unix socket since 7.2, by descriptor 3 before', () => {
  const stream = qemuArguments(['-m', '1G'], { ...NETWORK, mtu: 4000 });
  assert.deepEqual(stream.args, [
    '-netdev',
    'stream,id=guestwire,server=off,addr.type=unix,addr.path=/run/vm,,1.sock',
    '-device',
    'virtio-net-pci,netdev=guestwire,mac=5a:94:ef:e4:0c:ee,host_mtu=4000',
    '-m',
    '1G',
  ]);
  const { args, inherits } = qemuArguments([], { ...NETWORK, version: [7, 1] });
  assert.deepEqual(
    [args, inherits],
    [['-netdev', 'socket,id=guestwire,fd=3', '-device', 'virtio-net-pci,netdev=guestwire,mac=5a:94:ef:e4:0c:ee'], true],
  );
  for (const own of ['-netdev', '--nic', '-net']) {
    const kept = qemuArguments([own, 'x=%{socket}'], NETWORK);
    assert.deepEqual([kept.args, kept.own, kept.inherits], [[own, 'x=%/run/vm,,1.sock'], own, false]);
  }
});

test("a version is read from QEMU's words", () => {
  assert.deepEqual(qemuVersion('QEMU emulator version 10.0.2 (qemu-10.0.2-1.fc42)\nCopyright'), [10, 0]);
  assert.equal(qemuVersion('bash, version 5.2'), undefined);
});

test("QEMU's words and status are the command's, and its network is there while it runs", async () => {
  const program = fakeQemu('9.1.0', 'path=${2##*addr.path=}; test -S "$path" || exit 9; echo "$*"; echo "$path" >&2; exit 7');
  const { status, stdout, stderr } = await guestwire('--qemu', program, '--mac', '52:54:00:00:00:01', '--', '-m', '1G');
  assert.equal(status, 7);
  assert.match(stdout, /^-netdev stream,id=guestwire,.* -device virtio-net-pci,netdev=guestwire,mac=52:54:00:00:00:01 -m 1G\n$/);
  assert.equal(existsSync(stderr.trim()), false, 'the socket went with it');
});

test('a QEMU before 7.2 is on the network by the connection that it inherits', async () => {
  // An ARP request for the gateway, behind QEMU's length; the answer's first 18 bytes hold its length, both MAC addresses and the type.
  const frame = '0000002affffffffffff52540000000108060001080006040001525400000001c0a87f02000000000000c0a87f01';
  const escapes = frame.replaceAll(/../g, (byte) => `\\${Number.parseInt(byte, 16).toString(8).padStart(3, '0')}`);
  const program = fakeQemu('6.2.0', `printf '${escapes}' >&3; head -c 18 <&3 | od -An -tx1 -v`);
  const { status, stdout, stderr } = await guestwire('--qemu', program);
  assert.equal(status, 0, stderr);
  assert.equal(stdout.replaceAll(/\s/g, ''), '0000002a5254000000015a94efe40cdd0806');
});

test('arguments with a network of their own get no card; what they may say instead is told', async () => {
  const program = fakeQemu('7.2.0', 'echo "$*"');
  const told = await guestwire('--qemu', program, '--', '-nic', 'user');
  assert.deepEqual([told.status, told.stdout], [0, '-nic user\n']);
  assert.match(
    told.stderr,
    /^guestwire qemu: the arguments have -nic of their own, so no network card is added\. Where they say \{socket\}/,
  );
  const used = await guestwire('--qemu', program, '--', '-netdev', 'stream,addr.path={socket}');
  assert.match(used.stdout, /^-netdev stream,addr\.path=\/.*vm\.sock\n$/);
  assert.equal(used.stderr, '');
});

test('the VM has the versions of IP that it is given, and forwards lead to it', async () => {
  const folder = temporaryFolder();
  const asked = `env XDG_RUNTIME_DIR=${folder} ${PROGRAM}`;
  const program = fakeQemu('7.2.0', `${asked} status --name vm; ${asked} forward ls --name vm`);
  const lines = async (...argv: string[]): Promise<string> => {
    const wanted = ['qemu', '--qemu', program, '--name', 'vm', '--forward', '[::1]:0:80', ...argv];
    const { status, stdout, stderr } = await execute('env', [`XDG_RUNTIME_DIR=${folder}`, PROGRAM, ...wanted]);
    assert.equal(status, 0, stderr);
    return stdout;
  };
  const both = await lines('--ipv6');
  assert.match(both, /^first VM\t192\.168\.127\.2$/m);
  assert.match(both, /^first VM\tfd[0-9a-f:]+::2$/m);
  assert.match(both, /^tcp\t\[::1\]:0\t\d+\t192\.168\.127\.2:80$/m);
  const alone = await lines('--ipv4=false', '--subnet6', 'fd12:3456:789a:1::/64');
  assert.doesNotMatch(alone, /192\.168/);
  assert.match(alone, /^tcp\t\[::1\]:0\t\d+\t\[fd12:3456:789a:1::2\]:80$/m);
});

test('a signal ends QEMU, and then the command as a shell tells of it', async () => {
  const file = join(temporaryFolder(), 'started');
  const running = new Running(PROGRAM, ['qemu', '--qemu', fakeQemu('7.2.0', `echo $$ > ${file}; exec sleep 30`)]);
  await until(() => existsSync(file) && readFileSync(file, 'utf8').endsWith('\n'), 'QEMU to start');
  assert.equal(await running.kill('SIGTERM'), 128 + 15, running.output);
  assert.throws(() => process.kill(Number(readFileSync(file, 'utf8')), 0), /ESRCH/);
});

test('what can not be started is told before anything is opened', async () => {
  for (const [argv, status, text] of [
    [['--mtu', '12'], 2, '"12" is no MTU: want 68 to 65535'],
    [['--mac', '01:00:5e:00:00:01'], 2, '"01:00:5e:00:00:01" is no MAC address of a network card: want one such as 5a:94:ef:e4:0c:ee'],
    [
      ['--forward', '80'],
      2,
      '"80" can\'t be read as a forward: want 8080:80, udp:5353:53, 0.0.0.0:8000-8010:9000-9010 or 8080:192.168.127.3:80',
    ],
    [['--qemu', 'qemu-system-pdp11'], 1, 'there is no program qemu-system-pdp11 in PATH (--qemu PROGRAM names another)'],
    [['--qemu', '/bin/true'], 1, "/bin/true --version doesn't answer as QEMU does"],
    [['-m', '512'], 2, "Unknown option '-m'; what is meant for the program follows --"],
    [['--ipv4=no'], 2, '--ipv4 can\'t be "no": want true or false'],
    [['--ipv6', '--mtu', '1000', '--qemu', fakeQemu('7.2.0', 'exit 0')], 1, 'mtu 1000 is too small for IPv6: want 1280 or more'],
    [['--ipv4=false', '--qemu', fakeQemu('7.2.0', 'exit 0')], 1, 'guests need an address: ipv4 is off, and ipv6 is not on'],
  ] as const) {
    const called = await call(['qemu', ...argv]);
    assert.deepEqual([called.status, called.stderr.split('\n')[0]], [status, `guestwire qemu: ${text}`]);
  }
  const taken = await guestwire('--qemu', fakeQemu('7.2.0', 'exit 0'), '--forward', '1.2.3.4:8080:80');
  assert.equal(taken.status, 1);
  assert.match(taken.stderr, /^guestwire qemu: cannot forward: listen tcp 1\.2\.3\.4:8080: bind: /);
});

test('a folder that can not be made for the socket is told of, with what to do', async () => {
  const TMPDIR = join(temporaryFolder(), 'missing');
  const { status, stderr } = await execute('env', [`TMPDIR=${TMPDIR}`, PROGRAM, 'qemu', '--qemu', fakeQemu('7.2.0', 'exit 0')]);
  assert.equal(status, 1);
  assert.match(
    stderr,
    /^guestwire qemu: cannot make a folder for the socket: mkdtemp .*: no such file or directory \(TMPDIR says where it is to be\)\n$/,
  );
});
