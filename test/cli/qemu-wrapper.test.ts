/** qemu-wrapper with small programs instead of QEMU (contract §15.2). */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { execute, type Finished, ROOT, Running, temporaryFolder, until } from '../guest/process.ts';

const WRAPPER = join(ROOT, 'bin/qemu-wrapper');

function wrap(argv: readonly string[], input = ''): Promise<Finished> {
  return execute(WRAPPER, argv, 30_000, input);
}

/** A socket that keeps what each connection has sent. */
async function listening(t: TestContext, accept: (socket: Socket) => void = () => {}): Promise<{ path: string; got: string[] }> {
  const path = join(temporaryFolder(), 'vm.sock');
  const got: string[] = [];
  const server = createServer((socket) => {
    const index = got.push('') - 1;
    socket.on('data', (chunk: Buffer) => (got[index] += chunk.toString())).on('error', () => {});
    accept(socket);
  });
  server.listen(path);
  await once(server, 'listening');
  t.after(() => server.close());
  return { path, got };
}

test('§15.2: the connection is descriptor 3, both ways, and blocks; standard input and output are passed on', async (t) => {
  const { path, got } = await listening(t, (socket) => void setTimeout(() => socket.write('late\n'), 100));
  // A read of the shell fails at once on a descriptor that does not block.
  const { status, stdout, stderr } = await wrap(
    [path, '/bin/sh', '-c', 'echo to-3 >&3; read a <&3; read b; echo "$a $b $1"', 'sh', 'x y'],
    'stdin\n',
  );
  assert.deepEqual([status, stdout, stderr, got], [0, 'late stdin x y\n', '', ['to-3\n']]);
});

test('§15.2: the connection ends with the program, not before and not after', async (t) => {
  let ended = false;
  const { path } = await listening(t, (socket) => void socket.on('close', () => (ended = true)));
  const running = new Running(WRAPPER, [path, '/bin/sh', '-c', 'echo up; read a']);
  await until(() => running.output === 'up\n', 'the program');
  assert.equal(ended, false);
  running.child.stdin!.end('\n');
  assert.equal(await running.ended, 0);
  await until(() => ended, 'the end of the connection');
});

test('§15.2: a status that is not 0, and a signal, become status 1 and a message', async (t) => {
  const { path } = await listening(t);
  const failed = await wrap([path, '/bin/sh', '-c', 'exit 7']);
  assert.deepEqual([failed.status, failed.stderr], [1, 'qemu-wrapper: /bin/sh: exit status 7\n']);
  const killed = await wrap([path, '/bin/sh', '-c', 'kill -KILL $$']);
  assert.deepEqual([killed.status, killed.stderr], [1, 'qemu-wrapper: /bin/sh: signal: SIGKILL\n']);
});

test('§15.2: without a program there is a usage and status 2', async () => {
  for (const argv of [[], ['/run/vm.sock']]) {
    const { status, stderr } = await wrap(argv);
    assert.equal(status, 2);
    assert.match(stderr, /^Usage: qemu-wrapper SOCKET PROGRAM \[ARGUMENT\.\.\.\]\n/);
  }
});

test('§15.2: a program or a socket that is not there is status 1', async (t) => {
  const { path } = await listening(t);
  const program = await wrap([path, 'no-such-qemu']);
  assert.deepEqual([program.status, program.stderr], [1, 'qemu-wrapper: no-such-qemu: no such program in PATH\n']);
  const directory = await wrap([path, '/']);
  assert.equal(directory.status, 1);
  assert.match(directory.stderr, /^qemu-wrapper: \/: .*EACCES/);
  const socket = await wrap([`${path}.gone`, '/bin/true']);
  assert.equal(socket.status, 1);
  assert.match(
    socket.stderr,
    /^qemu-wrapper: connect ENOENT .*vm\.sock\.gone: no such file or directory \(is the program that listens there running\?\)\n$/,
  );
  const url = await wrap([`unix://${path}`, '/bin/true']);
  assert.equal(url.status, 1);
  assert.match(url.stderr, /; want the path of a unix socket, not a URL\n$/);
});

test('who ends the wrapper ends the program', async (t) => {
  const { path } = await listening(t);
  for (const signal of ['SIGTERM', 'SIGHUP', 'SIGINT'] as const) {
    // No shell: it can't trap a signal that whoever started the tests ignores.
    const program = `
      process.once('${signal}', () => {
        console.log('got');
        process.exit(0);
      });
      setInterval(() => {}, 1000);
      console.log('up');`;
    const running = new Running(WRAPPER, [path, process.execPath, '-e', program]);
    await until(() => running.output.includes('up'), 'the program');
    assert.equal(await running.kill(signal), 0);
    assert.equal(running.output, 'up\ngot\n', signal);
  }
});
