/** `ssh-over-vsock`, through a tunnel to a guest whose SSH server is OpenSSH's. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { serveApi } from '../../src/api/serve.ts';
import { VirtualNetwork } from '../../src/index.ts';
import { attachGuest } from '../../src/testing/index.ts';
import { missing } from './requirement.ts';
import { execute, type Finished, ROOT, Running, succeed, temporaryFolder, until } from './process.ts';

const skip = missing('root', 'sshd', 'ssh-keygen', 'ps');
const PROGRAM = join(ROOT, 'bin/ssh-over-vsock');

const folder = temporaryFolder();
const api = join(folder, 'api.sock');
const key = join(folder, 'key');
const close: (() => unknown)[] = [];

before(async () => {
  if (skip !== false) return;
  for (const name of ['host', 'key']) await succeed('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(folder, name)]);
  copyFileSync(`${key}.pub`, join(folder, 'authorized'));
  const port = await freePort();
  const lines = ['UsePAM no', 'StrictModes no', 'PermitRootLogin prohibit-password', 'PasswordAuthentication no', 'PidFile none'];
  const own = [`ListenAddress 127.0.0.1`, `Port ${port}`, `AuthorizedKeysFile ${folder}/authorized`, `HostKey ${folder}/host`, ''];
  writeFileSync(join(folder, 'config'), [...lines, ...own].join('\n'));
  mkdirSync('/run/sshd', { recursive: true });
  chmodSync('/run/sshd', 0o755);
  const sshd = new Running('/usr/sbin/sshd', ['-D', '-e', '-f', join(folder, 'config')]);
  close.push(() => sshd.kill());
  await until(() => sshd.output.includes('Server listening'), 'sshd');
  const network = await VirtualNetwork.create();
  close.push(() => network.close());
  const { guest } = attachGuest(network, '5a:94:ef:e4:0c:ee');
  await guest.dhcp();
  guest.listen(22, (socket) => {
    const server = connect({ host: '127.0.0.1', port, allowHalfOpen: true });
    socket.on('error', () => server.destroy()).pipe(server);
    server.on('error', () => socket.destroy()).pipe(socket);
  });
  const served = await serveApi({ url: `unix://${api}`, network, forwards: network.forwards });
  close.push(() => served.close());
});

after(async () => {
  for (const run of close.toReversed()) await run();
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

function call(...argv: string[]): Promise<Finished> {
  return execute(PROGRAM, argv);
}

test('§15.4: runs ps in the guest, whatever its host key, and prints what it says', { skip }, async () => {
  const { status, stdout, stderr } = await call('-url', api, '-user', 'root', '-key', key);
  assert.deepEqual([status, stderr], [0, '']);
  assert.match(stdout, /^ *PID .*CMD\n/);
  const over = await call('--url', `unix://${api}`, '--ip=192.168.127.2', '-port=22', '-user', 'root', '-key', key);
  assert.match(over.stdout, /^ *PID .*CMD\n/);
});

test('§15.4: every failure is one line, and status 1', { skip }, async () => {
  const stranger = join(folder, 'stranger');
  await succeed('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', stranger]);
  const cases: [flags: string[], words: string][] = [
    [['-key', stranger], 'ssh: handshake failed: All configured authentication methods failed'],
    [['-key', join(folder, 'none')], `flag -key: open ${folder}/none: no such file or directory`],
    [['-key', api], 'flag -key: '],
    [['-key', join(folder, 'config')], `identity file ${folder}/config: it holds no private key`],
    [[], 'flag -key: want the path of a private key'],
    [['-key', key, '-port', '23'], 'ssh: handshake failed: '],
    [['-key', key, '-ip', 'guest'], 'handshake failed: HTTP/1.1 400 Bad Request'],
    [['-key', key, '-url', join(folder, 'none')], `connect ENOENT ${folder}/none`],
  ];
  for (const [flags, words] of cases) {
    const { status, stdout, stderr } = await call('-url', api, '-user', 'root', ...flags);
    assert.deepEqual([status, stdout], [1, ''], stderr);
    const [, message] = /^time="\S+" level=fatal msg="(.*)"\n$/.exec(stderr) ?? [undefined, stderr];
    assert.ok(message!.startsWith(words), `${flags.join(' ')}: ${stderr}`);
  }
});

test('§15.4: -version and -help are answered as by the other programs', { skip }, async () => {
  assert.match((await call('-version')).stdout, /^ssh-over-vsock version v\d/);
  const help = await call('-help');
  assert.equal(help.status, 0);
  assert.match(help.stderr, /^Usage of ssh-over-vsock:\n[^]*\(default "\/tmp\/network\.sock"\)/);
  assert.equal((await call('-nothing')).status, 2);
});
