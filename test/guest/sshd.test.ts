/** SSH forwards against OpenSSH's own server. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { appendFileSync, chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { join } from 'node:path';
import { after, before, test, type TestContext } from 'node:test';
import { SshForward } from '../../src/ssh/forward.ts';
import type { SshTarget } from '../../src/ssh/target.ts';
import { KEY_KINDS, makeKeyFile, PASSPHRASE, type KeyFile } from '../ssh/key-files.ts';
import { dialTo, RecordedLog, targetOf } from '../ssh/server.ts';
import { missing } from './requirement.ts';
import { execute, Running, succeed, temporaryFolder, until } from './process.ts';

const skip = missing('root', 'sshd', 'ssh-keygen', 'openssl');
/** sshd no longer takes DSA keys. */
const KINDS = KEY_KINDS.filter(({ outdated }) => outdated !== true);

let folder = '';
let port = 0;
let sshd: Running | undefined;
const keys = new Map<string, KeyFile>();

before(async () => {
  if (skip !== false) return;
  folder = temporaryFolder();
  for (const type of ['rsa', 'ecdsa', 'ed25519'])
    await succeed('ssh-keygen', ['-q', '-t', type, '-N', '', '-f', join(folder, `host-${type}`)]);
  for (const kind of KINDS) keys.set(kind.name, makeKeyFile(folder, kind));
  writeFileSync(join(folder, 'authorized'), [...keys.values()].map(({ publicKey }) => `${publicKey}\n`).join(''));
  port = await freePort();
  const hostKeys = ['rsa', 'ecdsa', 'ed25519'].map((type) => `HostKey ${join(folder, `host-${type}`)}`);
  const settings = ['UsePAM no', 'StrictModes no', 'PermitRootLogin prohibit-password', 'PasswordAuthentication no', 'PidFile none'];
  const address = [`ListenAddress 127.0.0.1`, `Port ${port}`, `AuthorizedKeysFile ${join(folder, 'authorized')}`];
  writeFileSync(join(folder, 'config'), [...address, ...settings, ...hostKeys, ''].join('\n'));
  // Where sshd shuts in its unprivileged part; Debian's start script makes it.
  mkdirSync('/run/sshd', { recursive: true });
  chmodSync('/run/sshd', 0o755);
  await startSshd();
});

after(async () => {
  await stopSshd();
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port: free } = server.address() as AddressInfo;
  server.close();
  return free;
}

async function startSshd(): Promise<void> {
  sshd = new Running('/usr/sbin/sshd', ['-D', '-e', '-f', join(folder, 'config')]);
  await until(() => sshd!.output.includes('Server listening'), 'sshd');
}

/** With the processes of its sessions, as when a guest is switched off. */
async function stopSshd(): Promise<void> {
  if (sshd === undefined) return;
  await execute('pkill', ['-KILL', '-P', String(sshd.child.pid)]);
  await sshd.kill();
  sshd = undefined;
}

interface Setting {
  readonly kind?: string;
  readonly connect?: 'now' | 'first-connection';
  readonly target?: Partial<SshTarget>;
}

let opened = 0;

async function world(t: TestContext, { kind = 'OpenSSH Ed25519', connect = 'first-connection', target = {} }: Setting = {}) {
  const { path: identity, kind: made } = keys.get(kind)!;
  const number = opened++;
  const local = join(folder, `local-${number}`);
  const path = join(folder, `service-${number}`);
  const service = createServer({ allowHalfOpen: true }, (socket) => socket.on('error', () => {}).pipe(socket));
  service.listen(path);
  await once(service, 'listening');
  const log = new RecordedLog();
  const passphrase = made.encrypted === true ? PASSPHRASE : undefined;
  const remote = targetOf({ identity, passphrase, path, user: 'root', ...target });
  const knownHosts = join(folder, `known-${number}`);
  writeFileSync(knownHosts, `192.168.127.2 ${readFileSync(join(folder, 'host-ed25519.pub'), 'utf8')}`);
  const forward = new SshForward({ local, remote, dial: dialTo(() => port), log, connect, knownHosts });
  t.after(() => {
    forward.close();
    service.close();
  });
  return { local, log, service };
}

/** Sends all of it, ends, and returns what came back. */
async function echoed(local: string, data: Buffer): Promise<Buffer> {
  const socket: Socket = connect({ path: local, allowHalfOpen: true });
  socket.end(data);
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

for (const { name } of KINDS) {
  test(`§14.6: sshd lets in who has the key as ${name}`, { skip }, async (t) => {
    const { local, log } = await world(t, { kind: name });
    assert.equal(String(await echoed(local, Buffer.from('hello'))), 'hello');
    assert.deepEqual(log.spoken, []);
  });
}

test('§14.6: sixteen connections at once carry 32 MB through sshd without a wrong byte', { skip }, async (t) => {
  const { local } = await world(t, { connect: 'now' });
  const digest = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
  const carry = async (): Promise<void> => {
    const data = randomBytes(2 << 20);
    assert.equal(digest(await echoed(local, data)), digest(data));
  };
  await Promise.all(Array.from({ length: 16 }, carry));
});

test('§14.6: with secure=true sshd must show the key of known_hosts', { skip }, async (t) => {
  const { local } = await world(t, { target: { secure: true } });
  assert.equal(String(await echoed(local, Buffer.from('known'))), 'known');
});

test('§14.6: a socket that sshd does not find closes the connection with the reason', { skip }, async (t) => {
  const { local, log } = await world(t, { target: { path: join(folder, 'none') } });
  assert.equal((await echoed(local, Buffer.from('x')).catch(() => Buffer.alloc(0))).length, 0);
  const text = `error couldn't reestablish ssh tunnel on path: ${join(folder, 'none')}: ssh: rejected: connect failed (`;
  assert.ok(log.spoken[0]!.startsWith(text), log.spoken[0]);
});

test('§14.6: a forward survives sshd, and serves who came while it was away', { skip }, async (t) => {
  const { local, log } = await world(t, { connect: 'now' });
  assert.equal(String(await echoed(local, Buffer.from('before'))), 'before');
  const open = connect(local);
  open.on('error', () => {}).write('open');
  await once(open, 'data');
  const closed = once(open, 'close');
  await stopSshd();
  await closed;
  const { local: second } = await world(t, { connect: 'now' });
  const early = echoed(second, Buffer.from('early'));
  await startSshd();
  assert.equal(String(await early), 'early');
  assert.equal(String(await echoed(local, Buffer.from('after'))), 'after');
  assert.deepEqual(
    log.spoken.filter((line) => line.startsWith('error ')),
    [],
  );
});

test('§14.6: a key that sshd does not know is told, and taken as soon as it does', { skip }, async (t) => {
  const file = join(folder, 'stranger');
  await succeed('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', file]);
  const { local, log } = await world(t, { connect: 'now', target: { identity: file } });
  const early = echoed(local, Buffer.from('early'));
  await until(() => log.spoken.length > 0, 'a word about the key');
  assert.match(log.spoken[0]!, /^warning ssh forward .*unable to authenticate.*\(user root, key .*stranger\)$/);
  appendFileSync(join(folder, 'authorized'), readFileSync(`${file}.pub`));
  assert.equal(String(await early), 'early');
});
