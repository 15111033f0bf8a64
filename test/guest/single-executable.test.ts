/** The recipe of docs/single-executable.md, carried out: one file, in a folder with nothing else of guestwire. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, statSync, symlinkSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { execute, ROOT, Running, succeed, temporaryFolder, until } from './process.ts';
import { missing } from './requirement.ts';
import { snippet } from '../tree/snippets.ts';

const skip = process.platform === 'linux' ? missing('npx', 'ssh-keygen') : 'made on Linux';
/** The page makes a link for gvproxy alone. */
const PROGRAMS = ['gvforwarder', 'qemu-wrapper', 'ssh-over-vsock'];
const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
const made = temporaryFolder();
const folder = temporaryFolder();
/** Where shared objects are unpacked. */
const unpacked = temporaryFolder();
const program = (name: string): string => join(folder, name);
const env = [`TMPDIR=${unpacked}`, 'PATH=/usr/bin:/bin'];

/** The status of an answer, and its text. */
function ask(socketPath: string, path: string, body?: object): Promise<[number | undefined, string]> {
  return new Promise((resolve, reject) => {
    const call = request({ socketPath, path, method: body === undefined ? 'GET' : 'POST' }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => (text += chunk.toString()));
      response.on('end', () => resolve([response.statusCode, text]));
    });
    call.on('error', reject).end(body === undefined ? undefined : JSON.stringify(body));
  });
}

before(async () => {
  if (skip !== false) return;
  const lines = snippet('docs/single-executable.md', 'node scripts/single-executable.mjs')
    .replaceAll('guestwire-bundle', join(made, 'guestwire-bundle'))
    .replaceAll('/usr/local/bin', folder);
  await succeed('env', ['-C', ROOT, 'bash', '-e', '-c', lines], 300_000);
  for (const name of PROGRAMS) symlinkSync('guestwire', program(name));
});

test('one file is every program, by the name that it is called by', { skip }, async () => {
  for (const name of ['guestwire', 'gvproxy', 'gvforwarder', 'ssh-over-vsock']) {
    const { status, stdout, stderr } = await execute('env', [...env, program(name), '-version']);
    assert.deepEqual([status, stdout, stderr], [0, `${name} version v${version}\n`, '']);
  }
  assert.match((await execute('env', [...env, program('qemu-wrapper')])).stderr, /^Usage: qemu-wrapper SOCKET PROGRAM/);
  symlinkSync('guestwire', program('another-name'));
  const { stdout } = await execute('env', [...env, program('another-name'), 'gvproxy', '-version']);
  assert.equal(stdout, `gvproxy version v${version}\n`);
  // The page has it in whole megabytes; another Node weighs a little more or less.
  const [, said] = /([\d]+) MB/.exec(readFileSync(join(ROOT, 'docs/single-executable.md'), 'utf8'))!;
  const megabytes = statSync(program('guestwire')).size / 1e6;
  assert.ok(process.arch !== 'x64' || Math.abs(megabytes - Number(said)) < 15, `${megabytes} MB`);
});

test('it runs a network, with what is native inside it, and leaves nothing unpacked', { skip, timeout: 60_000 }, async () => {
  const api = join(folder, 'api.sock');
  const flags = ['-listen', `unix://${api}`, '-listen-qemu', `unix://${join(folder, 'vm.sock')}`, '-ssh-port', '-1'];
  const gvproxy = new Running('env', [...env, program('gvproxy'), ...flags]);
  await until(() => existsSync(join(folder, 'vm.sock')) || gvproxy.child.exitCode !== null, 'the daemon', 20_000);
  assert.deepEqual(readdirSync(unpacked), [], gvproxy.output);
  const [status, text] = await ask(api, '/v1/');
  assert.equal(status, 200);
  assert.equal((JSON.parse(text) as { version: string }).version, version);
  assert.equal((await ask(api, '/v1/openapi.json'))[0], 200);

  // An encrypted key is decrypted by a thread, whose program is inside as well.
  const key = join(folder, 'key');
  await succeed('ssh-keygen', ['-q', '-t', 'ed25519', '-N', 'right', '-f', key]);
  const local = join(folder, 'ssh.sock');
  const remote = `ssh-tunnel://root@192.168.127.2:22/run/x.sock?key=${key}&passphrase=wrong`;
  assert.deepEqual(await ask(api, '/services/forwarder/expose', { protocol: 'unix', local, remote }), [200, '']);
  void ask(local, '/').catch(() => {});
  await until(() => gvproxy.output.includes('identity file'), 'the key to be read', 30_000);
  assert.match(gvproxy.output, /identity file \S+: the passphrase is wrong/);
  assert.equal(await gvproxy.kill('SIGTERM'), 0, gvproxy.output);
});
