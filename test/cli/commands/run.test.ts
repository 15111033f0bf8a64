import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { test } from 'node:test';
import { execute, type Finished, ROOT, Running, temporaryFolder, until } from '../../guest/process.ts';

const PROGRAM = join(ROOT, 'bin/guestwire');
const RUNTIME = temporaryFolder();
process.env['XDG_RUNTIME_DIR'] = RUNTIME;
delete process.env['GUESTWIRE_SOCKET'];

async function run(name: string): Promise<Running> {
  const running = new Running(PROGRAM, ['run', '-ssh-port', '-1', '-name', name, '-listen-qemu', `unix://${temporaryFolder()}/vm.sock`]);
  await until(() => running.output.includes('listening for QEMU') || running.child.exitCode !== null, 'guestwire run');
  assert.equal(running.child.exitCode, null, running.output);
  return running;
}

const guestwire = (...argv: string[]): Promise<Finished> => execute(PROGRAM, argv);

test('what guestwire run runs is found by its name, through a socket of mode 0600 that goes with it', async () => {
  const [web, standard] = await Promise.all([run('web'), run('default')]);
  const socket = join(RUNTIME, 'guestwire/web.sock');
  assert.equal(statSync(socket).mode & 0o777, 0o600);
  assert.equal(statSync(join(RUNTIME, 'guestwire')).mode & 0o777, 0o700);
  const added = await guestwire('forward', 'add', '--name', 'web', '0:80');
  assert.equal(added.status, 0, added.stderr);
  assert.match((await guestwire('status', '--name', 'web')).stdout, /^forwards\t1$/m);
  assert.match((await guestwire('status')).stdout, /^forwards\t0$/m);
  assert.equal(await web.kill('SIGTERM'), 0, web.output);
  assert.equal(existsSync(socket), false);
  assert.equal((await guestwire('status', '--name', 'web')).status, 3);
  assert.equal(await standard.kill('SIGINT'), 0, standard.output);
});

test('a name that is taken is refused, and what a killed program has left is not in the way', async () => {
  const first = await run('twice');
  const second = await guestwire('run', '-ssh-port', '-1', '-name', 'twice');
  assert.equal(second.status, 1);
  assert.match(
    second.stderr,
    /^guestwire run: a network runs under the name "twice" \(.*\/twice\.sock\): --name gives this one another\n$/,
  );
  assert.equal((await guestwire('status', '--name', 'twice')).status, 0, 'the first is not disturbed');
  await first.kill('SIGKILL');
  assert.equal(existsSync(join(RUNTIME, 'guestwire/twice.sock')), true);
  assert.equal((await guestwire('status', '--name', 'twice')).status, 3);
  assert.equal(await (await run('twice')).kill('SIGTERM'), 0);
});

test('a folder that others could change is not used', async () => {
  const folder = temporaryFolder();
  mkdirSync(join(folder, 'guestwire'));
  chmodSync(join(folder, 'guestwire'), 0o777);
  const { status, stderr } = await execute('env', [`XDG_RUNTIME_DIR=${folder}`, PROGRAM, 'run', '-ssh-port', '-1']);
  assert.equal(status, 1);
  assert.match(stderr, /^guestwire run: .*\/guestwire could be changed by other users: want a folder of this user's with mode 700/);
});

test('a program that listens under the name and is no guestwire is left alone', async (t) => {
  const socket = join(RUNTIME, 'guestwire/other.sock');
  mkdirSync(join(RUNTIME, 'guestwire'), { recursive: true, mode: 0o700 });
  const server = createServer((connection) => connection.end()).listen(socket);
  await once(server, 'listening');
  t.after(() => void server.close());
  assert.equal((await guestwire('run', '-ssh-port', '-1', '-name', 'other')).status, 1);
  assert.equal(existsSync(socket), true);
});
